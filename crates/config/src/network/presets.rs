//! Networks by name.

use super::shape::{DownsamplePadding, EmbeddingConfig, SinusoidOrder, TimeForm, TimeInjection, UNetConfig};
use crate::error::ConfigError;

/// The names [`UNetConfig::preset`] knows, each with a line about it.
pub const NETWORK_PRESETS: &[(&str, &str)] = &[
    ("ddpm-cifar10", "the CIFAR-10 network of Ho et al. 2020: 32x32 RGB, 35.7M parameters"),
    ("small-32", "32x32 grey, for padded 28-pixel sets: 1.6M parameters"),
    ("small-28", "28x28 grey without padding: the default for the embedded set"),
    ("tiny-16", "16x16 grey, for tests and first tries: 0.1M parameters"),
];

impl UNetConfig {
    /// The preset of a name in [`NETWORK_PRESETS`].
    ///
    /// # Errors
    /// [`ConfigError::UnknownNetwork`] with the known names.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        match name {
            "ddpm-cifar10" => Ok(Self::ddpm_cifar10()),
            "small-32" => Ok(Self::small(32, 32, vec![1, 2, 2], 2, vec![8])),
            "small-28" => Ok(Self::small(28, 32, vec![1, 2, 3], 1, vec![7])),
            "tiny-16" => Ok(Self { groups: 8, ..Self::small(16, 16, vec![1, 2], 1, vec![8]) }),
            _ => {
                let known: Vec<_> = NETWORK_PRESETS.iter().map(|(name, _)| *name).collect();
                Err(ConfigError::UnknownNetwork { name: name.to_owned(), known: known.join(", ") })
            }
        }
    }

    /// Ho et al. 2020, App. B: widths 128, 256, 256, 256, two blocks a level, attention at 16x16, one
    /// head, dropout 0.1.
    #[must_use]
    pub fn ddpm_cifar10() -> Self {
        Self {
            image_size: 32,
            in_channels: 3,
            out_channels: 3,
            base_channels: 128,
            channel_mults: vec![1, 2, 2, 2],
            blocks_per_level: 2,
            attention_resolutions: vec![16],
            mid_attention: true,
            heads: 1,
            groups: 32,
            norm_eps: 1e-6,
            dropout: 0.1,
            embedding: EmbeddingConfig::Transformer {
                dim: 128,
                order: SinusoidOrder::SinFirst,
                freq_shift: 1,
            },
            time_channels: 512,
            time_injection: TimeInjection::PerBlock,
            time_form: TimeForm::Additive,
            downsample_padding: DownsamplePadding::BottomRight,
            classes: None,
        }
    }

    /// A small network for grey images, with the mission's own time embedding.
    fn small(size: usize, base: usize, mults: Vec<usize>, blocks: usize, attention: Vec<usize>) -> Self {
        Self {
            image_size: size,
            in_channels: 1,
            out_channels: 1,
            base_channels: base,
            channel_mults: mults,
            blocks_per_level: blocks,
            attention_resolutions: attention,
            mid_attention: true,
            heads: 1,
            groups: 8,
            norm_eps: 1e-6,
            dropout: 0.0,
            embedding: EmbeddingConfig::Normalized { frequencies: 32 },
            time_channels: 4 * base,
            time_injection: TimeInjection::PerBlock,
            time_form: TimeForm::Additive,
            downsample_padding: DownsamplePadding::Even,
            classes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_preset_is_valid() {
        for (name, _) in NETWORK_PRESETS {
            UNetConfig::preset(name).unwrap().validate().unwrap();
        }
        let error = UNetConfig::preset("nope").unwrap_err().to_string();
        assert!(error.contains("ddpm-cifar10") && error.contains("nope"), "{error}");
    }
}
