//! Lists a network's parameters by name and shape, without building it: the required content of a weight file.
//!
//! `unet` creates the same parameters in the same order; its test `tests/weights.rs` compares the two.

use super::layout::Resampling;
use super::shape::{
    ADAPTER_DOWN, ADAPTER_UP, AUGMENTATIONS, EmbeddingConfig, TimeForm, TimeInjection, UNetConfig,
};

/// A parameter's name, for example `conv_in.weight`, and its shape. All are f32.
pub type Parameter = (String, Vec<usize>);

impl UNetConfig {
    /// The parameters of a valid network, in the order in which it is built.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut list = List { config: self, parameters: Vec::new() };
        let (levels, base) = (self.levels(), self.base_channels);
        let width = self.time_width();
        if let EmbeddingConfig::Table { rows, dim } = self.embedding {
            list.add("time_proj.weight".to_owned(), &[rows, dim]);
        }
        list.linear("time_embedding.linear_1", self.embedding.dim(), width);
        list.linear("time_embedding.linear_2", width, width);
        if let Some(classes) = self.classes {
            list.add("class_embedding.weight".to_owned(), &[classes, width]);
        }
        if self.augmented {
            list.add("augment_embedding.weight".to_owned(), &[width, AUGMENTATIONS]);
        }
        list.conv("conv_in", (self.in_channels, base), 3);
        if self.time_injection == TimeInjection::Input {
            list.linear("time_in", width, base);
        }

        // The encoder, and the channels of its skip connections.
        let (mut skips, mut channels) = (vec![base], base);
        for level in 0..levels {
            let (prefix, c_out) = (format!("down_blocks.{level}"), self.level_channels(level));
            for index in 0..self.blocks_per_level {
                list.stage(&prefix, index, (channels, c_out), self.attends_down(level));
                channels = c_out;
                skips.push(c_out);
            }
            if level + 1 < levels {
                list.resampling(&format!("{prefix}.downsamplers.0"), self.downsampling(level), c_out);
                skips.push(c_out);
            }
        }

        if !self.layout.middle.absent {
            list.block("mid_block.resnets.0", (channels, channels));
            if self.mid_attention {
                let has_norm = self.layout.middle.attention_groups != Some(0);
                list.attention("mid_block.attentions.0", channels, has_norm);
            }
            list.block("mid_block.resnets.1", (channels, channels));
        }

        for level in (0..levels).rev() {
            let prefix = format!("up_blocks.{}", levels - 1 - level);
            let c_out = self.level_channels(level);
            for index in 0..=self.blocks_per_level {
                let c_in = channels.saturating_add(skips.pop().unwrap_or(0));
                list.stage(&prefix, index, (c_in, c_out), self.attends_up(level));
                channels = c_out;
            }
            if level > 0 {
                list.resampling(&format!("{prefix}.upsamplers.0"), self.upsampling(level), c_out);
            }
        }
        list.norm("conv_norm_out", channels);
        list.conv("conv_out", (channels, self.out_channels), 3);
        list.parameters
    }

    /// The number of learned parameters; `u64::MAX` if it is larger.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        let numbers =
            |(_, shape): &Parameter| shape.iter().fold(1_u64, |n, &size| n.saturating_mul(size as u64));
        self.parameters().iter().fold(0, |sum, parameter| sum.saturating_add(numbers(parameter)))
    }
}

/// The parameters so far.
struct List<'a> {
    config: &'a UNetConfig,
    parameters: Vec<Parameter>,
}

impl List<'_> {
    fn add(&mut self, name: String, shape: &[usize]) {
        self.parameters.push((name, shape.to_vec()));
    }

    fn conv(&mut self, name: &str, (c_in, c_out): (usize, usize), kernel: usize) {
        let shape = [c_out, c_in, kernel, kernel];
        self.add(format!("{name}.weight"), &shape);
        self.add(format!("{name}.bias"), &[c_out]);
        self.adapter(name, &shape);
    }

    /// The adapter of a layer, if the network has them.
    fn adapter(&mut self, name: &str, weight: &[usize]) {
        if let Some(rank) = self.config.adapter_rank {
            let mut down = weight.to_vec();
            down[0] = rank;
            self.add(format!("{name}{ADAPTER_DOWN}"), &down);
            self.add(format!("{name}{ADAPTER_UP}"), &[weight[0], rank]);
        }
    }

    fn linear(&mut self, name: &str, from: usize, to: usize) {
        self.add(format!("{name}.weight"), &[to, from]);
        self.add(format!("{name}.bias"), &[to]);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.add(format!("{name}.weight"), &[channels]);
        self.add(format!("{name}.bias"), &[channels]);
    }

    /// A residual block, with attention if the level has it.
    fn stage(&mut self, prefix: &str, index: usize, (c_in, c_out): (usize, usize), attends: bool) {
        self.block(&format!("{prefix}.resnets.{index}"), (c_in, c_out));
        if attends {
            self.attention(&format!("{prefix}.attentions.{index}"), c_out, true);
        }
    }

    fn block(&mut self, name: &str, (c_in, c_out): (usize, usize)) {
        self.norm(&format!("{name}.norm1"), c_in);
        self.conv(&format!("{name}.conv1"), (c_in, c_out), 3);
        if self.config.time_injection == TimeInjection::PerBlock {
            let width = match self.config.time_form {
                TimeForm::Additive => c_out,
                TimeForm::ScaleShift => c_out.saturating_mul(2),
            };
            self.linear(&format!("{name}.time_emb_proj"), self.config.time_width(), width);
        }
        self.norm(&format!("{name}.norm2"), c_out);
        self.conv(&format!("{name}.conv2"), (c_out, c_out), 3);
        if c_in != c_out {
            self.conv(&format!("{name}.conv_shortcut"), (c_in, c_out), 1);
        }
    }

    fn attention(&mut self, name: &str, channels: usize, has_norm: bool) {
        if has_norm {
            self.norm(&format!("{name}.group_norm"), channels);
        }
        for part in ["to_q", "to_k", "to_v", "to_out.0"] {
            let layer = format!("{name}.{part}");
            self.linear(&layer, channels, channels);
            self.adapter(&layer, &[channels, channels]);
        }
    }

    fn resampling(&mut self, name: &str, kind: Resampling, channels: usize) {
        match kind {
            Resampling::Conv => self.conv(&format!("{name}.conv"), (channels, channels), 3),
            Resampling::Resnet => self.block(name, (channels, channels)),
            Resampling::Plain => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that diffusers counts for its network of the same shape.
    #[test]
    fn the_papers_network_has_the_published_parameter_count() {
        assert_eq!(UNetConfig::preset("ddpm-cifar10").unwrap().parameter_count(), 35_746_307);
    }

    #[test]
    fn the_largest_network_is_counted_without_overflow() {
        let mut config = UNetConfig::preset("ddpm-cifar10").unwrap();
        (config.base_channels, config.channel_mults, config.blocks_per_level) = (65_536, vec![1; 8], 64);
        assert!(config.parameter_count() > 1 << 40 && config.parameters().len() < 100_000);
    }
}
