//! Halving and doubling the resolution: a stride-2 convolution for down; nearest neighbour and a convolution for up (Ho et
//! al. 2020, App. B), or one of the variants of [`Resampling`].

use tch::Tensor;

use backbone::BackboneError;
use backbone::ParamStore;
use backbone::Pass;
use backbone::layers::{Conv2d, Init, Kernel};
use config::{DownsamplePadding, Resampling, UNetConfig};

use crate::resblock::{ResBlock, Resized, Variant};

/// Halves height and width.
pub(crate) enum Downsample {
    Conv(Conv2d, DownsamplePadding),
    Resnet(Box<ResBlock>),
    Plain,
}

impl Downsample {
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        channels: usize,
        kind: Resampling,
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        let channels = (channels, channels);
        Ok(match kind {
            Resampling::Conv => {
                let padding = config.downsample_padding;
                let own = match padding {
                    DownsamplePadding::Even => 1,
                    DownsamplePadding::BottomRight => 0,
                };
                let kernel = Kernel { size: 3, stride: 2, padding: own };
                let conv = Conv2d::new(store, &format!("{name}.conv"), channels, kernel, Init::FanAverage)?;
                Self::Conv(conv, padding)
            }
            Resampling::Resnet => {
                let variant = Variant { resized: Some(Resized::Halved), ..Variant::default() };
                Self::Resnet(Box::new(ResBlock::new(store, name, channels, config, variant)?))
            }
            Resampling::Plain => Self::Plain,
        })
    }

    /// `[b, c, h, w]` to `[b, c, h / 2, w / 2]`.
    pub(crate) fn forward(&self, x: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        match self {
            Self::Conv(conv, DownsamplePadding::Even) => conv.forward(x, pass),
            Self::Conv(conv, DownsamplePadding::BottomRight) => {
                conv.forward(&x.f_constant_pad_nd([0, 1, 0, 1])?, pass)
            }
            Self::Resnet(block) => block.forward(x, temb, pass),
            Self::Plain => halved(x),
        }
    }
}

/// Doubles height and width.
pub(crate) enum Upsample {
    Conv(Conv2d),
    Resnet(Box<ResBlock>),
    Plain,
}

impl Upsample {
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        channels: usize,
        kind: Resampling,
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        let channels = (channels, channels);
        Ok(match kind {
            Resampling::Conv => {
                let name = format!("{name}.conv");
                Self::Conv(Conv2d::new(store, &name, channels, Kernel::THREE, Init::FanAverage)?)
            }
            Resampling::Resnet => {
                let variant = Variant { resized: Some(Resized::Doubled), ..Variant::default() };
                Self::Resnet(Box::new(ResBlock::new(store, name, channels, config, variant)?))
            }
            Resampling::Plain => Self::Plain,
        })
    }

    /// `[b, c, h, w]` to `[b, c, 2h, 2w]`.
    pub(crate) fn forward(&self, x: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        match self {
            Self::Conv(conv) => conv.forward(&doubled(x)?, pass),
            Self::Resnet(block) => block.forward(x, temb, pass),
            Self::Plain => doubled(x),
        }
    }
}

/// Means of 2x2 pixels.
pub(crate) fn halved(x: &Tensor) -> Result<Tensor, BackboneError> {
    Ok(x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?)
}

/// Repeats each pixel as 2x2.
pub(crate) fn doubled(x: &Tensor) -> Result<Tensor, BackboneError> {
    let size = x.size();
    Ok(x.f_upsample_nearest2d([2 * size[2], 2 * size[3]], None, None)?)
}
