//! `ddpm import`: a model in the layout of another program as a single file of this one.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::commands::export;
use crate::device;
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs, Weights};
use crate::model::Loaded;
use crate::output;
use crate::paths::{InputPath, OutputFile, text};

/// Turn a model of another program into a file that every command takes
#[derive(Debug, Args)]
#[command(
    after_help = "SRC is a folder in the layout of the Python library diffusers: unet/config.json, scheduler/scheduler_config.json and
weights as safetensors, or the same files without folders. Unconditional models (UNet2DModel) with the schedulers DDPM, DDIM,
PNDM, DPMSolverMultistep, UniPCMultistep, EulerDiscrete, EulerAncestralDiscrete, HeunDiscrete and DEISMultistep. The
scheduler becomes the default sampler. What is not supported is refused with its key and value.

Commands also take SRC itself: ddpm sample --model SRC

Examples:
  ddpm import ddpm-cifar10-32/ --out cifar10.safetensors
  ddpm sample --model cifar10.safetensors --steps 50"
)]
pub(crate) struct Import {
    /// The model
    #[arg(value_name = "SRC")]
    source: InputPath,
    /// Layout of SRC
    #[arg(long, value_enum, default_value_t = Format::Diffusers)]
    format: Format,
    /// The file
    #[arg(long, value_name = "FILE", default_value = "out/model.safetensors")]
    out: OutputFile,
    /// Take a model whose images are larger than its weights let expect
    #[arg(long)]
    any_size: bool,
}

/// Layouts of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Plain comment, as in `Weights`: the one there is.
    Diffusers,
}

impl Import {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let Format::Diffusers = self.format;
        output::try_file("--out", &self.out)?;
        if !interchange::diffusers::is_model(&self.source) {
            bail_usage!(
                "SRC {}: expected a folder of diffusers, with unet/config.json or config.json in it, found none",
                self.source.display()
            );
        }
        let args = ModelArgs {
            run: None,
            model: Some(self.source.clone()),
            best: false,
            weights: Weights::Ema,
            precision: "f32".to_owned(),
            any_size: self.any_size,
        };
        let (source, _) = args.find()?;
        let loaded = Loaded::load(source, None, &args, device::select(global)?)?;
        let bytes = export::write(&self.out, &*loaded.net, &loaded.config, 0)?;
        let sample = &loaded.config.sample;
        let summary = json!({
            "source": text(&self.source), "file": text(&self.out), "bytes": bytes, "parameters": loaded.net.param_count(),
            "height": loaded.images.height, "width": loaded.images.width, "channels": loaded.images.channels,
            "sampler": sample.sampler, "steps": sample.steps,
        });
        output::finish(global, &summary, || {
            format!(
                "{} parameters, {}x{} images, sampled by {} with {} steps: {}",
                loaded.net.param_count(),
                loaded.images.height,
                loaded.images.width,
                sample.sampler,
                sample.steps,
                self.out.display()
            )
        })
    }
}
