//! `ddpm export`: a trained network as a single file, with everything that is needed to use it.

use std::path::Path;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;
use unet::Backbone;

use crate::config::Config;
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::model_source;
use crate::output;
use crate::paths::{OutputFile, text};

/// Write a trained network as one file
#[derive(Debug, Args)]
#[command(
    after_help = "The file is a safetensors file of the weights, with the configuration in its header. Every command takes it
with --model, and every program that reads safetensors reads it.

Examples:
  ddpm export --run runs/fashion-28 --out fashion.safetensors
  ddpm sample --model fashion.safetensors"
)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArgs,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Ddpm)]
    format: Format,
    /// The file
    #[arg(long, value_name = "FILE", default_value = "out/model.safetensors")]
    out: OutputFile,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Plain comment, as in `Weights`: one file of this program's own.
    Ddpm,
}

impl Export {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let Format::Ddpm = self.format;
        output::try_file("--out", &self.out)?;
        let loaded = Loaded::open(&self.model, global)?;
        let bytes = write(&self.out, &*loaded.net, &loaded.config, loaded.step)?;
        let summary = json!({
            "file": text(&self.out), "bytes": bytes, "parameters": loaded.net.param_count(), "step": loaded.step,
            "checkpoint": text(&loaded.checkpoint),
        });
        output::finish(global, &summary, || {
            format!(
                "{} parameters of step {}, {bytes} bytes: {}",
                loaded.net.param_count(),
                loaded.step,
                self.out.display()
            )
        })
    }
}

/// Writes the file; its bytes.
pub(crate) fn write(path: &Path, net: &dyn Backbone, config: &Config, step: u64) -> anyhow::Result<usize> {
    let strings = model_source::strings(config, step)?;
    let bytes = tensor_io::serialize_with(net.params(), &strings)?;
    files::write_output(path, &bytes).with_context(|| format!("--out {}", path.display()))?;
    Ok(bytes.len())
}
