//! `--format diffusers`: a folder of the Python library diffusers, with a model card.

use std::path::Path;

use anyhow::Context;
use files::{PendingFile, PendingFolder};
use interchange::diffusers;
use serde_json::Value;
use tch::Tensor;
use tensor_io::Named;
use unet::Backbone;

use super::border;
use crate::failure::bail_usage;
use crate::model::Loaded;
use crate::{output, signals};

/// Files in a diffusers folder.
const INDEX: &str = "model_index.json";
const NETWORK: &str = "unet/config.json";
const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";
const SCHEDULER: &str = "scheduler/scheduler_config.json";
const CARD: &str = "README.md";

/// Refuses a folder that cannot be written.
pub(super) fn try_folder(folder: &Path) -> anyhow::Result<()> {
    let holds_something = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if holds_something && !folder.join(INDEX).is_file() {
        bail_usage!(
            "--folder {}: contains other files but no model; choose another folder",
            folder.display()
        );
    }
    let names = [INDEX, NETWORK, WEIGHTS, SCHEDULER, CARD];
    output::try_folder("--folder", folder, &names.map(str::to_owned))
}

/// Writes the folder. Returns the number of bytes.
pub(super) fn write(folder: &Path, loaded: &Loaded) -> anyhow::Result<usize> {
    let written = diffusers::write(&loaded.config).context("--format diffusers")?;
    let weights = weights(&*loaded.net, written.table.as_ref())?;
    let weights = tensor_io::serialize(&weights)?;
    let json = |value: &Value| anyhow::Ok(format!("{}\n", serde_json::to_string_pretty(value)?).into_bytes());
    let files = [
        (NETWORK, json(&written.network)?),
        (SCHEDULER, json(&written.scheduler)?),
        (CARD, card(loaded).into_bytes()),
        (WEIGHTS, weights),
        // Written last, because the library looks for it first.
        (INDEX, json(&written.index)?),
    ];
    signals::undisturbed(|| save(folder, &files))?;
    Ok(files.iter().map(|(_, content)| content.len()).sum())
}

/// A new folder appears when it is complete. In an older one no file is replaced before all are written: a configuration
/// beside the weights of another network would be worse than none.
fn save(folder: &Path, files: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
    // A path like `new/..` has no name to appear under.
    let is_new = folder.symlink_metadata().is_err() && folder.file_name().is_some();
    let what = || folder.display().to_string();
    let new = is_new.then(|| PendingFolder::create(folder)).transpose().with_context(what)?;
    let place = new.as_ref().map_or(folder, PendingFolder::temporary);
    let mut written = Vec::new();
    for (name, content) in files {
        let what = || folder.join(name).display().to_string();
        let file = PendingFile::create_output(&place.join(name)).with_context(what)?;
        file.write(content).with_context(what)?;
        written.push((name, file));
    }
    for (name, file) in written {
        file.commit().with_context(|| folder.join(name).display().to_string())?;
    }
    new.map_or(Ok(()), PendingFolder::commit).with_context(what)
}

/// The weights under the library's names, which are also this project's. The input for augmentation is dropped: the library has
/// no use for it, and it is zero for images that are not augmented. If the time vector is a lookup table, the table is added.
fn weights(net: &dyn Backbone, table: Option<&diffusers::Table>) -> anyhow::Result<Vec<Named>> {
    let _no_grad = tch::no_grad_guard();
    let mut weights = Vec::new();
    for (name, tensor) in net.params() {
        if name == "augment_embedding.weight" {
            continue;
        }
        let tensor = match table {
            Some(table) if name == "time_embedding.linear_1.weight" => {
                let (width, missing) = (tensor.size()[0], (table.columns - table.used) as i64);
                let zeros = Tensor::f_zeros([width, missing], (tensor.f_kind()?, tensor.device()))?;
                Tensor::f_cat(&[tensor, &zeros], 1)?
            }
            _ => tensor.shallow_clone(),
        };
        weights.push((name.clone(), tensor));
    }
    if let Some(table) = table {
        let shape = [table.rows as i64, table.columns as i64];
        weights.push(("time_proj.weight".to_owned(), tensor_io::from_slice(&table.values, &shape)?));
    }
    Ok(weights)
}

/// A model card, as model hubs show it.
fn card(loaded: &Loaded) -> String {
    let (config, images) = (&loaded.config, &loaded.images);
    let (height, width, _) = images.inner_shape();
    let border = border(images);
    let classes = match config.model.classes {
        Some(classes) => format!(
            "\nIt was trained with {}: call the network with `class_labels`. `DDPMPipeline` passes none.\n",
            files::counted(classes, "class")
        ),
        None => String::new(),
    };
    format!(
        "---\nlibrary_name: diffusers\ntags:\n- unconditional-image-generation\n- diffusers\n---\n\
         # {width}x{height} images by a denoising diffusion model\n\
         A network of {} parameters, trained for {} of {} on {}{}.{border}\n\n\
         ```python\nfrom diffusers import DDPMPipeline\n\n\
         pipeline = DDPMPipeline.from_pretrained(\".\")\nimages = pipeline(batch_size=4).images\n```\n{classes}\n\
         Noise schedule: {}, {} steps. The network predicts {}.\n",
        loaded.net.param_count(),
        files::counted(loaded.step, "step"),
        output::images(config.train.batch),
        output::images(images.count),
        if config.data.source.is_empty() || config.data.source.contains(['/', '\\']) {
            String::new()
        } else {
            format!(" of {}", config.data.source)
        },
        config.schedule.kind,
        config.schedule.steps,
        config.train.prediction,
    )
}
