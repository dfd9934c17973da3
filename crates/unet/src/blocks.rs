//! One level of the encoder, the bottom, one level of the decoder.

use tch::Tensor;

use crate::attention::Attention;
use crate::error::UNetError;
use crate::params::ParamStore;
use crate::pass::Pass;
use crate::resample::{Downsample, Upsample};
use crate::resblock::ResBlock;
use config::UNetConfig;

/// A residual block and the attention that follows it, if any.
struct Stage {
    block: ResBlock,
    attention: Option<Attention>,
}

impl Stage {
    fn new(
        store: &mut ParamStore,
        prefix: &str,
        index: usize,
        channels: (usize, usize),
        attends: bool,
        config: &UNetConfig,
    ) -> Result<Self, UNetError> {
        let block = ResBlock::new(store, &format!("{prefix}.resnets.{index}"), channels, config)?;
        let attention = attends
            .then(|| Attention::new(store, &format!("{prefix}.attentions.{index}"), channels.1, config))
            .transpose()?;
        Ok(Self { block, attention })
    }

    fn forward(&self, x: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, UNetError> {
        let h = self.block.forward(x, temb, pass)?;
        match &self.attention {
            Some(attention) => attention.forward(&h, pass),
            None => Ok(h),
        }
    }
}

/// Encoder level: its stages, then half the resolution but at the lowest level.
pub(crate) struct DownLevel {
    stages: Vec<Stage>,
    downsample: Option<Downsample>,
}

impl DownLevel {
    /// `skips` collects the channels of what the level hands to the decoder.
    pub(crate) fn new(
        store: &mut ParamStore,
        level: usize,
        c_in: usize,
        skips: &mut Vec<usize>,
        config: &UNetConfig,
    ) -> Result<Self, UNetError> {
        let prefix = format!("down_blocks.{level}");
        let c_out = config.level_channels(level);
        let mut stages = Vec::new();
        for index in 0..config.blocks_per_level {
            let channels = (if index == 0 { c_in } else { c_out }, c_out);
            stages.push(Stage::new(store, &prefix, index, channels, config.has_attention(level), config)?);
            skips.push(c_out);
        }
        let mut downsample = None;
        if level + 1 < config.channel_mults.len() {
            let name = format!("{prefix}.downsamplers.0");
            downsample = Some(Downsample::new(store, &name, c_out, config.downsample_padding)?);
            skips.push(c_out);
        }
        Ok(Self { stages, downsample })
    }

    /// Pushes every feature map the decoder will need on `skips`, and returns the last.
    pub(crate) fn forward(
        &self,
        mut h: Tensor,
        temb: &Tensor,
        skips: &mut Vec<Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, UNetError> {
        for stage in &self.stages {
            h = stage.forward(&h, temb, pass)?;
            skips.push(h.shallow_clone());
        }
        if let Some(downsample) = &self.downsample {
            h = downsample.forward(&h, pass)?;
            skips.push(h.shallow_clone());
        }
        Ok(h)
    }
}

/// The lowest level: block, attention, block.
pub(crate) struct Bottom {
    first: Stage,
    second: ResBlock,
}

impl Bottom {
    pub(crate) fn new(
        store: &mut ParamStore,
        channels: usize,
        config: &UNetConfig,
    ) -> Result<Self, UNetError> {
        let same = (channels, channels);
        let first = Stage::new(store, "mid_block", 0, same, config.mid_attention, config)?;
        let second = ResBlock::new(store, "mid_block.resnets.1", same, config)?;
        Ok(Self { first, second })
    }

    pub(crate) fn forward(&self, h: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, UNetError> {
        self.second.forward(&self.first.forward(h, temb, pass)?, temb, pass)
    }
}

/// Decoder level: one stage more than the encoder's, each fed with a skip connection, then twice the
/// resolution but at the highest level.
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
    ) -> Result<Self, UNetError> {
        // Named from the bottom up.
        let prefix = format!("up_blocks.{}", config.channel_mults.len() - 1 - level);
        let c_out = config.level_channels(level);
        let mut stages = Vec::new();
        for index in 0..=config.blocks_per_level {
            let below = if index == 0 { c_in } else { c_out };
            let channels = (below + skips.pop().unwrap_or(0), c_out);
            stages.push(Stage::new(store, &prefix, index, channels, config.has_attention(level), config)?);
        }
        let upsample = (level > 0)
            .then(|| Upsample::new(store, &format!("{prefix}.upsamplers.0"), c_out))
            .transpose()?;
        Ok(Self { stages, upsample })
    }

    pub(crate) fn forward(
        &self,
        mut h: Tensor,
        temb: &Tensor,
        skips: &mut Vec<Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, UNetError> {
        for stage in &self.stages {
            if let Some(skip) = skips.pop() {
                h = Tensor::f_cat(&[h, skip], 1)?;
            }
            h = stage.forward(&h, temb, pass)?;
        }
        match &self.upsample {
            Some(upsample) => upsample.forward(&h, pass),
            None => Ok(h),
        }
    }
}
