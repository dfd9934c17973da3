//! `--format onnx`: the network as an ONNX file.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context;
use interchange::onnx::{Model, Weight};
use schedule::Prediction;

use super::border;
use crate::model::Loaded;
use crate::{model_source, signals};

/// Writes the file. Returns the number of bytes.
pub(super) fn write(path: &Path, loaded: &Loaded, batch: Option<NonZeroUsize>) -> anyhow::Result<usize> {
    let (config, images) = (&loaded.config, &loaded.images);
    let mut weights = Vec::new();
    for (name, tensor) in loaded.net.params() {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        weights.push((name, shape, tensor_io::to_vec(tensor)?));
    }
    let weights: Vec<Weight<'_>> =
        weights.iter().map(|(name, shape, values)| Weight { name, shape, values }).collect();
    let output = config.train.output();
    let model = Model {
        network: &config.model,
        timesteps: config.schedule.steps,
        size: (images.height, images.width),
        output: output.name(),
        batch: batch.map(NonZeroUsize::get),
        doc: doc(loaded, output)?,
        metadata: model_source::strings(config, loaded.step)?,
    };
    let bytes = interchange::onnx::write(&model, &weights).context("--format onnx")?;
    let write = || files::write_output(path, &bytes).with_context(|| format!("--out {}", path.display()));
    signals::undisturbed(write)?;
    Ok(bytes.len())
}

/// The documentation inside the file, for people who have only that.
fn doc(loaded: &Loaded, output: Prediction) -> anyhow::Result<String> {
    let (config, images) = (&loaded.config, &loaded.images);
    let (schedule, steps) = (&config.schedule, config.schedule.steps);
    let shown = match (output, output.c_in(&loaded.path.level_at((steps - 1) as f64)?)) {
        (_, 1.0) => "x_t = alpha x_0 + sigma eps",
        (Prediction::Edm { .. }, _) => "x_t / sqrt((alpha sigma_data)^2 + sigma^2) as x_t",
        _ => "x_t / sqrt(alpha^2 + sigma^2) as x_t",
    };
    let classes = match config.model.classes {
        Some(classes) => format!(" class is 0 to {}, or -1 for none.", classes - 1),
        None => String::new(),
    };
    let variance = if config.model.out_channels > config.model.in_channels {
        " The second half of its channels predicts the variance."
    } else {
        ""
    };
    Ok(format!(
        "A denoising diffusion network of {} parameters, trained for {}. Its input is {shown}, with images x_0 in [-1, 1], and \
         its output is {}.{variance} Noise schedule: {}, {steps} steps; t is 0 to {}.{classes}{}",
        loaded.net.param_count(),
        files::counted(loaded.step, "step"),
        output.name(),
        schedule.kind,
        steps - 1,
        border(images),
    ))
}
