//! The one place that builds a network.

use std::path::Path;

use config::{NetworkKind, UNetConfig};
use tch::Device;
use unet::{Backbone, BackboneError, UNet};

/// A fresh network for times of `timesteps` steps.
pub(crate) fn build(
    model: &UNetConfig,
    timesteps: usize,
    device: Device,
    seed: u64,
) -> Result<Box<dyn Backbone>, BackboneError> {
    match model.kind {
        NetworkKind::Unet => Ok(Box::new(UNet::new(model, timesteps, device, seed)?)),
    }
}

/// Checks by its header that a file holds the weights of such a network, without building one.
pub(crate) fn check_weights(model: &UNetConfig, path: &Path) -> Result<(), BackboneError> {
    match model.kind {
        NetworkKind::Unet => unet::check_weights(model, path),
    }
}
