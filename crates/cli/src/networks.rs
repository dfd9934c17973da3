//! The one place that builds a network.

use std::path::Path;

use config::{Config, NetworkKind, UNetConfig};
use interchange::diffusers::current_name;
use tch::{Device, Kind};
use tensor_io::Named;
use unet::{Backbone, BackboneError, UNet, merged};

use crate::model_source::{SHIPPED, WeightFiles};
use crate::state_dict;

/// Builds a fresh network for a path of `timesteps` steps.
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

/// Builds a network with the weights of its files and merges adapters. Checks the files first, since building takes as much memory as the
/// configuration asks for.
pub(crate) fn load(
    config: &Config,
    weights: &WeightFiles,
    device: Device,
) -> Result<Box<dyn Backbone>, BackboneError> {
    let build = || build(&config.model, config.schedule.steps, device, config.seed);
    let net = if let WeightFiles::Own(file) = weights {
        check_weights(&config.model, file)?;
        let net = build()?;
        net.load(file)?;
        net
    } else {
        let read = read(config, weights)?;
        let net = build()?;
        net.copy_weights(&read)?;
        net
    };
    match first_not_finite(&*net)? {
        Some(name) => Err(BackboneError::NotFinite { name }),
        None if config.model.adapter_rank.is_some() => net.with_parameters(merged(net.params())?),
        None => Ok(net),
    }
}

/// The first tensor that contains a number that is not finite.
fn first_not_finite(net: &dyn Backbone) -> Result<Option<String>, BackboneError> {
    for (name, tensor) in net.params() {
        // A sum of magnitudes keeps any NaN or infinity, and in f64 it does not overflow.
        if !f64::try_from(tensor.f_abs()?.f_sum(Kind::Double)?)?.is_finite() {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Reads the weights of a network without building it, adapters merged: f32, on the CPU, by this project's names.
pub(crate) fn weights(config: &Config, weights: &WeightFiles) -> Result<Vec<Named>, BackboneError> {
    merged(&read(config, weights)?)
}

/// The same, with the adapters beside the weights.
fn read(config: &Config, weights: &WeightFiles) -> Result<Vec<Named>, BackboneError> {
    match weights {
        WeightFiles::Own(file) => {
            check_weights(&config.model, file)?;
            Ok(tensor_io::read(file)?)
        }
        WeightFiles::Exported(file) => {
            config.model.validate()?;
            Ok(tensor_io::read_floats(file, &config.model.parameters())?)
        }
        WeightFiles::Shipped(bytes) => {
            config.model.validate()?;
            Ok(tensor_io::parse_for(Path::new(SHIPPED), bytes, &config.model.parameters())?)
        }
        // The headers were compared with the network when the files were found.
        WeightFiles::Diffusers(files) => {
            let mut all = Vec::new();
            for file in files {
                for (name, tensor) in tensor_io::read(file)? {
                    all.push((current_name(&name), tensor.f_to_kind(Kind::Float)?));
                }
            }
            Ok(all)
        }
        // As above.
        WeightFiles::StateDict(file, plan) => state_dict::read(file, plan),
    }
}

/// Checks by its header, without building a network, that a file holds the weights of such a network.
pub(crate) fn check_weights(model: &UNetConfig, path: &Path) -> Result<(), BackboneError> {
    match model.kind {
        NetworkKind::Unet => unet::check_weights(model, path),
    }
}
