//! Derives the network from names and shapes.

use config::{
    DownsamplePadding, EmbeddingConfig, Layout, NetworkKind, Resampling, SinusoidOrder, TimeForm,
    TimeInjection, UNetConfig,
};

use super::names::{input, output};
use super::{Heads, Options};
use crate::error::InterchangeError;
use crate::parts::{channels_of, unless_usual};
use crate::state_dict::Tensors;

/// Maximum number of entries, above that of this project's largest network.
const MOST: usize = 1000;

pub(super) fn network(tensors: &Tensors, options: &Options) -> Result<UNetConfig, InterchangeError> {
    let [time_channels, dim] = tensors.sizes("time_embed.0.weight")?;
    let [base, in_channels, ..] = tensors.sizes::<4>("input_blocks.0.0.weight")?;
    let [out_channels, ..] = tensors.sizes::<4>("out.2.weight")?;
    if ![1, 3].contains(&in_channels) {
        let reason = format!(
            "{in_channels} image channels, expected 1 or 3: super-resolution models are not supported"
        );
        return tensors.refuse("input_blocks.0.0.weight", reason);
    }
    let classes = "label_emb.weight";
    let classes = tensors.has(classes).then(|| tensors.sizes::<2>(classes)).transpose()?.map(|[n, _]| n);
    let (levels, blocks) = counts(tensors)?;
    let channels =
        |level| Ok(tensors.sizes::<4>(&format!("{}.0.out_layers.3.weight", input(level, 0, blocks)))?[0]);
    let channels = (0..levels).map(channels).collect::<Result<Vec<_>, InterchangeError>>()?;
    let [time_outputs, _] = tensors.sizes("input_blocks.1.0.emb_layers.1.weight")?;
    let first = channels.first().copied().unwrap_or(0);
    let time_form = if time_outputs == first { TimeForm::Additive } else { TimeForm::ScaleShift };

    let attends = |entry: String| tensors.has(&format!("{entry}.1.qkv.weight"));
    let down_attention: Vec<bool> = (0..levels).map(|level| attends(input(level, 0, blocks))).collect();
    let up_attention: Vec<bool> =
        (0..levels).map(|level| attends(output(levels, level, 0, blocks))).collect();
    let kind = |module: &str, conv: &str| match module {
        _ if tensors.has(&format!("{module}.{conv}.weight")) => Resampling::Conv,
        _ if tensors.has(&format!("{module}.in_layers.0.weight")) => Resampling::Resnet,
        _ => Resampling::Plain,
    };
    let down = |level| match level + 1 == levels {
        true => Resampling::Conv,
        false => kind(&format!("{}.0", input(level, blocks, blocks)), "op"),
    };
    let up = |level| match level {
        0 => Resampling::Conv,
        _ => {
            let place = 1 + usize::from(up_attention[level]);
            kind(&format!("{}.{place}", output(levels, level, blocks, blocks)), "conv")
        }
    };
    let (downsampling, upsampling) = ((0..levels).map(down).collect(), (0..levels).map(up).collect());
    let (heads, head_channels) = match options.heads {
        Heads::Number(heads) => (heads, None),
        Heads::Channels(channels) => (1, Some(channels)),
    };
    let (channel_mults, level_channels) = channels_of(base, channels);
    Ok(UNetConfig {
        kind: NetworkKind::Unet,
        image_size: options.image_size,
        in_channels,
        out_channels,
        base_channels: base,
        channel_mults,
        blocks_per_level: blocks,
        attention_resolutions: Vec::new(),
        mid_attention: true,
        heads,
        groups: 32,
        norm_eps: 1e-5,
        dropout: 0.0,
        embedding: EmbeddingConfig::Transformer { dim, order: SinusoidOrder::CosFirst, freq_shift: 0 },
        time_channels,
        time_injection: TimeInjection::PerBlock,
        time_form,
        downsample_padding: DownsamplePadding::Even,
        classes,
        adapter_rank: None,
        augmented: false,
        layout: Layout {
            level_channels,
            down_attention: Some(down_attention),
            up_attention: Some(up_attention),
            head_channels,
            downsampling: unless_usual(downsampling),
            upsampling: unless_usual(upsampling),
            ..Layout::default()
        },
    })
}

/// The number of levels, and of blocks in each encoder level.
///
/// The encoder has `levels x (blocks + 1)` entries, and entry `blocks + 1` is the first that halves the resolution. It
/// has a convolution `op`, or no tensor at all (average pooling). If a residual block halves the resolution, its names
/// do not show it; then a second residual block in a decoder entry marks the last entry of a level.
fn counts(tensors: &Tensors) -> Result<(usize, usize), InterchangeError> {
    let entries = tensors.count("input_blocks.", MOST);
    let is_gap = |entry: &usize| !tensors.has(&format!("input_blocks.{entry}.0.in_layers.0.weight"));
    let doubles = |entry: &usize| {
        (1..=2).any(|place| tensors.has(&format!("output_blocks.{entry}.{place}.in_layers.0.weight")))
    };
    let halving = (1..entries).find(is_gap);
    let halving = halving.or_else(|| (0..entries).find(doubles).map(|entry| entry + 1));
    let period = halving.unwrap_or(entries);
    if period < 2 || !entries.is_multiple_of(period) {
        let reason = format!(
            "{entries} entries, the first that halves the resolution at {period}: expected a convolution, then levels of equally many \
             residual blocks"
        );
        return tensors.refuse("input_blocks", reason);
    }
    Ok((entries / period, period - 1))
}
