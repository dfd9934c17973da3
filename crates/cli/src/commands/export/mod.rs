//! `ddpm export`: a trained network as one self-contained file, as a folder for the Python library diffusers, or as an ONNX
//! file.

mod diffusers;
mod dtype;
mod onnx;
mod recorded;

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;
use tensor_io::Named;
use unet::Backbone;

use crate::adapter;
use crate::config::{Config, ImagesConfig};
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::model_source;
use crate::paths::{DataSource, OutputFile, OutputFolder, text};
use crate::{output, signals};
use dtype::Dtype;

/// Export a trained network: as one file for this program, or for other programs
#[derive(Debug, Args)]
#[command(
    after_help = "--format ddpm is one safetensors file: the weights, and the configuration in the header. Every \
command takes it with --model, and every program that reads safetensors reads it. --dtype f16 halves \
its size; the network still computes in the precision of --precision.
--format diffusers is a folder for DDPMPipeline.from_pretrained of the Python library diffusers, \
with a model card. The run needs an objective on a chain of betas, such as ddpm or v-chain, not the \
default flow. If the library has no such network, the error names the key.
--format onnx is one file for onnxruntime and other programs that run ONNX (opset 17, f32), with \
inputs x_t, t (0 to T - 1) and, for a network with classes, class (-1 for none).
--format adapter is the low-rank adapters of a run with model.adapter_rank, for --adapter.

Examples:
  ddpm export --run runs/fashion-28 --out fashion.safetensors --dtype f16
  ddpm sample --model fashion.safetensors
  ddpm export --run runs/mine --format diffusers --folder mine
  ddpm export --run runs/fashion-28 --format onnx --out fashion.onnx"
)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArgs,
    /// Format to write
    #[arg(long, value_enum, default_value_t = Format::Ddpm)]
    format: Format,
    /// The file of the other formats [default: out/model.safetensors, out/model.onnx or out/adapter.safetensors]
    #[arg(long, value_name = "FILE")]
    out: Option<OutputFile>,
    /// Type of the weights in the file of --format ddpm: f32, f16 or bf16 [default: f32]
    #[arg(long, value_enum, value_name = "TYPE", hide_possible_values = true)]
    dtype: Option<Dtype>,
    /// Images to name in the file of --format ddpm instead of the run's, with their class names
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// The folder of --format diffusers [default: out/diffusers]
    #[arg(long, value_name = "DIR")]
    folder: Option<OutputFolder>,
    /// Batch size of the --format onnx network [default: any]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Plain comments, as in `Weights`: one file for this program.
    Ddpm,
    // A folder.
    Diffusers,
    // An ONNX file.
    Onnx,
    // Low-rank adapters alone.
    Adapter,
}

impl Export {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        self.check()?;
        let out = |default: &'static str| self.out.as_deref().unwrap_or_else(|| Path::new(default));
        match self.format {
            Format::Ddpm => {
                let out = out("out/model.safetensors");
                output::try_file("--out", out)?;
                let loaded = Loaded::open(&self.model, global)?;
                let bytes = self.write_own(out, &loaded)?;
                tell(&loaded, out, bytes, global)
            }
            Format::Diffusers => {
                let folder = self.folder.as_deref().unwrap_or_else(|| Path::new("out/diffusers"));
                diffusers::try_folder(folder)?;
                let loaded = Loaded::open(&self.model, global)?;
                let bytes = diffusers::write(folder, &loaded)?;
                tell(&loaded, folder, bytes, global)
            }
            Format::Onnx => {
                let out = out("out/model.onnx");
                output::try_file("--out", out)?;
                let loaded = Loaded::open(&self.model, global)?;
                let bytes = onnx::write(out, &loaded, self.batch)?;
                tell(&loaded, out, bytes, global)
            }
            Format::Adapter => {
                let out = out("out/adapter.safetensors");
                output::try_file("--out", out)?;
                let (source, _) = self.model.find()?;
                source.check(self.model.any_size)?;
                let (bytes, numbers) = signals::undisturbed(|| adapter::write(out, &source))?;
                let summary = json!({
                    "out": text(out), "bytes": bytes, "parameters": numbers, "step": source.step,
                    "checkpoint": text(&source.place),
                });
                output::finish(global, &summary, || {
                    format!("{numbers} parameters of step {}, {bytes} bytes: {}", source.step, out.display())
                })
            }
        }
    }

    /// Writes the file of `--format ddpm`. Returns the number of bytes.
    fn write_own(&self, out: &Path, loaded: &Loaded) -> anyhow::Result<usize> {
        let recorded = self.data.as_ref().map(|source| recorded::recorded(&loaded.config, source));
        let recorded = recorded.transpose()?;
        let config = recorded.as_ref().unwrap_or(&loaded.config);
        let weights = self.dtype.unwrap_or_default().round(loaded.net.params())?;
        write_weights(out, &weights, config, loaded.step)
    }

    /// Refuses flags of other formats.
    fn check(&self) -> anyhow::Result<()> {
        if let (Format::Ddpm | Format::Onnx | Format::Adapter, Some(folder)) = (self.format, &self.folder) {
            bail_usage!("--folder {}: only applies to --format diffusers", folder.display());
        }
        if let (Format::Diffusers, Some(out)) = (self.format, &self.out) {
            bail_usage!("--out {}: only applies to the other formats; use --folder", out.display());
        }
        if let (Format::Ddpm | Format::Diffusers | Format::Adapter, Some(batch)) = (self.format, self.batch) {
            bail_usage!("--batch {batch}: only applies to --format onnx");
        }
        if let (Format::Diffusers | Format::Onnx | Format::Adapter, Some(dtype)) = (self.format, self.dtype) {
            bail_usage!("--dtype {dtype}: only applies to --format ddpm");
        }
        if let (Format::Diffusers | Format::Onnx | Format::Adapter, Some(source)) = (self.format, &self.data)
        {
            bail_usage!("--data {}: only applies to --format ddpm", &**source);
        }
        Ok(())
    }
}

fn tell(loaded: &Loaded, place: &Path, bytes: usize, global: &Global) -> anyhow::Result<()> {
    let parameters = loaded.net.param_count();
    let summary = json!({
        "out": text(place), "bytes": bytes, "parameters": parameters, "step": loaded.step,
        "checkpoint": text(&loaded.checkpoint),
    });
    output::finish(global, &summary, || {
        format!("{parameters} parameters of step {}, {bytes} bytes: {}", loaded.step, place.display())
    })
}

/// Writes a network as the file of `--format ddpm`. Returns the number of bytes.
pub(crate) fn write(path: &Path, net: &dyn Backbone, config: &Config, step: u64) -> anyhow::Result<usize> {
    write_weights(path, net.params(), config, step)
}

fn write_weights(path: &Path, weights: &[Named], config: &Config, step: u64) -> anyhow::Result<usize> {
    let strings = model_source::strings(config, step)?;
    let bytes = tensor_io::serialize_with(weights, &strings)?;
    let write = || files::write_output(path, &bytes).with_context(|| format!("--out {}", path.display()));
    signals::undisturbed(write)?;
    Ok(bytes.len())
}

/// A sentence about the border of the images, with a leading space; empty if there is no border.
fn border(images: &ImagesConfig) -> String {
    if images.padding == [0; 4] {
        return String::new();
    }
    let ((height, width, _), [top, bottom, left, right]) = (images.inner_shape(), images.padding);
    format!(
        " The images are {width}x{height}; the network draws them with a border of {top}, {bottom}, {left} and {right} pixels \
         (top, bottom, left, right), which is cut off."
    )
}
