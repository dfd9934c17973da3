//! Variations of the U-Net that this project's own networks do not use. They describe networks from other programs.

use serde::{Deserialize, Serialize};

/// How a network differs from the default U-Net. Lists are by level, from the full resolution (0) down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layout {
    /// Channels of each level if they are not multiples of `base_channels`; `channel_mults` is then empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_channels: Option<Vec<usize>>,
    /// Whether each encoder level has attention; replaces `attention_resolutions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_attention: Option<Vec<bool>>,
    /// The same for the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_attention: Option<Vec<bool>>,
    /// Channels per attention head; replaces `heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<usize>,
    /// How encoder levels halve the resolution; all but the lowest do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downsampling: Option<Vec<Resampling>>,
    /// How decoder levels double the resolution; all but the highest (0) do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsampling: Option<Vec<Resampling>>,
    /// The activation in the blocks, and of the time vector before their projections.
    #[serde(skip_serializing_if = "Activation::is_usual")]
    pub activation: Activation,
    /// Differences in the middle of the network.
    #[serde(skip_serializing_if = "Middle::is_usual")]
    pub middle: Middle,
    /// Whether images are expected in `[0, 1]` and mapped to `[-1, 1]` first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub center_input: bool,
}

/// How the middle of a network differs from the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Middle {
    /// There is no middle: the decoder starts where the encoder ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Groups of the attention's normalisation; replaces `groups`. 0 means no normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_groups: Option<usize>,
    /// Divisor of the sum of a branch and its skip path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// How a level changes the resolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resampling {
    /// Down: a convolution with stride 2. Up: nearest neighbour, then a convolution.
    #[default]
    Conv,
    /// A residual block that averages 2x2 pixels or repeats pixels (Song et al. 2021; Dhariwal & Nichol 2021).
    Resnet,
    /// Down: average 2x2 pixels. Up: repeat pixels.
    Plain,
}

/// The activation function in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x sigmoid(x)`.
    #[default]
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `x Phi(x)`, with the standard normal distribution function Phi.
    Gelu,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
}

impl Layout {
    /// Whether everything has its default.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn resampling(levels: &Option<Vec<Resampling>>, level: usize) -> Resampling {
        levels.as_ref().and_then(|levels| levels.get(level).copied()).unwrap_or_default()
    }
}

impl Middle {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Activation {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
