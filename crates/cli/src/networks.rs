//! The one place that builds a network.

use std::path::Path;

use config::{Config, NetworkKind, UNetConfig};
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

/// A network with the weights of a file. The file is checked before the network is built, which takes as much memory as the
/// configuration likes.
pub(crate) fn load(
    config: &Config,
    weights: &Path,
    device: Device,
) -> Result<Box<dyn Backbone>, BackboneError> {
    check_weights(&config.model, weights)?;
    let net = build(&config.model, config.schedule.steps, device, config.seed)?;
    net.load(weights)?;
    Ok(net)
}

/// Checks by its header that a file holds the weights of such a network, without building one.
pub(crate) fn check_weights(model: &UNetConfig, path: &Path) -> Result<(), BackboneError> {
    match model.kind {
        NetworkKind::Unet => unet::check_weights(model, path),
    }
}
