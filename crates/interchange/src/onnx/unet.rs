//! The U-Net of the crate `unet` as a graph, with the names of its weights.

use config::{DownsamplePadding, Resampling, TimeForm, TimeInjection};

use super::graph::Name;
use super::layers::{Builder, Map};
use crate::error::InterchangeError;

/// How a block differs from the default one.
#[derive(Clone, Copy, Default)]
struct Variant {
    resized: Option<Resized>,
    /// Divisor of the sum of branch and skip path.
    scale: Option<f64>,
}

#[derive(Clone, Copy)]
enum Resized {
    Halved,
    Doubled,
}

/// Builds the network from `x_t` and the activated time vector to the prediction, which is the last node.
pub(super) fn network(builder: &mut Builder<'_>, x_t: Map, time: &Name) -> Result<(), InterchangeError> {
    Blocks { builder, time }.network(x_t)
}

struct Blocks<'b, 'a> {
    builder: &'b mut Builder<'a>,
    time: &'b Name,
}

impl Blocks<'_, '_> {
    fn network(&mut self, x_t: Map) -> Result<(), InterchangeError> {
        let config = self.builder.config;
        let (levels, base) = (config.levels(), config.base_channels);
        let x = if config.layout.center_input { self.centred(&x_t) } else { x_t };
        let mut h = self.builder.conv_same("conv_in", &x, base, 3)?;
        if config.time_injection == TimeInjection::Input {
            let of_time = self.builder.linear("time_in", self.time, (config.time_width(), base))?;
            let of_time = self.builder.per_pixel("time_in", &of_time);
            h = h.same(self.builder.two("Add", "time_in", &h.name, &of_time));
        }

        // The encoder, and the skip connections for the decoder.
        let mut skips = vec![h.clone()];
        for level in 0..levels {
            let prefix = format!("down_blocks.{level}");
            for index in 0..config.blocks_per_level {
                h = self.stage(&prefix, index, &h, level, config.attends_down(level))?;
                skips.push(h.clone());
            }
            if level + 1 < levels {
                h = self.downsampled(&format!("{prefix}.downsamplers.0"), &h, config.downsampling(level))?;
                skips.push(h.clone());
            }
        }

        if !config.layout.middle.absent {
            h = self.middle(&h)?;
        }

        // The names count from the lowest level up.
        for level in (0..levels).rev() {
            let prefix = format!("up_blocks.{}", levels - 1 - level);
            for index in 0..=config.blocks_per_level {
                if let Some(skip) = skips.pop() {
                    h = self.joined(&prefix, &h, &skip);
                }
                h = self.stage(&prefix, index, &h, level, config.attends_up(level))?;
            }
            if level > 0 {
                h = self.upsampled(&format!("{prefix}.upsamplers.0"), &h, config.upsampling(level))?;
            }
        }
        let h = self.builder.group_norm("conv_norm_out", &h, config.groups)?;
        let h = h.same(self.builder.activated("conv_norm_out", &h.name, config::Activation::Silu));
        let _ = self.builder.conv_same("conv_out", &h, config.out_channels, 3)?;
        Ok(())
    }

    /// Maps `[0, 1]` to `[-1, 1]`.
    fn centred(&mut self, x: &Map) -> Map {
        let [two, one] = [2.0, 1.0].map(|number| self.builder.graph.float(number));
        let doubled = self.builder.two("Mul", "center_input", &x.name, &two);
        x.same(self.builder.two("Sub", "center_input", &doubled, &one))
    }

    fn joined(&mut self, scope: &str, h: &Map, skip: &Map) -> Map {
        let axis = [("axis", super::graph::Attribute::Int(1))];
        let name = self.builder.graph.node("Concat", scope, [&h.name, &skip.name], axis);
        Map { name, channels: h.channels + skip.channels, ..*h }
    }

    /// A residual block, with attention if the level has it.
    fn stage(
        &mut self,
        prefix: &str,
        index: usize,
        x: &Map,
        level: usize,
        attends: bool,
    ) -> Result<Map, InterchangeError> {
        let config = self.builder.config;
        let name = format!("{prefix}.resnets.{index}");
        let h = self.block(&name, x, config.level_channels(level), Variant::default())?;
        if !attends {
            return Ok(h);
        }
        self.builder.attention(&format!("{prefix}.attentions.{index}"), &h, Some(config.groups), None)
    }

    /// The lowest level: block, attention, block.
    fn middle(&mut self, x: &Map) -> Result<Map, InterchangeError> {
        let config = self.builder.config;
        let middle = &config.layout.middle;
        let variant = Variant { scale: middle.scale, ..Variant::default() };
        let mut h = self.block("mid_block.resnets.0", x, x.channels, variant)?;
        if config.mid_attention {
            let groups = Some(middle.attention_groups.unwrap_or(config.groups)).filter(|&groups| groups > 0);
            h = self.builder.attention("mid_block.attentions.0", &h, groups, middle.scale)?;
        }
        self.block("mid_block.resnets.1", &h, x.channels, variant)
    }

