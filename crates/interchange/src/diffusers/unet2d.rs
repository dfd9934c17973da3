//! Reads the configuration of a `UNet2DModel` as a network of this project.

use std::path::Path;

use config::{
    Activation, DownsamplePadding, EmbeddingConfig, Layout, Middle, NetworkKind, Resampling, SinusoidOrder,
    TimeForm, TimeInjection, UNetConfig,
};
use serde_json::Value;

use crate::error::InterchangeError;
use crate::keys::{Keys, one_of};
use crate::parts::{channels_of, unless_usual};

/// Maximum number of levels in a list.
const MOST_LEVELS: usize = 32;

/// Whether a block type has attention, and how it resamples; `None` means as `downsample_type` says.
type Block = (bool, Option<Resampling>);

const DOWN: [(&str, Block); 3] = [
    ("DownBlock2D", (false, Some(Resampling::Conv))),
    ("AttnDownBlock2D", (true, None)),
    ("ResnetDownsampleBlock2D", (false, Some(Resampling::Resnet))),
];
const UP: [(&str, Block); 3] = [
    ("UpBlock2D", (false, Some(Resampling::Conv))),
    ("AttnUpBlock2D", (true, None)),
    ("ResnetUpsampleBlock2D", (false, Some(Resampling::Resnet))),
];
const RESAMPLING: [(&str, Resampling); 2] = [("conv", Resampling::Conv), ("resnet", Resampling::Resnet)];
const ACTIVATIONS: [(&str, Activation); 5] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("relu", Activation::Relu),
    ("gelu", Activation::Gelu),
    ("mish", Activation::Mish),
];

/// A network with the height and width of its images.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The network.
    pub config: UNetConfig,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

/// Reads the network that a `config.json` describes.
///
/// # Errors
/// An error that names the file and, if there is one, the key and its value.
pub fn read_network(config: &Path) -> Result<Network, InterchangeError> {
    network(Keys::read(config)?)
}

/// Like [`read_network`], from the bytes of a file at `path`.
///
/// # Errors
/// As [`read_network`].
pub fn parse_network(path: &Path, bytes: &[u8]) -> Result<Network, InterchangeError> {
    network(Keys::parse(path, bytes.to_vec())?)
}

pub(crate) fn network(mut read: Keys) -> Result<Network, InterchangeError> {
    let keys = &mut read;
    keys.only("_class_name", "UNet2DModel")?;
    let (height, width) = sides(keys)?;
    let in_channels = keys.count_or("in_channels", 3)?;
    let out_channels = keys.count_or("out_channels", 3)?;
    let channels = channels(keys)?;
    let levels = channels.len();
    let resampling = [
        keys.choice("downsample_type", "conv", &RESAMPLING)?,
        keys.choice("upsample_type", "conv", &RESAMPLING)?,
    ];
    let down = blocks(keys, "down_block_types", &DOWN, levels)?;
    let mut up = blocks(keys, "up_block_types", &UP, levels)?;
    // The file lists them from the lowest level up.
    up.reverse();
    let attention = |blocks: &[Block]| Some(blocks.iter().map(|block| block.0).collect());
    let of = |blocks: &[Block], usual| -> Option<Vec<Resampling>> {
        unless_usual(blocks.iter().map(|block| block.1.unwrap_or(usual)).collect())
    };
    let time_form = keys.choice(
        "resnet_time_scale_shift",
        "default",
        &[("default", TimeForm::Additive), ("scale_shift", TimeForm::ScaleShift)],
    )?;
    let base = channels[0];
    let (channel_mults, level_channels) = channels_of(base, channels);
    let head_channels = match keys.take_nullable("attention_head_dim") {
        None => Some(8),
        Some(None) => None,
        Some(Some(value)) => Some(keys.count("attention_head_dim", &value)?),
    };
    let middle = middle(keys, time_form)?;
    let config = UNetConfig {
        kind: NetworkKind::Unet,
        image_size: height.max(width),
        in_channels,
        out_channels,
        base_channels: base,
        channel_mults,
        blocks_per_level: keys.count_or("layers_per_block", 2)?,
        attention_resolutions: Vec::new(),
        mid_attention: keys.bool_or("add_attention", true)? && !middle.absent,
        heads: 1,
        groups: keys.count_or("norm_num_groups", 32)?,
        norm_eps: keys.number_or("norm_eps", 1e-5)?,
        dropout: keys.number_or("dropout", 0.0)?,
        embedding: embedding(keys, base)?,
        time_channels: time_channels(keys, base)?,
        time_injection: TimeInjection::PerBlock,
        time_form,
        downsample_padding: padding(keys)?,
        classes: classes(keys)?,
        adapter_rank: None,
        augmented: false,
        layout: Layout {
            level_channels,
            down_attention: attention(&down),
            up_attention: attention(&up),
            head_channels,
            downsampling: of(&down, resampling[0]),
            upsampling: of(&up, resampling[1]),
            activation: keys.choice("act_fn", "silu", &ACTIVATIONS)?,
            middle,
            center_input: keys.bool_or("center_input_sample", false)?,
        },
    };
    let path = keys.path().to_owned();
    read.finish()?;
    config.validate().map_err(|error| InterchangeError::Network { path, error })?;
    Ok(Network { config, height, width })
}

