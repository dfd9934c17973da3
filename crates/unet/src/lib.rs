//! The U-Net that predicts the noise in an image, of DDPM (Ho et al. 2020, App. B) and its successors, on libtorch.
//! `cargo run -p unet --example predict` applies one.
//!
//! Input and output are `[b, c, h, w]`. Encoder and decoder layers of one resolution are joined by skip connections.
//! The timestep enters every residual block, or only the first feature map.
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

/// Re-exports of the crates in the interface, in the version used here, so that programs need no dependency of their
/// own.
pub use tch;

pub use backbone::{Backbone, BackboneError, Facts, NO_LABEL, Params, Pass, Predictor, merged};
pub use config::{
    Activation, ConfigError, DownsamplePadding, EmbeddingConfig, Layout, Middle, NetworkKind, Resampling,
    SinusoidOrder, TimeForm, TimeInjection, UNetConfig,
};
pub use net::{UNet, check_weights};
pub use tensor_io::{Named, TensorIoError};
