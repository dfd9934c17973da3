//! The shape of a network: everything that decides its parameters and what it computes.

use embedding::{EmbeddingKind, Order};
use serde::{Deserialize, Serialize};

use super::layout::{Layout, Resampling};

/// The shape of a U-Net. Levels count from the full resolution (0) down; each halves the size.
///
/// Presets have names, see [`UNetConfig::preset`]; [`UNetConfig::for_images`] fits one to your images. There is no `Default`,
/// since no numbers suit all images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Which network it is. Runs of earlier versions do not record it.
    #[serde(default)]
    pub kind: NetworkKind,
    /// Height and width in pixels for which the network is designed. It decides on which levels `attention_resolutions`
    /// lie. Other sizes work too if they are multiples of the downsampling factor.
    #[serde(default)]
    pub image_size: usize,
    /// Image channels, usually 1 or 3.
    #[serde(default)]
    pub in_channels: usize,
    /// Output channels: as many as `in_channels`, or twice that with a learned variance.
    #[serde(default)]
    pub out_channels: usize,
    /// Channels of the first feature map.
    pub base_channels: usize,
    /// Channels of each level, as multiples of `base_channels`.
    pub channel_mults: Vec<usize>,
    /// Residual blocks of each encoder level; a decoder level has one more.
    pub blocks_per_level: usize,
    /// Resolutions in pixels at which self-attention follows each block.
    pub attention_resolutions: Vec<usize>,
    /// Self-attention between the two blocks of the lowest level.
    pub mid_attention: bool,
    /// Attention heads; the channels are split among them.
    pub heads: usize,
    /// Groups of the group normalisation.
    pub groups: usize,
    /// Added to the variance in group normalisation.
    pub norm_eps: f64,
    /// Probability that a channel entry is zeroed before a block's second convolution, during training.
    pub dropout: f64,
    /// How t is encoded.
    pub embedding: EmbeddingConfig,
    /// Width of the time vector after its two linear layers; 0 means 4 times `base_channels`.
    #[serde(default)]
    pub time_channels: usize,
    /// Where the time enters the network.
    pub time_injection: TimeInjection,
    /// How the time enters a block.
    pub time_form: TimeForm,
    /// Where the padding of the downsampling convolutions goes.
    pub downsample_padding: DownsamplePadding,
    /// Number of classes of a conditional network; absent if it is unconditional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Rank of the low-rank adapters of convolutions and attention (LoRA: Hu et al. 2022), which are then trained instead of the
    /// rest of the network; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_rank: Option<usize>,
    /// Whether the network is conditioned on the augmentation of its input; follows from `train.augment`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub augmented: bool,
    /// Differences from the U-Net of the keys above, for networks from other programs.
    #[serde(default, skip_serializing_if = "Layout::is_usual")]
    pub layout: Layout,
}

/// Numbers that describe an augmentation: cosine and sine of the rotation, mirrored or not, and the two offsets.
pub const AUGMENTATIONS: usize = 5;

/// What the names of an adapter's two factors end with, after the name of the layer.
pub const ADAPTER_DOWN: &str = ".adapter_down";
/// As [`ADAPTER_DOWN`].
pub const ADAPTER_UP: &str = ".adapter_up";

/// Whether a parameter is part of an adapter.
#[must_use]
pub fn is_adapter(name: &str) -> bool {
    name.ends_with(ADAPTER_DOWN) || name.ends_with(ADAPTER_UP)
}

/// The supported networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// The U-Net of the crate `unet`.
    #[default]
    Unet,
}

/// How t becomes a vector; see the crate `embedding` for the formulas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EmbeddingConfig {
    /// Sinusoids of t / T, from 1 cycle up to the Nyquist frequency T / 2, geometrically spaced.
    Normalized {
        /// Number of frequencies; twice as many dimensions.
        frequencies: usize,
    },
    /// The transformer's position encoding, as used by Ho et al. 2020.
    Transformer {
        /// Number of dimensions, even.
        dim: usize,
        /// Whether the sines or the cosines come first.
        order: SinusoidOrder,
        /// Subtracted from the number of frequencies in the exponent's divisor: 1 in Ho et al.'s code, 0 in the
        /// transformer paper.
        freq_shift: usize,
    },
    /// Random frequencies of t / T (Gaussian Fourier features).
    Fourier {
        /// Number of frequencies; twice as many dimensions.
        frequencies: usize,
        /// Standard deviation of the frequencies, in cycles over the whole chain.
        scale: f64,
        /// Seed of the frequencies.
        seed: u64,
    },
    /// A learned table with a row for each t, as in networks from other programs; between two t, the rows are
    /// interpolated.
    Table {
        /// T.
        rows: usize,
        /// Numbers per row.
        dim: usize,
    },
}

