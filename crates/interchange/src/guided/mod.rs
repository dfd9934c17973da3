//! Checkpoints of improved-diffusion and guided-diffusion (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021): `time_embed.0`,
//! `input_blocks.4.1.qkv`, `middle_block.0`, `output_blocks`, `label_emb`.
//!
//! What their files do not say is in [`Options`], with the defaults of guided-diffusion.

mod names;
mod network;

use config::{EmbeddingConfig, ScheduleConfig, UNetConfig};
use embedding::TimeEmbedding;
use ndarray::Array1;

use crate::error::InterchangeError;
use crate::state_dict::{Model, Origin, Tensors, Weight, chain, plan};

/// What a file does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// How many heads an attention has.
    pub heads: Heads,
    /// How the rows of queries, keys and values lie.
    pub order: AttentionOrder,
    /// The noise schedule.
    pub schedule: NoiseSchedule,
    /// T.
    pub steps: usize,
    /// Whether the network is told t x 1000 / T in place of t.
    pub rescales_timesteps: bool,
}

/// How many heads an attention has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// As many in each.
    Number(usize),
    /// As many as go into its channels, by so many channels each.
    Channels(usize),
}

/// How the rows of queries, keys and values lie in one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionOrder {
    /// Head by head, each with its queries, keys and values.
    Legacy,
    /// All queries, all keys, all values (`use_new_attention_order`).
    New,
}

/// The noise schedules of these codebases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSchedule {
    /// Betas on a line from `0.1 / T` to `20 / T`: 1e-4 to 0.02 for T = 1000.
    Linear,
    /// Nichol & Dhariwal 2021, Eq. 17.
    Cosine,
}

impl Options {
    /// The defaults of guided-diffusion, for images of a size: 4 heads in the legacy order, 1000 linear betas.
    #[must_use]
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            heads: Heads::Number(4),
            order: AttentionOrder::Legacy,
            schedule: NoiseSchedule::Linear,
            steps: 1000,
            rescales_timesteps: false,
        }
    }

    fn chain(&self) -> ScheduleConfig {
        match self.schedule {
            NoiseSchedule::Linear => {
                let scale = 1000.0 / self.steps as f64;
                chain("linear", self.steps, Some((scale * 1e-4, scale * 0.02)))
            }
            NoiseSchedule::Cosine => chain("cosine", self.steps, None),
        }
    }
}

/// The model of a file.
///
/// # Errors
/// [`InterchangeError::Content`] that names the tensor which such a network does not have, or in another shape, or which is
/// missing; [`InterchangeError::Network`] for numbers that make no network.
pub fn read(tensors: &Tensors, options: &Options) -> Result<Model, InterchangeError> {
    let refuse = |error| InterchangeError::Network { path: tensors.path().to_owned(), error };
    let mut network = network::network(tensors, options)?;
    network.validate().map_err(refuse)?;
    let groups = |channels| match options.order {
        AttentionOrder::Legacy => network.heads_of(channels),
        AttentionOrder::New => 1,
    };
    let mut weights = plan(tensors, &network, &names::NAMING, groups)?;
    // The shapes are those of the file by now, so the table is no longer than its tensors and T ask for.
    let rescales = options.rescales_timesteps && options.steps != 1000;
    let table = rescales.then(|| table(&network, options.steps)).transpose();
    let table =
        table.map_err(|error| InterchangeError::content(tensors.path(), error.to_string()))?.flatten();
    if let Some((embedding, table)) = table {
        network.embedding = embedding;
        weights.insert(0, table);
    }
    Model::new(tensors, (network, weights), options.chain(), "fixed-large")
}

/// The encodings of `t x 1000 / steps` for every t, which this project's network looks up.
fn table(
    network: &UNetConfig,
    steps: usize,
) -> Result<Option<(EmbeddingConfig, Weight)>, embedding::EmbeddingError> {
    let Some(kind) = network.embedding.kind(steps) else { return Ok(None) };
    let times: Array1<f64> = (0..steps).map(|t| t as f64 * 1000.0 / steps as f64).collect();
    let embedding = TimeEmbedding::new(&kind)?;
    let values = embedding.encode(times.view()).into_iter().map(|number| number as f32).collect();
    let dim = embedding.dim();
    let weight = Weight {
        name: "time_proj.weight".to_owned(),
        shape: vec![steps, dim],
        origin: Origin::Given { values },
    };
    Ok(Some((EmbeddingConfig::Table { rows: steps, dim }, weight)))
}
