//! Writes a network of this project as configurations of the library.

use config::{
    Activation, Config, DownsamplePadding, EmbeddingConfig, Resampling, SinusoidOrder, TimeForm,
    TimeInjection, UNetConfig,
};
use embedding::TimeEmbedding;
use ndarray::Array1;
use schedule::Prediction;
use serde_json::{Map, Value, json};

use crate::error::InterchangeError;

/// The library version whose keys are written.
const VERSION: &str = "0.35.1";

/// The files of a diffusers folder besides the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// `model_index.json`.
    pub index: Value,
    /// `unet/config.json`.
    pub network: Value,
    /// `scheduler/scheduler_config.json`.
    pub scheduler: Value,
    /// The encoding of every t, for the library to look up; only if it lacks this time encoding.
    pub table: Option<Table>,
}

/// The time encodings for every t of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// `[rows, columns]`, row by row: the encoding of each t, padded with zeros.
    pub values: Vec<f32>,
    /// T.
    pub rows: usize,
    /// The network's base channels, as the library requires.
    pub columns: usize,
    /// Columns before the padding. This is the number of columns of `time_embedding.linear_1.weight` as trained;
    /// columns of zeros are appended to it.
    pub used: usize,
}

/// Converts a configuration to the library's files.
///
/// # Errors
/// [`InterchangeError::NotExpressible`] with the key of a setting that the library lacks.
pub fn write(config: &Config) -> Result<Written, InterchangeError> {
    let table = table(config)?;
    Ok(Written {
        index: json!({
            "_class_name": "DDPMPipeline", "_diffusers_version": VERSION, "scheduler": ["diffusers", "DDPMScheduler"],
            "unet": ["diffusers", "UNet2DModel"],
        }),
        network: network(config, table.is_some())?,
        scheduler: scheduler(config)?,
        table,
    })
}

fn refuse<T>(key: &str, got: impl ToString, reason: &str) -> Result<T, InterchangeError> {
    Err(InterchangeError::NotExpressible {
        key: key.to_owned(),
        got: got.to_string(),
        reason: reason.to_owned(),
    })
}

fn network(config: &Config, looked_up: bool) -> Result<Value, InterchangeError> {
    let model = &config.model;
    let layout = &model.layout;
    let levels = model.levels();
    let channels: Vec<usize> = (0..levels).map(|level| model.level_channels(level)).collect();
    if channels[0] != model.base_channels {
        return refuse(
            "model.channel_mults",
            format!("{:?}", model.channel_mults),
            "its first level always has multiplier 1",
        );
    }
    if model.time_injection != TimeInjection::PerBlock {
        return refuse("model.time_injection", "input", "all its blocks receive the time");
    }
    let down: Vec<(bool, Resampling)> =
        (0..levels).map(|level| (model.attends_down(level), model.downsampling(level))).collect();
    let up: Vec<(bool, Resampling)> =
        (0..levels).rev().map(|level| (model.attends_up(level), model.upsampling(level))).collect();
    let (down_types, downsample_type) = blocks(&down, ["Down", "downsample"])?;
    let (up_types, upsample_type) = blocks(&up, ["Up", "upsample"])?;
    let (height, width) = match &config.images {
        Some(images) => (images.height, images.width),
        None => (model.image_size, model.image_size),
    };
    let (time_type, freq_shift, flip) = match &model.embedding {
        EmbeddingConfig::Transformer { order, freq_shift, .. } if !looked_up => {
            ("positional", *freq_shift, *order == SinusoidOrder::CosFirst)
        }
        _ => ("learned", 0, true),
    };
    let attention_groups = match (layout.middle.attention_groups, model.time_form) {
        (Some(0), TimeForm::ScaleShift) => None,
        (Some(0), TimeForm::Additive) => {
            return refuse(
                "model.layout.middle.attention_groups",
                0,
                "it always normalises before that attention",
            );
        }
        (groups, _) => Some(groups.unwrap_or(model.groups)),
    };
    Ok(json!({
        "_class_name": "UNet2DModel", "_diffusers_version": VERSION,
        "sample_size": if height == width { json!(height) } else { json!([height, width]) },
        "in_channels": model.in_channels, "out_channels": model.out_channels,
        "center_input_sample": layout.center_input,
        "time_embedding_type": time_type, "time_embedding_dim": model.time_width(),
        "freq_shift": freq_shift, "flip_sin_to_cos": flip,
        "num_train_timesteps": if time_type == "learned" { json!(config.schedule.steps) } else { Value::Null },
        "down_block_types": down_types, "up_block_types": up_types,
        "mid_block_type": if layout.middle.absent { Value::Null } else { json!("UNetMidBlock2D") },
        "block_out_channels": channels, "layers_per_block": model.blocks_per_level,
        "mid_block_scale_factor": layout.middle.scale.unwrap_or(1.0),
        "downsample_padding": usize::from(model.downsample_padding == DownsamplePadding::Even),
        "downsample_type": downsample_type, "upsample_type": upsample_type,
        "dropout": model.dropout,
        "act_fn": match layout.activation {
            Activation::Silu => "silu",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::Mish => "mish",
        },
        "attention_head_dim": head_dim(model)?,
        "norm_num_groups": model.groups, "attn_norm_num_groups": attention_groups, "norm_eps": model.norm_eps,
        "resnet_time_scale_shift": match model.time_form {
            TimeForm::Additive => "default",
            TimeForm::ScaleShift => "scale_shift",
        },
        "add_attention": model.mid_attention,
        "class_embed_type": null, "num_class_embeds": model.classes,
    }))
}

