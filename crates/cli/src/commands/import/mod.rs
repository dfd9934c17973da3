//! `ddpm import`: converts a model in another program's layout to one file of this program.

mod told;

use clap::{Args, ValueEnum};
use interchange::state_dict::Tensors;
use interchange::{guided, original};
use serde_json::{Value, json};

use crate::commands::export;
use crate::device;
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs, Weights};
use crate::model::Loaded;
use crate::model_source::Source;
use crate::output;
use crate::paths::{InputPath, OutputFile, text};

/// Convert a model from another program to a file that every command accepts
#[derive(Debug, Args)]
#[command(after_help = "Formats of SRC:
  diffusers  folder of an unconditional model (UNet2DModel); its scheduler gives
             the default sampler; --model reads such a folder too
  original   the original DDPM in its PyTorch form (temb.dense.0), safetensors
  guided     improved- or guided-diffusion (input_blocks.0.0), safetensors
guided files do not record heads, noise schedule and T. The defaults are those of \
guided-diffusion, and the summary lists what was assumed.

Examples:
  ddpm import ddpm-cifar10-32/ --out cifar10.safetensors
  ddpm import 64x64_diffusion.safetensors --format guided --image-size 64 \\
    --head-channels 64 --attention-order new --schedule cosine --out i64.safetensors
  ddpm sample --model cifar10.safetensors --steps 50")]
pub(crate) struct Import {
    /// Model to import
    #[arg(value_name = "SRC")]
    source: InputPath,
    /// Layout of SRC
    #[arg(long, value_enum, default_value_t = Format::Diffusers)]
    format: Format,
    /// Output file
    #[arg(long, value_name = "FILE", default_value = "out/model.safetensors")]
    out: OutputFile,
    #[command(flatten)]
    told: told::Told,
    /// Accept images that are larger than the weights suggest
    #[arg(long)]
    any_size: bool,
}

/// Layouts of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Plain comments, as in `Weights`: one list on one line.
    Diffusers,
    Original,
    Guided,
}

impl Import {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        output::try_file("--out", &self.out)?;
        let args = ModelArgs {
            run: None,
            model: Some(self.source.clone()),
            best: false,
            adapter: None,
            weights: Weights::Ema,
            precision: "f32".to_owned(),
            any_size: self.any_size,
        };
        let (source, (taken, taken_text)) = self.find(&args)?;
        let loaded = Loaded::load(source, None, &args, device::select(global)?)?;
        let bytes = export::write(&self.out, &*loaded.net, &loaded.config, 0)?;
        let sample = &loaded.config.sample;
        let summary = json!({
            "source": text(&self.source), "out": text(&self.out), "bytes": bytes, "parameters": loaded.net.param_count(),
            "height": loaded.images.height, "width": loaded.images.width, "channels": loaded.images.channels,
            "sampler": sample.sampler, "steps": sample.steps, "assumed": taken,
        });
        output::finish(global, &summary, || {
            format!(
                "{} parameters, {}x{} images, sampled by {} with {}: {}{taken_text}",
                loaded.net.param_count(),
                loaded.images.width,
                loaded.images.height,
                sample.sampler,
                files::counted(sample.steps, "step"),
                self.out.display()
            )
        })
    }

    /// Finds the model, and lists what was assumed because its files do not say it.
    fn find(&self, args: &ModelArgs) -> anyhow::Result<(Source, (Value, String))> {
        match self.format {
            Format::Diffusers => {
                self.told.check_none()?;
                if !interchange::diffusers::is_model(&self.source) {
                    bail_usage!(
                        "SRC {}: expected a folder of diffusers, with unet/config.json or config.json in it, found none; for \
                         weights in one file pass --format original or guided",
                        self.source.display()
                    );
                }
                Ok((Source::open(&self.source, "SRC", args.weights)?, (Value::Null, String::new())))
            }
            Format::Original => {
                let side = self.told.original()?;
                let model = original::read(&self.tensors()?, side)?;
                Ok((Source::of_state_dict(&self.source, model), told::taken_of_original()))
            }
            Format::Guided => {
                let options = self.told.guided()?;
                let model = guided::read(&self.tensors()?, &options)?;
                Ok((Source::of_state_dict(&self.source, model), told::taken(&options)))
            }
        }
    }
    fn tensors(&self) -> anyhow::Result<Tensors> {
        if !self.source.is_file() {
            bail_usage!("SRC {}: expected a safetensors file, found none", self.source.display());
        }
        Ok(Tensors::open(&self.source)?)
    }
}
