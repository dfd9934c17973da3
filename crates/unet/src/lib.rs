//! The eps-predicting U-Net of DDPM (Ho et al. 2020, App. B) on libtorch.
//!
//! `[b, c, h, w]` in, `[b, c, h, w]` out; encoder and decoder layers of one resolution are joined by skip
//! connections; the timestep enters every residual block, or the first feature map only.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use unet::{Backbone, Pass, UNet, UNetConfig};
//!
//! let config = UNetConfig::preset("tiny-16")?;
//! let net = UNet::new(&config, 1000, Device::Cpu, 0)?;
//! let x_t = Tensor::zeros([2, 1, 16, 16], (Kind::Float, Device::Cpu));
//! let t = Tensor::from_slice(&[0_i64, 999]);
//! let eps = net.forward(&x_t, &t, None, &Pass::eval())?;
//! assert_eq!(eps.size(), [2, 1, 16, 16]);
//! # Ok::<(), unet::BackboneError>(())
//! ```

mod attention;
mod blocks;
mod net;
mod resample;
mod resblock;
mod stage;

/// What the interface shows, in the version that this crate uses: a program needs no dependency of its own for it.
pub use tch;

pub use backbone::{Backbone, BackboneError, NO_LABEL, Pass, Predictor, merged};
pub use config::{
    Activation, DownsamplePadding, EmbeddingConfig, Layout, Middle, Resampling, SinusoidOrder, TimeForm,
    TimeInjection, UNetConfig,
};
pub use net::{UNet, check_weights};
