//! Files of low-rank adapters: what `ddpm export --format adapter` writes and `--adapter` puts on a model.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use config::{ADAPTER_DOWN, ADAPTER_UP, is_adapter};
use sha2::{Digest, Sha256};
use tensor_io::Named;
use tracing::warn;
use unet::{Backbone, merged};

use crate::failure::usage;
use crate::model_source::{STEP, Source, WeightFiles};
use crate::paths;

/// The string in the header that makes a file one of adapters: the SHA-256 of the weights they were trained on.
const BASE: &str = "ddpm.adapter.base";

/// SHA-256 over names, shapes and numbers, whatever the order. Of the tensors and not of a file, so that an exported checkpoint
/// is the checkpoint.
pub(crate) fn digest(weights: &[Named]) -> anyhow::Result<String> {
    let mut sorted: Vec<Named> = weights.iter().map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let digest = Sha256::digest(tensor_io::serialize(&sorted)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes the adapters of a checkpoint; the bytes, and how many numbers they are.
pub(crate) fn write(out: &Path, source: &Source) -> anyhow::Result<(usize, usize)> {
    let (WeightFiles::Own(file), Some(_), Some(init)) =
        (&source.weights, source.config.model.adapter_rank, &source.config.init)
    else {
        return Err(usage(anyhow!(
            "--format adapter: expected a run that trained adapters (--init-from MODEL --set model.adapter_rank=8), found {}, \
             which has none",
            source.place.display()
        )));
    };
    tensor_io::check_header(file, &source.config.model.parameters())?;
    let adapters: Vec<Named> =
        tensor_io::read(file)?.into_iter().filter(|(name, _)| is_adapter(name)).collect();
    let strings = [(BASE, init.sha256.clone()), (STEP, source.step.to_string())];
    let strings: BTreeMap<String, String> = strings.map(|(key, text)| (key.to_owned(), text)).into();
    let bytes = tensor_io::serialize_with(&adapters, &strings)?;
    files::write_output(out, &bytes).with_context(|| format!("--out {}", out.display()))?;
    Ok((bytes.len(), adapters.iter().map(|(_, tensor)| tensor.numel()).sum()))
}

/// Adds the adapters of a file to the weights of a network.
pub(crate) fn apply(path: &Path, net: &dyn Backbone) -> anyhow::Result<()> {
    let flag = || format!("--adapter {}", path.display());
    paths::check_file("--adapter", path, "ddpm export --format adapter")?;
    let header = tensor_io::read_header(path).with_context(flag)?;
    let Some(base) = header.metadata.get(BASE) else {
        return Err(usage(anyhow!(
            "{}: expected a file of `ddpm export --format adapter`, found none (no string {BASE} in its header)",
            flag()
        )));
    };
    let adapters = tensor_io::read(path).with_context(flag)?;
    check(&adapters, net.params()).map_err(|found| {
        usage(anyhow!(
            "{}: expected adapters of this network, found {found}; name the model they were trained on",
            flag()
        ))
    })?;
    if digest(net.params())? != *base {
        warn!("{}: it was trained on other weights of the same network", flag());
    }
    let mut all: Vec<Named> =
        net.params().iter().map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
    all.extend(adapters);
    tensor_io::copy_into(path, &merged(&all)?, net.params()).with_context(flag)
}

/// Compares every factor with its layer; what does not fit, in words.
fn check(adapters: &[Named], params: &[Named]) -> Result<(), String> {
    let size = |list: &[Named], name: &str| {
        list.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor.size())
    };
    if adapters.is_empty() {
        return Err("none".to_owned());
    }
    for (name, tensor) in adapters {
        let printable = files::printable(name);
        let layer = name.strip_suffix(ADAPTER_DOWN).or_else(|| name.strip_suffix(ADAPTER_UP));
        let Some(layer) = layer else { return Err(format!("the tensor {printable}")) };
        let Some(weight) = size(params, &format!("{layer}.weight")) else {
            return Err(format!("{printable}, whose layer it does not have"));
        };
        let (down, up) = (format!("{layer}{ADAPTER_DOWN}"), format!("{layer}{ADAPTER_UP}"));
        let (Some(down), Some(up)) = (size(adapters, &down), size(adapters, &up)) else {
            return Err(format!("{printable} without its other factor"));
        };
        if down.get(1..) != weight.get(1..) || up != [weight[0], down[0]] {
            return Err(format!("{printable} {:?} for a weight {weight:?}", tensor.size()));
        }
    }
    Ok(())
}