    /// The residual block (Ho et al. 2020, App. B): norm, activation and convolution, twice, with the time in between.
    fn block(
        &mut self,
        scope: &str,
        x: &Map,
        c_out: usize,
        variant: Variant,
    ) -> Result<Map, InterchangeError> {
        let config = self.builder.config;
        let activation = config.layout.activation;
        let norm1 = format!("{scope}.norm1");
        let h = self.builder.group_norm(&norm1, x, config.groups)?;
        let h = h.same(self.builder.activated(&norm1, &h.name, activation));
        let (h, x) = match variant.resized {
            None => (h, x.clone()),
            Some(Resized::Halved) => (self.builder.halved(scope, &h), self.builder.halved(scope, x)),
            Some(Resized::Doubled) => (self.builder.doubled(scope, &h), self.builder.doubled(scope, x)),
        };
        let h = self.builder.conv_same(&format!("{scope}.conv1"), &h, c_out, 3)?;
        let h = self.timed_norm(scope, h)?;
        let h = h.same(self.builder.activated(&format!("{scope}.norm2"), &h.name, activation));
        let h = self.builder.conv_same(&format!("{scope}.conv2"), &h, c_out, 3)?;
        let skip = if x.channels == c_out {
            x
        } else {
            self.builder.conv_same(&format!("{scope}.conv_shortcut"), &x, c_out, 1)?
        };
        Ok(self.builder.sum(scope, &skip, &h, variant.scale))
    }

    /// The second normalisation. The time is added before it, or scales and shifts after it.
    fn timed_norm(&mut self, scope: &str, h: Map) -> Result<Map, InterchangeError> {
        let config = self.builder.config;
        let (norm2, projection) = (format!("{scope}.norm2"), format!("{scope}.time_emb_proj"));
        let width = config.time_width();
        match (config.time_injection, config.time_form) {
            (TimeInjection::Input, _) => self.builder.group_norm(&norm2, &h, config.groups),
            (TimeInjection::PerBlock, TimeForm::Additive) => {
                let shift = self.builder.linear(&projection, self.time, (width, h.channels))?;
                let shift = self.builder.per_pixel(&projection, &shift);
                let h = h.same(self.builder.two("Add", &projection, &h.name, &shift));
                self.builder.group_norm(&norm2, &h, config.groups)
            }
            (TimeInjection::PerBlock, TimeForm::ScaleShift) => {
                let both = self.builder.linear(&projection, self.time, (width, 2 * h.channels))?;
                let both = self.builder.per_pixel(&projection, &both);
                let c = h.channels as i64;
                let (scale, shift) =
                    (self.channels(&projection, &both, 0, c), self.channels(&projection, &both, c, 2 * c));
                let one = self.builder.graph.float(1.0);
                let scale = self.builder.two("Add", &projection, &scale, &one);
                let normal = self.builder.group_norm(&norm2, &h, config.groups)?;
                let scaled = self.builder.two("Mul", &norm2, &normal.name, &scale);
                Ok(h.same(self.builder.two("Add", &norm2, &scaled, &shift)))
            }
        }
    }

    /// Channels `from..to` of a map.
    fn channels(&mut self, scope: &str, x: &str, from: i64, to: i64) -> Name {
        let [from, to, axis] = [from, to, 1].map(|number| self.builder.graph.ints(&[number]));
        self.builder.graph.node("Slice", scope, [x, &from, &to, &axis], [])
    }

    fn downsampled(&mut self, scope: &str, x: &Map, kind: Resampling) -> Result<Map, InterchangeError> {
        match kind {
            Resampling::Conv => {
                let pads = match self.builder.config.downsample_padding {
                    DownsamplePadding::Even => [1; 4],
                    DownsamplePadding::BottomRight => [0, 0, 1, 1],
                };
                self.builder.conv(&format!("{scope}.conv"), x, x.channels, (3, 2, pads))
            }
            Resampling::Resnet => {
                self.block(scope, x, x.channels, Variant { resized: Some(Resized::Halved), scale: None })
            }
            Resampling::Plain => Ok(self.builder.halved(scope, x)),
        }
    }

    fn upsampled(&mut self, scope: &str, x: &Map, kind: Resampling) -> Result<Map, InterchangeError> {
        match kind {
            Resampling::Conv => {
                let doubled = self.builder.doubled(scope, x);
                self.builder.conv_same(&format!("{scope}.conv"), &doubled, x.channels, 3)
            }
            Resampling::Resnet => {
                self.block(scope, x, x.channels, Variant { resized: Some(Resized::Doubled), scale: None })
            }
            Resampling::Plain => Ok(self.builder.doubled(scope, x)),
        }
    }
}
