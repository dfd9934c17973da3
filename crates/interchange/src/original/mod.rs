//! Reads the PyTorch form of the published DDPM (Ho et al. 2020): `temb.dense.0`, `down.0.block.0.temb_proj`,
//! `mid.attn_1`.
//!
//! The settings are those of the paper's code: a time encoding with the sines first and a divisor of `half - 1`, 32
//! groups with eps 1e-6, one head, stride-2 convolutions padded at the bottom and the right, and 1000 betas from 1e-4
//! to 0.02.

use config::{
    DownsamplePadding, EmbeddingConfig, Layout, NetworkKind, Resampling, SinusoidOrder, TimeForm,
    TimeInjection, UNetConfig,
};

use crate::error::InterchangeError;
use crate::parts::{chain, channels_of, unless_usual};
use crate::state_dict::{Model, Naming, Part, Place, Side, Tensors, plan};

/// Maximum number of levels and of blocks, above any network of this project.
const MOST: usize = 1000;
/// Image size of CIFAR-10. Its published network is sampled with the larger of the two variances, others with the
/// smaller.
const CIFAR: usize = 32;

const NAMING: Naming = Naming {
    once: &[
        ("time_embedding.linear_1", "temb.dense.0"),
        ("time_embedding.linear_2", "temb.dense.1"),
        ("conv_in", "conv_in"),
        ("conv_norm_out", "norm_out"),
        ("conv_out", "conv_out"),
    ],
    block: &[
        ("norm1", "norm1"),
        ("conv1", "conv1"),
        ("time_emb_proj", "temb_proj"),
        ("norm2", "norm2"),
        ("conv2", "conv2"),
        ("conv_shortcut", "nin_shortcut"),
    ],
    attention: &[
        ("group_norm", Part::Whole("norm")),
        ("to_q", Part::Whole("q")),
        ("to_k", Part::Whole("k")),
        ("to_v", Part::Whole("v")),
        ("to_out.0", Part::Whole("proj_out")),
    ],
    resampling: ["conv", "conv"],
    module,
};

fn module(_: &UNetConfig, place: Place) -> String {
    match place {
        Place::Block(Side::Down(level), number) => format!("down.{level}.block.{number}"),
        Place::Block(Side::Middle, number) => format!("mid.block_{}", number + 1),
        Place::Block(Side::Up(level), number) => format!("up.{level}.block.{number}"),
        Place::Attention(Side::Down(level), number) => format!("down.{level}.attn.{number}"),
        Place::Attention(Side::Middle, number) => format!("mid.attn_{}", number + 1),
        Place::Attention(Side::Up(level), number) => format!("up.{level}.attn.{number}"),
        Place::Resampler(Side::Up(level)) => format!("up.{level}.upsample"),
        Place::Resampler(Side::Down(level)) => format!("down.{level}.downsample"),
        Place::Resampler(Side::Middle) => "mid".to_owned(),
    }
}

/// Reads the model from a file's tensors, for images of `image_size` x `image_size` pixels.
///
/// # Errors
/// [`InterchangeError::Content`] with the tensor that is missing, has another shape, or does not belong to such a
/// network; [`InterchangeError::Network`] if the sizes do not make a valid network.
pub fn read(tensors: &Tensors, image_size: usize) -> Result<Model, InterchangeError> {
    let network = network(tensors, image_size)?;
    let refuse = |error| InterchangeError::Network { path: tensors.path().to_owned(), error };
    network.validate().map_err(refuse)?;
    let weights = plan(tensors, &network, &NAMING, |_| 1)?;
    let sigma = if image_size == CIFAR { "fixed-large" } else { "fixed-small" };
    let schedule = chain(tensors.path(), "linear", 1000, Some((1e-4, 0.02)), false)?;
    Model::new(tensors, (network, weights), schedule, sigma)
}

fn network(tensors: &Tensors, image_size: usize) -> Result<UNetConfig, InterchangeError> {
    let [time_channels, dim] = tensors.sizes("temb.dense.0.weight")?;
    let [base, in_channels, ..] = tensors.sizes::<4>("conv_in.weight")?;
    let [out_channels, ..] = tensors.sizes::<4>("conv_out.weight")?;
    if ![1, 3].contains(&in_channels) {
        return tensors.refuse("conv_in.weight", format!("{in_channels} image channels, expected 1 or 3"));
    }
    let levels = tensors.count("down.", MOST);
    let channels = |level: usize| Ok(tensors.sizes::<4>(&format!("down.{level}.block.0.conv2.weight"))?[0]);
    let channels = (0..levels).map(channels).collect::<Result<Vec<_>, InterchangeError>>()?;
    let attention = |side: &str| {
        Some((0..levels).map(|level| tensors.has(&format!("{side}.{level}.attn.0.norm.weight"))).collect())
    };
    let conv = |name: &str| if tensors.has(name) { Resampling::Conv } else { Resampling::Plain };
    let down = (0..levels).map(|level| match level + 1 == levels {
        true => Resampling::Conv,
        false => conv(&format!("down.{level}.downsample.conv.weight")),
    });
    let up = (0..levels).map(|level| match level {
        0 => Resampling::Conv,
        _ => conv(&format!("up.{level}.upsample.conv.weight")),
    });
    let (downsampling, upsampling) = (down.collect(), up.collect());
    let (channel_mults, level_channels) = channels_of(base, channels);
    Ok(UNetConfig {
        kind: NetworkKind::Unet,
        image_size,
        in_channels,
        out_channels,
        base_channels: base,
        channel_mults,
        blocks_per_level: tensors.count("down.0.block.", MOST),
        attention_resolutions: Vec::new(),
        mid_attention: true,
        heads: 1,
        groups: 32,
        norm_eps: 1e-6,
        dropout: 0.0,
        embedding: EmbeddingConfig::Transformer { dim, order: SinusoidOrder::SinFirst, freq_shift: 1 },
        time_channels,
        time_injection: TimeInjection::PerBlock,
        time_form: TimeForm::Additive,
        downsample_padding: DownsamplePadding::BottomRight,
        classes: None,
        adapter_rank: None,
        augmented: false,
        layout: Layout {
            level_channels,
            down_attention: attention("down"),
            up_attention: attention("up"),
            downsampling: unless_usual(downsampling),
            upsampling: unless_usual(upsampling),
            ..Layout::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dict::tensors_of;

    #[test]
    fn the_papers_network_is_recovered_from_its_names() {
        let mut config = UNetConfig::preset("ddpm-cifar10").unwrap();
        let tensors = tensors_of(&NAMING, &config);
        let model = read(&tensors, 32).unwrap();
        let found = &model.config.model;
        assert_eq!(found.parameters(), config.parameters());
        assert_eq!(found.parameter_count(), 35_746_307);
        assert_eq!(found.layout.down_attention.as_deref(), Some(&[false, true, false, false][..]));
        assert_eq!(model.config.sample.preferred.as_ref().unwrap().sigma.as_deref(), Some("fixed-large"));
        // Without convolutions between the levels.
        let plain = |but: usize| {
            Some(
                (0..4).map(|level| if level == but { Resampling::Conv } else { Resampling::Plain }).collect(),
            )
        };
        (config.layout.downsampling, config.layout.upsampling) = (plain(3), plain(0));
        let found = read(&tensors_of(&NAMING, &config), 64).unwrap().config.model;
        assert_eq!((found.layout.downsampling, found.layout.upsampling), (plain(3), plain(0)));
    }
}