/// Block types in the library's order, and how the blocks with attention resample. The last block on each side does not
/// resample.
fn blocks(
    of: &[(bool, Resampling)],
    [side, key]: [&str; 2],
) -> Result<(Vec<String>, &'static str), InterchangeError> {
    let mut attending = None;
    let mut types = Vec::new();
    for (index, &(attends, resampling)) in of.iter().enumerate() {
        let is_last = index + 1 == of.len();
        let name = match (attends, resampling) {
            (true, _) => format!("Attn{side}Block2D"),
            (false, Resampling::Conv) => format!("{side}Block2D"),
            (false, _) if is_last => format!("{side}Block2D"),
            (false, Resampling::Resnet) => format!("Resnet{side}sampleBlock2D"),
            (false, Resampling::Plain) => {
                return refuse(
                    &format!("model.layout.{key}ing"),
                    "plain",
                    "its blocks resample with a convolution or a residual block",
                );
            }
        };
        if attends && !is_last {
            let other = attending.replace(resampling).filter(|other| *other != resampling);
            if resampling == Resampling::Plain || other.is_some() {
                return refuse(
                    &format!("model.layout.{key}ing"),
                    "plain or mixed",
                    "all its blocks with attention resample alike",
                );
            }
        }
        types.push(name);
    }
    Ok((types, if attending == Some(Resampling::Resnet) { "resnet" } else { "conv" }))
}

/// Channels per head; null for a single head.
fn head_dim(model: &UNetConfig) -> Result<Value, InterchangeError> {
    if let Some(channels) = model.layout.head_channels {
        return Ok(json!(channels));
    }
    if model.heads == 1 {
        return Ok(Value::Null);
    }
    let last = model.levels() - 1;
    let attending = |level: &usize| model.has_attention(*level) || (model.mid_attention && *level == last);
    let mut dims = (0..=last).filter(attending).map(|level| model.level_channels(level) / model.heads);
    let Some(first) = dims.next() else { return Ok(Value::Null) };
    if dims.all(|dim| dim == first) {
        Ok(json!(first))
    } else {
        refuse("model.heads", model.heads, "its heads have the same number of channels at every level")
    }
}