/// `null` means four times the channels of the first level.
fn time_channels(keys: &mut Keys, base: usize) -> Result<usize, InterchangeError> {
    let value = keys.take("time_embedding_dim");
    value.map_or(Ok(base.saturating_mul(4)), |value| keys.count("time_embedding_dim", &value))
}

fn sides(keys: &mut Keys) -> Result<(usize, usize), InterchangeError> {
    let value = keys.take("sample_size").unwrap_or(Value::Null);
    let sides: Vec<Value> = match &value {
        Value::Array(sides) => sides.clone(),
        side => vec![side.clone(), side.clone()],
    };
    match &sides[..] {
        [height, width] if !value.is_null() => {
            Ok((keys.count("sample_size", height)?, keys.count("sample_size", width)?))
        }
        _ => keys.refuse("sample_size", &value, "a number of pixels, or height and width"),
    }
}

fn channels(keys: &mut Keys) -> Result<Vec<usize>, InterchangeError> {
    let key = "block_out_channels";
    let value = keys.take(key).unwrap_or_else(|| serde_json::json!([224, 448, 672, 896]));
    match value.as_array() {
        Some(list) if (1..=MOST_LEVELS).contains(&list.len()) => {
            list.iter().map(|number| keys.count(key, number)).collect()
        }
        _ => keys.refuse(key, &value, "a list of channels, one for each level"),
    }
}

fn blocks(
    keys: &mut Keys,
    key: &str,
    known: &[(&str, Block)],
    levels: usize,
) -> Result<Vec<Block>, InterchangeError> {
    let usual = match key {
        "down_block_types" => ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
        _ => ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    };
    let value = keys.take(key).unwrap_or_else(|| serde_json::json!(usual));
    let Some(list) = value.as_array().filter(|list| list.len() == levels) else {
        return keys.refuse(key, &value, format!("{levels} types, one for each entry of block_out_channels"));
    };
    let block = |one: &Value| match known.iter().find(|(name, _)| one.as_str() == Some(name)) {
        Some((_, block)) => Ok(*block),
        None => keys.refuse(key, one, one_of(known)),
    };
    list.iter().map(block).collect()
}

fn middle(keys: &mut Keys, time_form: TimeForm) -> Result<Middle, InterchangeError> {
    let absent = match keys.take_nullable("mid_block_type") {
        Some(None) => true,
        Some(Some(value)) if value.as_str() != Some("UNetMidBlock2D") => {
            return keys.refuse("mid_block_type", &value, "UNetMidBlock2D or null");
        }
        _ => false,
    };
    let groups = keys.take("attn_norm_num_groups");
    let groups = groups.map(|value| keys.count("attn_norm_num_groups", &value)).transpose()?;
    let attention_groups = match (groups, time_form) {
        (Some(groups), _) => Some(groups),
        (None, TimeForm::Additive) => None,
        // Without this key, attention beside blocks of this form has no normalisation.
        (None, TimeForm::ScaleShift) => Some(0),
    };
    let scale = keys.number_or("mid_block_scale_factor", 1.0)?;
    let scale = Some(scale).filter(|scale| *scale != 1.0);
    Ok(if absent {
        Middle { absent, ..Middle::default() }
    } else {
        Middle { absent, attention_groups, scale }
    })
}

fn embedding(keys: &mut Keys, dim: usize) -> Result<EmbeddingConfig, InterchangeError> {
    let learned =
        keys.choice("time_embedding_type", "positional", &[("positional", false), ("learned", true)])?;
    let order = if keys.bool_or("flip_sin_to_cos", true)? {
        SinusoidOrder::CosFirst
    } else {
        SinusoidOrder::SinFirst
    };
    let freq_shift = keys.count_or("freq_shift", 0)?;
    let rows = keys.take("num_train_timesteps");
    match rows {
        Some(rows) if learned => {
            Ok(EmbeddingConfig::Table { rows: keys.count("num_train_timesteps", &rows)?, dim })
        }
        None if learned => {
            keys.refuse("num_train_timesteps", &Value::Null, "the number of rows of the learned table")
        }
        _ => Ok(EmbeddingConfig::Transformer { dim, order, freq_shift }),
    }
}

fn padding(keys: &mut Keys) -> Result<DownsamplePadding, InterchangeError> {
    let value = keys.take("downsample_padding").unwrap_or_else(|| Value::from(1));
    match value.as_u64() {
        Some(0) => Ok(DownsamplePadding::BottomRight),
        Some(1) => Ok(DownsamplePadding::Even),
        _ => keys.refuse("downsample_padding", &value, "0 or 1"),
    }
}

fn classes(keys: &mut Keys) -> Result<Option<usize>, InterchangeError> {
    if let Some(value) = keys.take("class_embed_type") {
        return keys.refuse(
            "class_embed_type",
            &value,
            "null: the class embedding is a table of num_class_embeds rows",
        );
    }
    let value = keys.take("num_class_embeds");
    value.map(|value| keys.count("num_class_embeds", &value)).transpose()
}
