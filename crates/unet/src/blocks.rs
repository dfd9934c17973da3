//! One level of the encoder, the middle block, one level of the decoder.

use tch::Tensor;

use crate::attention::Attends;
use crate::resample::{Downsample, Upsample};
use crate::resblock::Variant;
use crate::stage::Stage;
use backbone::BackboneError;
use backbone::ParamStore;
use backbone::Pass;
use config::UNetConfig;

/// Encoder level: its stages, then half the resolution, except at the lowest level.
pub(crate) struct DownLevel {
    stages: Vec<Stage>,
    downsample: Option<Downsample>,
}

impl DownLevel {
    /// `skips` collects the channels of the feature maps that the level passes to the decoder.
    pub(crate) fn new(
        store: &mut ParamStore,
        level: usize,
        c_in: usize,
        skips: &mut Vec<usize>,
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        let prefix = format!("down_blocks.{level}");
        let c_out = config.level_channels(level);
        let mut stages = Vec::new();
        let attends = config.attends_down(level).then(|| Attends::usual(config));
        for index in 0..config.blocks_per_level {
            let channels = (if index == 0 { c_in } else { c_out }, c_out);
            let variant = Variant::default();
            stages.push(Stage::new(store, &prefix, index, channels, (variant, attends), config)?);
            skips.push(c_out);
        }
        let mut downsample = None;
        if level + 1 < config.levels() {
            let name = format!("{prefix}.downsamplers.0");
            downsample = Some(Downsample::new(store, &name, c_out, config.downsampling(level), config)?);
            skips.push(c_out);
        }
        Ok(Self { stages, downsample })
    }

    /// Pushes every feature map that the decoder will need to `skips`, and returns the last one.
    pub(crate) fn forward(
        &self,
        mut h: Tensor,
        temb: &Tensor,
        skips: &mut Vec<Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        for stage in &self.stages {
            h = stage.forward(&h, None, temb, pass)?;
            skips.push(h.shallow_clone());
        }
        if let Some(downsample) = &self.downsample {
            h = downsample.forward(&h, temb, pass)?;
            skips.push(h.shallow_clone());
        }
        Ok(h)
    }
}

/// The lowest level: block, attention, block.
pub(crate) struct Bottom {
    first: Stage,
    second: Stage,
}

impl Bottom {
    pub(crate) fn new(
        store: &mut ParamStore,
        channels: usize,
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        let (same, middle) = ((channels, channels), &config.layout.middle);
        let variant = Variant { scale: middle.scale, ..Variant::default() };
        let attends = config.mid_attention.then(|| Attends {
            groups: Some(middle.attention_groups.unwrap_or(config.groups)).filter(|&groups| groups > 0),
            scale: middle.scale,
        });
        let first = Stage::new(store, "mid_block", 0, same, (variant, attends), config)?;
        let second = Stage::new(store, "mid_block", 1, same, (variant, None), config)?;
        Ok(Self { first, second })
    }

    pub(crate) fn forward(&self, h: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        self.second.forward(&self.first.forward(h, None, temb, pass)?, None, temb, pass)
    }
}

/// Decoder level: one stage more than the encoder's, each with a skip connection, then twice the resolution, except at
/// the highest level.
pub(crate) struct UpLevel {
    stages: Vec<Stage>,
    upsample: Option<Upsample>,
}

impl UpLevel {
    /// Takes the channels of its skip connections from the end of `skips`.
    pub(crate) fn new(
        store: &mut ParamStore,
        level: usize,
        c_in: usize,
        skips: &mut Vec<usize>,
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        // Names count from the lowest level.
        let prefix = format!("up_blocks.{}", config.levels() - 1 - level);
        let c_out = config.level_channels(level);
        let mut stages = Vec::new();
        let attends = config.attends_up(level).then(|| Attends::usual(config));
        for index in 0..=config.blocks_per_level {
            let below = if index == 0 { c_in } else { c_out };
            let channels = (below + skips.pop().unwrap_or(0), c_out);
            let variant = Variant::default();
            stages.push(Stage::new(store, &prefix, index, channels, (variant, attends), config)?);
        }
        let upsample = (level > 0)
            .then(|| {
                let name = format!("{prefix}.upsamplers.0");
                Upsample::new(store, &name, c_out, config.upsampling(level), config)
            })
            .transpose()?;
        Ok(Self { stages, upsample })
    }

    pub(crate) fn forward(
        &self,
        mut h: Tensor,
        temb: &Tensor,
        skips: &mut Vec<Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        for stage in &self.stages {
            let skip = skips.pop();
            h = stage.forward(&h, skip.as_ref(), temb, pass)?;
        }
        match &self.upsample {
            Some(upsample) => upsample.forward(&h, temb, pass),
            None => Ok(h),
        }
    }
}
