//! Halving and doubling the resolution: a stride-2 convolution down, nearest neighbour and a convolution
//! up (Ho et al. 2020, App. B).

use tch::Tensor;

use backbone::BackboneError;
use backbone::ParamStore;
use backbone::Pass;
use backbone::layers::{Conv2d, Init, Kernel};
use config::DownsamplePadding;

pub(crate) struct Downsample {
    conv: Conv2d,
    padding: DownsamplePadding,
}

impl Downsample {
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        channels: usize,
        padding: DownsamplePadding,
    ) -> Result<Self, BackboneError> {
        let own = match padding {
            DownsamplePadding::Even => 1,
            DownsamplePadding::BottomRight => 0,
        };
        let kernel = Kernel { size: 3, stride: 2, padding: own };
        let conv =
            Conv2d::new(store, &format!("{name}.conv"), (channels, channels), kernel, Init::FanAverage)?;
        Ok(Self { conv, padding })
    }

    /// `[b, c, h, w]` to `[b, c, h / 2, w / 2]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        match self.padding {
            DownsamplePadding::Even => self.conv.forward(x, pass),
            DownsamplePadding::BottomRight => self.conv.forward(&x.f_constant_pad_nd([0, 1, 0, 1])?, pass),
        }
    }
}

pub(crate) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    pub(crate) fn new(store: &mut ParamStore, name: &str, channels: usize) -> Result<Self, BackboneError> {
        let conv = Conv2d::new(
            store,
            &format!("{name}.conv"),
            (channels, channels),
            Kernel::THREE,
            Init::FanAverage,
        )?;
        Ok(Self { conv })
    }

    /// `[b, c, h, w]` to `[b, c, 2h, 2w]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        let size = x.size();
        let doubled = x.f_upsample_nearest2d([2 * size[2], 2 * size[3]], None, None)?;
        self.conv.forward(&doubled, pass)
    }
}
