//! Finds a model's files in a folder, and checks its weights against the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tensor_file::Dtype;

use super::names::current;
use super::scheduler::{Scheduler, scheduler};
use super::unet2d::{Network, network};
use crate::error::InterchangeError;
use crate::keys::Keys;

const INDEX: &str = "model_index.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
const SHARDS: &str = "diffusion_pytorch_model.safetensors.index.json";
const PICKLE: &str = "diffusion_pytorch_model.bin";
const SCHEDULER: &str = "scheduler_config.json";
/// Maximum number of weight files.
const MOST_SHARDS: usize = 1000;

/// A diffusers model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The network and the size of its images.
    pub network: Network,
    /// The noise schedule and the preferred way of sampling.
    pub scheduler: Scheduler,
    /// Files with the weights. [`super::current_name`] maps their tensor names to the network's. Element types may be
    /// f64, f32, f16 or bf16.
    pub weights: Vec<PathBuf>,
}

impl Model {
    /// The configuration of this network. Unknown training settings get their defaults.
    #[must_use]
    pub fn config(&self) -> config::Config {
        crate::run::config(&self.network, &self.scheduler)
    }
}

/// Whether a folder looks like a diffusers model.
#[must_use]
pub fn is_model(folder: &Path) -> bool {
    [INDEX, CONFIG, "unet/config.json"].iter().any(|name| folder.join(name).is_file())
}

/// Reads a model's configurations and the headers of its weights, and checks the headers against the network.
///
/// # Errors
/// An error that names the file and, if there is one, the key and its value.
pub fn open(folder: &Path) -> Result<Model, InterchangeError> {
    let index = folder.join(INDEX);
    if index.is_file() {
        check_index(Keys::read(&index)?)?;
    }
    let inner = folder.join("unet");
    let home = if inner.is_dir() { inner } else { folder.to_owned() };
    let network = network(Keys::read(&home.join(CONFIG))?)?;
    let places = [folder.join("scheduler").join(SCHEDULER), folder.join(SCHEDULER)];
    let Some(place) = places.iter().find(|path| path.is_file()) else {
        let reason =
            format!("no scheduler/{SCHEDULER}, which holds the noise schedule the network was trained on");
        return Err(InterchangeError::content(folder, reason));
    };
    let scheduler = scheduler(Keys::read(place)?)?;
    let weights = weights(&home)?;
    check_weights(&network, &weights)?;
    Ok(Model { network, scheduler, weights })
}

/// Refuses pipelines with other parts, since their network is not the whole model.
fn check_index(mut keys: Keys) -> Result<(), InterchangeError> {
    keys.ignore("_class_name");
    keys.ignore("scheduler");
    if let Some(unet) = keys.take("unet") {
        let class = unet.as_array().and_then(|pair| pair.get(1)).and_then(Value::as_str);
        if class != Some("UNet2DModel") {
            return keys.refuse(
                "unet",
                &unet,
                "[\"diffusers\", \"UNet2DModel\"]: other networks are not supported",
            );
        }
    }
    keys.finish()
}

/// The weight files: one file, or several shards.
fn weights(home: &Path) -> Result<Vec<PathBuf>, InterchangeError> {
    let index = home.join(SHARDS);
    if index.is_file() {
        return Ok(shards(Keys::read(&index)?)?.into_iter().map(|name| home.join(name)).collect());
    }
    let whole = home.join(WEIGHTS);
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let reason = if home.join(PICKLE).is_file() {
        format!(
            "{PICKLE} is a pickle, which can run arbitrary code when it is read; if you trust it, convert it in its folder: python3 -c \
             \"import torch, safetensors.torch as s; s.save_file(torch.load('{PICKLE}', weights_only=True), '{WEIGHTS}')\""
        )
    } else {
        format!("expected {WEIGHTS}, found none")
    };
    Err(InterchangeError::content(home, reason))
}

/// Parses a shard index with the bytes of a file at `path`, and returns the file names it lists, without folders.
///
/// # Errors
/// An error that names the file, the key and its value.
pub fn parse_shards(path: &Path, bytes: &[u8]) -> Result<Vec<String>, InterchangeError> {
    shards(Keys::parse(path, bytes.to_vec())?)
}

fn shards(mut keys: Keys) -> Result<Vec<String>, InterchangeError> {
    keys.ignore("metadata");
    let map = keys.take("weight_map").unwrap_or(Value::Null);
    let Some(map) = map.as_object() else {
        return keys.refuse("weight_map", &map, "an object that maps tensors to files");
    };
    let mut names = BTreeSet::new();
    for file in map.values() {
        let plain = |name: &&str| {
            let letters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            name.ends_with(".safetensors") && name.chars().all(letters) && !name.starts_with('.')
        };
        let Some(name) = file.as_str().filter(plain) else {
            return keys.refuse("weight_map", file, "names of .safetensors files in the same folder");
        };
        names.insert(name);
    }
    if names.len() > MOST_SHARDS {
        let found = Value::from(names.len());
        return keys.refuse("weight_map", &found, format!("at most {MOST_SHARDS} files"));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Compares names and shapes in the headers with the network's.
fn check_weights(network: &Network, files: &[PathBuf]) -> Result<(), InterchangeError> {
    let mut wanted: BTreeMap<String, Vec<usize>> = network.config.parameters().into_iter().collect();
    for path in files {
        for (name, found) in tensor_file::read_header(path)?.tensors {
            let refuse = |reason: String| Err(InterchangeError::content(path, format!("{name}: {reason}")));
            let Some(shape) = wanted.remove(&current(&name)) else {
                return refuse(
                    "the network in config.json has no such tensor, or the tensor is there twice".to_owned(),
                );
            };
            if found.shape != shape {
                return refuse(format!("shape {:?}, expected {shape:?}", found.shape));
            }
            if !matches!(found.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return refuse(format!("{}, expected F64, F32, F16 or BF16", found.dtype.name()));
            }
        }
    }
    match (wanted.keys().next(), files.first()) {
        (Some(missing), Some(path)) => {
            let more = wanted.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Err(InterchangeError::content(path, format!("{missing} is missing{more}")))
        }
        _ => Ok(()),
    }
}
