//! Variations of the U-Net that this project's own networks do without. Networks from elsewhere are described by them.

use serde::{Deserialize, Serialize};

/// How a network differs from the usual one. Lists are by level, from the full resolution (0) down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layout {
    /// Channels of each level, where they are no multiples of `base_channels`; `channel_mults` is then empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_channels: Option<Vec<usize>>,
    /// Whether the encoder's blocks are followed by attention, in place of `attention_resolutions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_attention: Option<Vec<bool>>,
    /// The same for the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_attention: Option<Vec<bool>>,
    /// Channels of an attention head, in place of `heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<usize>,
    /// How the encoder's levels halve their maps: all but the lowest do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downsampling: Option<Vec<Resampling>>,
    /// How the decoder's levels double theirs: all but the highest (0) do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsampling: Option<Vec<Resampling>>,
    /// In the blocks, and of the time vector in front of their projections.
    #[serde(skip_serializing_if = "Activation::is_usual")]
    pub activation: Activation,
    /// The middle, where it is another.
    #[serde(skip_serializing_if = "Middle::is_usual")]
    pub middle: Middle,
    /// Whether images are taken to be in `[0, 1]`, and brought to `[-1, 1]` first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub center_input: bool,
}

/// What is different about the middle of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Middle {
    /// There is none: the decoder begins where the encoder ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Groups of the attention's normalisation, in place of `groups`; 0 for no normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_groups: Option<usize>,
    /// Sums of a branch and its skip path are divided by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// How a level changes the resolution of its map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resampling {
    /// A convolution of stride 2; nearest neighbour and a convolution.
    #[default]
    Conv,
    /// A residual block, in which means of 2x2 pixels are taken or pixels repeated (Song et al. 2021; Dhariwal & Nichol 2021).
    Resnet,
    /// Means of 2x2 pixels; pixels repeated.
    Plain,
}

/// The function between the layers of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x sigmoid(x)`.
    #[default]
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `x Phi(x)`, with the distribution function of the normal distribution.
    Gelu,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
}

impl Layout {
    /// Whether it says nothing.
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
