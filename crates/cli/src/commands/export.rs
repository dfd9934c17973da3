//! `ddpm export`: a trained network as a single file with everything that is needed to use it, or as a folder of the Python library
//! diffusers.

use std::path::Path;

use anyhow::Context;
use clap::{Args, ValueEnum};
use interchange::diffusers;
use serde_json::{Value, json};
use tch::Tensor;
use tensor_io::Named;
use unet::Backbone;

use crate::config::Config;
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::model_source;
use crate::output;
use crate::paths::{OutputFile, OutputFolder, text};

/// Write a trained network for other programs, or as one file for this one
#[derive(Debug, Args)]
#[command(
    after_help = "--format ddpm is one safetensors file: the weights, and the configuration in the header. Every command takes it with
--model, and every program that reads safetensors reads it.
--format diffusers is a folder for DDPMPipeline.from_pretrained of the Python library diffusers, with a model card. A network
that the library does not have is refused with the key.

Examples:
  ddpm export --run runs/fashion-28 --out fashion.safetensors
  ddpm sample --model fashion.safetensors
  ddpm export --run runs/fashion-28 --format diffusers --folder fashion-diffusers"
)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArgs,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Ddpm)]
    format: Format,
    /// The file of --format ddpm
    #[arg(long, value_name = "FILE", default_value = "out/model.safetensors")]
    out: OutputFile,
    /// The folder of --format diffusers [default: out/diffusers]
    #[arg(long, value_name = "DIR")]
    folder: Option<OutputFolder>,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Plain comments, as in `Weights`: one file of this program's own.
    Ddpm,
    // A folder.
    Diffusers,
}

/// Files of a folder of diffusers.
const INDEX: &str = "model_index.json";
const NETWORK: &str = "unet/config.json";
const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";
const SCHEDULER: &str = "scheduler/scheduler_config.json";
const CARD: &str = "README.md";

impl Export {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match (self.format, &self.folder) {
            (Format::Ddpm, None) => self.file(global),
            (Format::Ddpm, Some(folder)) => {
                bail_usage!("--folder {}: belongs to --format diffusers", folder.display())
            }
            (Format::Diffusers, folder) => {
                self.folder(folder.as_deref().unwrap_or_else(|| Path::new("out/diffusers")), global)
            }
        }
    }

    fn file(&self, global: &Global) -> anyhow::Result<()> {
        output::try_file("--out", &self.out)?;
        let loaded = Loaded::open(&self.model, global)?;
        let bytes = write(&self.out, &*loaded.net, &loaded.config, loaded.step)?;
        self.tell(&loaded, &self.out, bytes, global)
    }

    fn folder(&self, folder: &Path, global: &Global) -> anyhow::Result<()> {
        let names = [INDEX, NETWORK, WEIGHTS, SCHEDULER, CARD];
        output::try_folder("--folder", folder, &names.map(str::to_owned))?;
        let loaded = Loaded::open(&self.model, global)?;
        let written = diffusers::write(&loaded.config).context("--format diffusers")?;
        let weights = weights(&*loaded.net, written.table.as_ref())?;
        let weights = tensor_io::serialize(&weights)?;
        let json =
            |value: &Value| anyhow::Ok(format!("{}\n", serde_json::to_string_pretty(value)?).into_bytes());
        let files = [
            (NETWORK, json(&written.network)?),
            (SCHEDULER, json(&written.scheduler)?),
            (CARD, card(&loaded).into_bytes()),
            (WEIGHTS, weights),
            // The library looks for it first: it comes last.
            (INDEX, json(&written.index)?),
        ];
        let mut bytes = 0;
        for (name, content) in &files {
            let path = folder.join(name);
            files::make_folder(files::parent(&path)).with_context(|| path.display().to_string())?;
            files::write_output(&path, content).with_context(|| path.display().to_string())?;
            bytes += content.len();
        }
        self.tell(&loaded, folder, bytes, global)
    }

    fn tell(&self, loaded: &Loaded, place: &Path, bytes: usize, global: &Global) -> anyhow::Result<()> {
        let parameters = loaded.net.param_count();
        let summary = json!({
            "file": text(place), "bytes": bytes, "parameters": parameters, "step": loaded.step,
            "checkpoint": text(&loaded.checkpoint),
        });
        output::finish(global, &summary, || {
            format!("{parameters} parameters of step {}, {bytes} bytes: {}", loaded.step, place.display())
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

/// The weights under the library's names, which are this project's. It has no use for what tells of augmented images, which for
/// others is nothing; and where it looks the time up, it needs the table.
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
    let border = if images.padding == [0; 4] {
        String::new()
    } else {
        let [top, bottom, left, right] = images.padding;
        format!(
            " The images are {height}x{width}; the network draws them with a border of {top}, {bottom}, {left} and {right} pixels \
             (top, bottom, left, right), which is cut off."
        )
    };
    let classes = match config.model.classes {
        Some(classes) => format!(
            "\nIt was trained with {classes} classes: call the network with `class_labels`. `DDPMPipeline` passes none.\n"
        ),
        None => String::new(),
    };
    format!(
        "---\nlibrary_name: diffusers\ntags:\n- unconditional-image-generation\n- diffusers\n---\n\
         # {height}x{width} images by a denoising diffusion model\n\
         A network of {} parameters, trained for {} steps of {} images on {} images{}.{border}\n\n\
         ```python\nfrom diffusers import DDPMPipeline\n\n\
         pipeline = DDPMPipeline.from_pretrained(\".\")\nimages = pipeline(batch_size=4).images\n```\n{classes}\n\
         Noise schedule: {}, {} steps. The network puts out {}.\n",
        loaded.net.param_count(),
        loaded.step,
        config.train.batch,
        images.count,
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
