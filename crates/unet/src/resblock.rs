//! The residual block (Ho et al. 2020, App. B): norm, SiLU and convolution, twice; the time enters in between.

use tch::{Kind, Tensor};
use torch_ext::Modulation;

use backbone::Pass;
use backbone::layers::{Conv2d, GroupNorm, Init, Kernel, Linear, dropout};
use backbone::{BackboneError, activate};
use backbone::{ParamStore, Role};
use config::{Activation, TimeForm, TimeInjection, UNetConfig};

use crate::resample::{doubled, halved};

/// How a block differs from the default one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Variant {
    /// Change of resolution after the first normalisation.
    pub(crate) resized: Option<Resized>,
    /// Divisor of the sum of branch and skip path.
    pub(crate) scale: Option<f64>,
}

/// How a block changes the resolution of both its branch and its skip path.
#[derive(Clone, Copy)]
pub(crate) enum Resized {
    /// By means of 2x2 pixels.
    Halved,
    /// By repeating pixels.
    Doubled,
}

pub(crate) struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<(Linear, TimeForm)>,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// A 1x1 convolution, if the number of channels changes.
    skip: Option<Conv2d>,
    dropout: f64,
    activation: Activation,
    variant: Variant,
}

impl ResBlock {
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        channels: (usize, usize),
        config: &UNetConfig,
        variant: Variant,
    ) -> Result<Self, BackboneError> {
        let (c_in, c_out) = channels;
        let (groups, eps) = (config.groups, config.norm_eps);
        let norm1 = GroupNorm::new(store, &format!("{name}.norm1"), c_in, groups, eps)?;
        let conv1 = Conv2d::new(store, &format!("{name}.conv1"), channels, Kernel::THREE, Init::FanAverage)?;
        let width = match config.time_form {
            TimeForm::Additive => c_out,
            TimeForm::ScaleShift => 2 * c_out,
        };
        let time = match config.time_injection {
            TimeInjection::Input => None,
            TimeInjection::PerBlock => {
                let projection = (config.time_width(), width);
                let linear = Linear::new(
                    store,
                    &format!("{name}.time_emb_proj"),
                    projection,
                    Init::FanAverage,
                    Role::Time,
                )?;
                Some((linear, config.time_form))
            }
        };
        let norm2 = GroupNorm::new(store, &format!("{name}.norm2"), c_out, groups, eps)?;
        let conv2 = Conv2d::new(store, &format!("{name}.conv2"), (c_out, c_out), Kernel::THREE, Init::Zero)?;
        let skip = (c_in != c_out)
            .then(|| {
                Conv2d::new(store, &format!("{name}.conv_shortcut"), channels, Kernel::ONE, Init::FanAverage)
            })
            .transpose()?;
        let (dropout, activation) = (config.dropout, config.layout.activation);
        Ok(Self { norm1, conv1, time, norm2, conv2, skip, dropout, activation, variant })
    }

    /// `x` `[b, c_in, h, w]` and `temb` `[b, d]` (activated) to `[b, c_out, h, w]`, or half or twice h and w.
    pub(crate) fn forward(&self, x: &Tensor, temb: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        let silu = self.activation == Activation::Silu;
        let activated = |h: Tensor| if silu { Ok(h) } else { activate(&h, self.activation) };
        let (h, x) = self.norm1.branch(x, silu, pass)?;
        let h = activated(h)?;
        let (h, x) = match self.variant.resized {
            None => (h, x),
            Some(Resized::Halved) => (halved(&h)?, halved(&x)?),
            Some(Resized::Doubled) => (doubled(&h)?, doubled(&x)?),
        };
        let h = self.conv1.forward(&h, pass)?; // [b, c_out, h, w]
        // The time is added before the second normalisation, or scales and shifts after it.
        let projected = self.time.as_ref().map(|(linear, _)| linear.of_images(temb, pass)).transpose()?;
        let projected = projected.map(|time| time.f_to_kind(Kind::Float)).transpose()?;
        let time = match (&projected, &self.time) {
            (Some(shift), Some((_, TimeForm::Additive))) => Modulation::Shift(shift),
            (Some(both), Some((_, TimeForm::ScaleShift))) => Modulation::ScaleShift(both),
            _ => Modulation::None,
        };
        let h = activated(self.norm2.forward(&h, time, silu, pass)?)?;
        let h = self.conv2.forward(&dropout(h, self.dropout, pass)?, pass)?;
        // conv2 starts at zero, so a fresh block is exactly its skip path.
        let sum = match &self.skip {
            Some(skip) => skip.forward(&x, pass)?.f_add(&h)?,
            None => x.f_add(&h)?,
        };
        Ok(match self.variant.scale {
            Some(scale) => sum.f_div_scalar(scale)?,
            None => sum,
        })
    }
}
