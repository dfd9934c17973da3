//! Reads checkpoints of improved-diffusion and guided-diffusion (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021). They
//! have tensors such as `time_embed.0`, `input_blocks.4.1.qkv`, `middle_block.0`, `output_blocks`, `label_emb`.
//!
//! [`Options`] holds what the files do not record, with the defaults of guided-diffusion.

mod names;
mod network;

use config::{EmbeddingConfig, ScheduleConfig, UNetConfig};
use embedding::TimeEmbedding;
use ndarray::Array1;

use crate::error::InterchangeError;
use crate::parts::chain;
use crate::state_dict::{Model, Origin, Tensors, Weight, plan};

/// Settings that the file does not record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// The number of attention heads.
    pub heads: Heads,
    /// The row order of queries, keys and values.
    pub order: AttentionOrder,
    /// The noise schedule.
    pub schedule: NoiseSchedule,
    /// T.
    pub steps: usize,
    /// Whether the network receives t x 1000 / T instead of t.
    pub rescales_timesteps: bool,
}

/// The number of heads of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// The same number in each layer.
    Number(usize),
    /// One head for each group of this many channels.
    Channels(usize),
}

/// The row order of queries, keys and values in one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionOrder {
    /// Grouped by head: queries, keys and values of each head in turn.
    Legacy,
    /// All queries, then all keys, then all values (`use_new_attention_order`).
    New,
}

/// The noise schedules of these codebases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSchedule {
    /// Betas increase linearly from `0.1 / T` to `20 / T`: 1e-4 to 0.02 for T = 1000.
    Linear,
    /// Nichol & Dhariwal 2021, Eq. 17.
    Cosine,
}

impl Options {
    /// The defaults of guided-diffusion for this image size: 4 heads in the legacy order, 1000 linear betas.
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

    fn chain(&self, tensors: &Tensors) -> Result<ScheduleConfig, InterchangeError> {
        match self.schedule {
            NoiseSchedule::Linear => {
                let scale = 1000.0 / self.steps as f64;
                chain(tensors.path(), "linear", self.steps, Some((scale * 1e-4, scale * 0.02)), false)
            }
            NoiseSchedule::Cosine => chain(tensors.path(), "cosine", self.steps, None, false),
        }
    }
}

/// Reads the model from a file's tensors.
///
/// # Errors
/// [`InterchangeError::Content`] with the tensor that is missing, has another shape, or does not belong to such a
/// network; [`InterchangeError::Network`] if the sizes do not make a valid network.
pub fn read(tensors: &Tensors, options: &Options) -> Result<Model, InterchangeError> {
    let refuse = |error| InterchangeError::Network { path: tensors.path().to_owned(), error };
    let mut network = network::network(tensors, options)?;
    network.validate().map_err(refuse)?;
    let groups = |channels| match options.order {
        AttentionOrder::Legacy => network.heads_of(channels),
        AttentionOrder::New => 1,
    };
    let mut weights = plan(tensors, &network, &names::NAMING, groups)?;
    let schedule = options.chain(tensors)?;
    // Shapes and T are checked by now, so the table is no larger than they require.
    let rescales = options.rescales_timesteps && options.steps != 1000;
    let table = rescales.then(|| table(&network, options.steps)).transpose();
    let table =
        table.map_err(|error| InterchangeError::content(tensors.path(), error.to_string()))?.flatten();
    if let Some((embedding, table)) = table {
        network.embedding = embedding;
        weights.insert(0, table);
    }
    Model::new(tensors, (network, weights), schedule, "fixed-large")
}

/// The encodings of `t x 1000 / steps` for every t, for this project's network to look up.
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

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Resampling, TimeForm};

    /// A network whose levels resample by `kind`, with attention at the levels whose bit is set in `attention`.
    fn made(levels: usize, blocks: usize, kind: Resampling, attention: usize) -> UNetConfig {
        let mut config = UNetConfig::preset("ddpm-cifar10").unwrap();
        config.base_channels = 64;
        config.channel_mults = (0..levels).map(|level| 1 + level % 2).collect();
        (config.blocks_per_level, config.attention_resolutions, config.heads) = (blocks, Vec::new(), 4);
        (config.norm_eps, config.dropout, config.out_channels) = (1e-5, 0.0, 3 * (1 + blocks % 2));
        let order = config::SinusoidOrder::CosFirst;
        config.embedding = EmbeddingConfig::Transformer { dim: 128, order, freq_shift: 0 };
        config.downsample_padding = config::DownsamplePadding::Even;
        config.time_channels = 512;
        config.time_form = if attention == 0 { TimeForm::Additive } else { TimeForm::ScaleShift };
        config.classes = (levels == 2).then_some(9);
        let attends: Vec<bool> = (0..levels).map(|level| attention >> level & 1 == 1).collect();
        (config.layout.down_attention, config.layout.up_attention) = (Some(attends.clone()), Some(attends));
        if kind != Resampling::Conv && levels > 1 {
            let all = |but: usize| {
                Some((0..levels).map(|level| if level == but { Resampling::Conv } else { kind }).collect())
            };
            (config.layout.downsampling, config.layout.upsampling) = (all(levels - 1), all(0));
        }
        config
    }

    #[test]
    fn the_network_is_recovered_from_its_names() {
        for kind in [Resampling::Conv, Resampling::Resnet, Resampling::Plain] {
            for (levels, blocks) in (1..=5).flat_map(|levels| (1..=3).map(move |blocks| (levels, blocks))) {
                for attention in 0..1 << levels {
                    let config = made(levels, blocks, kind, attention);
                    config.validate().unwrap();
                    let tensors = crate::state_dict::tensors_of(&names::NAMING, &config);
                    let model = read(&tensors, &Options::new(32)).unwrap();
                    assert_eq!(model.config.model, config);
                }
            }
        }
    }

    #[test]
    fn rescaled_times_are_rows_of_a_table() {
        let tensors = crate::state_dict::tensors_of(&names::NAMING, &made(2, 1, Resampling::Conv, 2));
        let told = Options { steps: 4000, rescales_timesteps: true, ..Options::new(32) };
        let model = read(&tensors, &told).unwrap();
        let Origin::Given { values } = &model.weights[0].origin else { panic!("{:?}", model.weights[0]) };
        // t = 2000 is passed as 500; the first frequency is 1, and the cosines come first.
        let row = &values[2000 * 128..][..128];
        assert_eq!((row[0], row[64]), (500.0_f64.cos() as f32, 500.0_f64.sin() as f32));
        assert_eq!(model.weights[0].shape, [4000, 128]);
        let betas = model.config.schedule.tables().unwrap();
        assert!((betas.betas()[0] - 0.25e-4).abs() < 1e-12 && (betas.betas()[3999] - 0.005).abs() < 1e-12);
        // With 1000 steps there is nothing to rescale.
        let usual = read(&tensors, &Options { rescales_timesteps: true, ..Options::new(32) }).unwrap();
        assert_eq!(usual, read(&tensors, &Options::new(32)).unwrap());
    }
}