fn scheduler(config: &Config) -> Result<Value, InterchangeError> {
    let schedule = &config.schedule;
    let (output, train) = (config.train.output(), &config.train);
    let prediction = match output {
        Prediction::Eps => "epsilon",
        Prediction::X0 => "sample",
        Prediction::V => "v_prediction",
        _ => return refuse("train.prediction", train.prediction, "its schedulers support eps, x_0 and v"),
    };
    let path =
        schedule.path().map_err(|error| InterchangeError::Network { path: "config.toml".into(), error })?;
    if !path.is_discrete() {
        return refuse("schedule.kind", &schedule.kind, "its schedulers run on chains of betas");
    }
    let mut written = Map::new();
    let mut add = |key: &str, value: Value| written.insert(key.to_owned(), value);
    add("_class_name", json!("DDPMScheduler"));
    add("_diffusers_version", json!(VERSION));
    add("num_train_timesteps", json!(schedule.steps));
    add("prediction_type", json!(prediction));
    add("clip_sample", json!(true));
    add("clip_sample_range", json!(1.0));
    add("timestep_spacing", json!("leading"));
    add(
        "variance_type",
        json!(if train.outputs_per_channel() == 2 { "learned_range" } else { "fixed_small" }),
    );
    add("rescale_betas_zero_snr", json!(schedule.zero_terminal_snr));
    // A constant beta is linear with equal ends.
    let ends = (schedule.beta_start.or(schedule.beta), schedule.beta_end.or(schedule.beta));
    let usual = schedule.s == Some(0.008) && schedule.max_beta == Some(0.999);
    let (name, ends) = match (schedule.kind.as_str(), ends) {
        ("linear" | "constant", (Some(start), Some(end))) => ("linear", Some((start, end))),
        ("scaled-linear", (Some(start), Some(end))) => ("scaled_linear", Some((start, end))),
        ("sigmoid", (Some(start), Some(end))) => ("sigmoid", Some((start, end))),
        ("cosine", _) if usual => ("squaredcos_cap_v2", None),
        _ => {
            return refuse(
                "schedule.kind",
                &schedule.kind,
                "its beta schedules are linear, scaled_linear, sigmoid or squaredcos_cap_v2",
            );
        }
    };
    add("beta_schedule", json!(name));
    if let Some((start, end)) = ends {
        add("beta_start", json!(start));
        add("beta_end", json!(end));
    }
    Ok(Value::Object(written))
}

/// The encodings of all t, if the library lacks this encoding.
fn table(config: &Config) -> Result<Option<Table>, InterchangeError> {
    let (model, rows) = (&config.model, config.schedule.steps);
    let columns = model.base_channels;
    if matches!(model.embedding, EmbeddingConfig::Transformer { dim, .. } | EmbeddingConfig::Table { dim, .. } if dim == columns)
    {
        return Ok(None);
    }
    let Some(kind) = model.embedding.kind(rows) else {
        return refuse(
            "model.embedding.dim",
            "other than model.base_channels",
            "its tables have one column for each base channel",
        );
    };
    let embedding = TimeEmbedding::new(&kind);
    let embedding =
        embedding.map_err(|error| InterchangeError::content("config.toml".as_ref(), error.to_string()))?;
    let used = embedding.dim();
    if used > columns {
        let reason = "its time encoding has at most one number for each base channel; train with fewer model.embedding.frequencies";
        return refuse("model.embedding", format!("{used} numbers for {columns} base channels"), reason);
    }
    let times: Array1<f64> = (0..rows).map(|t| t as f64).collect();
    let encoded = embedding.encode(times.view());
    let mut values = Vec::with_capacity(rows * columns);
    for row in encoded.outer_iter() {
        values.extend(row.iter().map(|&number| number as f32));
        values.extend(std::iter::repeat_n(0.0, columns - used));
    }
    Ok(Some(Table { values, rows, columns, used }))
}