/// Which half of the encoding comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinusoidOrder {
    /// `[sin, cos]`, as in Ho et al. 2020.
    SinFirst,
    /// `[cos, sin]`, as in many latent models.
    CosFirst,
}

/// Where the time enters the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeInjection {
    /// Added to the first feature map only, which equals feeding the encoding as constant input channels. This suffices
    /// for a small model.
    Input,
    /// Added to every residual block, as in the paper.
    PerBlock,
}

/// How the time enters a residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeForm {
    /// Added after the first convolution (Ho et al. 2020).
    Additive,
    /// Scales and shifts the second normalisation (Dhariwal & Nichol 2021, "adaptive group
    /// normalisation").
    ScaleShift,
}

/// Where the one pixel of padding of a stride-2 convolution goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownsamplePadding {
    /// At the bottom and the right, as in Ho et al.'s code.
    BottomRight,
    /// On all four sides; the convolution pads internally, without a copy.
    Even,
}

impl EmbeddingConfig {
    /// The embedding for `timesteps` steps; `None` for a table, whose values are weights.
    #[must_use]
    pub fn kind(&self, timesteps: usize) -> Option<EmbeddingKind> {
        Some(match *self {
            Self::Table { .. } => return None,
            Self::Normalized { frequencies } => EmbeddingKind::normalized(timesteps, frequencies),
            Self::Transformer { dim, order, freq_shift } => EmbeddingKind::Transformer {
                dim,
                max_period: 10_000.0,
                order: match order {
                    SinusoidOrder::SinFirst => Order::SinFirst,
                    SinusoidOrder::CosFirst => Order::CosFirst,
                },
                freq_shift: freq_shift as f64,
            },
            Self::Fourier { frequencies, scale, seed } => {
                EmbeddingKind::Fourier { steps: timesteps, frequencies, scale, seed }
            }
        })
    }
}

impl UNetConfig {
    /// The number of resolutions.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.layout.level_channels.as_ref().unwrap_or(&self.channel_mults).len()
    }

    /// Height and width must be multiples of this.
    #[must_use]
    pub fn downsampling_factor(&self) -> usize {
        1 << self.levels().saturating_sub(1).min(usize::BITS as usize - 1)
    }

    /// Width of the time vector.
    #[must_use]
    pub fn time_width(&self) -> usize {
        if self.time_channels == 0 { self.base_channels.saturating_mul(4) } else { self.time_channels }
    }

    /// Channels of a level; 0 if the network does not have it.
    #[must_use]
    pub fn level_channels(&self, level: usize) -> usize {
        match &self.layout.level_channels {
            Some(channels) => channels.get(level).copied().unwrap_or(0),
            None => self.base_channels.saturating_mul(self.channel_mults.get(level).copied().unwrap_or(0)),
        }
    }

    /// Height and width of a level in pixels; 0 if there is no such level.
    #[must_use]
    pub fn level_size(&self, level: usize) -> usize {
        u32::try_from(level).ok().and_then(|level| self.image_size.checked_shr(level)).unwrap_or(0)
    }

    /// Whether attention follows the encoder's blocks of a level.
    #[must_use]
    pub fn attends_down(&self, level: usize) -> bool {
        self.attends(&self.layout.down_attention, level)
    }

    /// Whether attention follows the decoder's blocks of a level.
    #[must_use]
    pub fn attends_up(&self, level: usize) -> bool {
        self.attends(&self.layout.up_attention, level)
    }

    fn attends(&self, levels: &Option<Vec<bool>>, level: usize) -> bool {
        match levels {
            Some(levels) => levels.get(level).copied().unwrap_or(false),
            None => self.attention_resolutions.contains(&self.level_size(level)),
        }
    }

    /// Whether attention follows any blocks of a level.
    #[must_use]
    pub fn has_attention(&self, level: usize) -> bool {
        self.attends_down(level) || self.attends_up(level)
    }

    /// Attention heads for this many channels.
    #[must_use]
    pub fn heads_of(&self, channels: usize) -> usize {
        self.layout.head_channels.map_or(self.heads, |each| channels.checked_div(each).unwrap_or(0))
    }

    /// How the encoder level reduces the resolution.
    #[must_use]
    pub fn downsampling(&self, level: usize) -> Resampling {
        Layout::resampling(&self.layout.downsampling, level)
    }

    /// How the decoder level increases the resolution.
    #[must_use]
    pub fn upsampling(&self, level: usize) -> Resampling {
        Layout::resampling(&self.layout.upsampling, level)
    }
}
