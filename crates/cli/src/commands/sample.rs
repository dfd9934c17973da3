//! `ddpm sample`: images from noise.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use tch::{Kind, Tensor};

use crate::commands::sampling::{NoiseArgs, in_batches};
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::output::{self, Form};
use crate::sampler_flags::SamplerArgs;

/// Draws images.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm sample --count 16 --out out/
  ddpm sample --run runs/mine --sampler ddim --steps 50 --seed 7 --save grid,png,npz --out out/")]
pub(crate) struct Sample {
    #[command(flatten)]
    model: ModelArgs,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 64)]
    count: usize,
    #[command(flatten)]
    sampler: SamplerArgs,
    #[command(flatten)]
    noise: NoiseArgs,
    /// Start from these arrays instead of from seeded noise: x_T as .npy, f32 [n, c, h, w]
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    init_noise: Option<PathBuf>,
    /// What to write: any of grid, png, npz
    #[arg(long, value_name = "FORMS", value_delimiter = ',', default_value = "grid")]
    save: Vec<String>,
    /// Folder for the images
    #[arg(long, value_name = "DIR", default_value = "out/samples")]
    out: PathBuf,
}

impl Sample {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let forms = self.save.iter().map(|name| name.parse()).collect::<anyhow::Result<Vec<Form>>>()?;
        if !(1..=1_000_000).contains(&self.count) {
            bail_usage!("--count {}: expected 1 to 1000000", self.count);
        }
        self.noise.validate()?;
        output::check_folder("--out", &self.out)?;
        self.sampler.check()?;
        let loaded = Loaded::open(&self.model, global)?;
        let sampler = self.sampler.build(&loaded)?;
        let init = self.init_noise.as_ref().map(|path| read_noise(path, &loaded)).transpose()?;
        let count = init.as_ref().map_or(self.count, |x| x.size()[0] as usize);

        let begun = Instant::now();
        let predictor = loaded.predictor();
        let steps = sampler.steps();
        let pixels = in_batches(&loaded, &self.noise, count, steps, global, |range, noise, bar| {
            let x_start = match &init {
                Some(x) => x.narrow(0, range.start as i64, range.len() as i64).to_device(loaded.device),
                None => noise.start(loaded.shape(range.len()), loaded.device)?,
            };
            let mut tick = |_: &sampler::Step<'_>| {
                bar.inc(1);
                Ok(())
            };
            Ok(sampler.sample(&predictor, &x_start, noise, &mut tick)?)
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let written = output::save(&pixels, &forms, &self.out, 0)?;
        let summary = json!({
            "images": count, "steps": steps, "seconds": seconds,
            "images_per_s": count as f64 / seconds, "checkpoint": loaded.checkpoint, "files": written.len(),
            "first_file": written.first(),
        });
        output::finish(global, &summary, || {
            let first = written.first().map(|path| path.display().to_string()).unwrap_or_default();
            format!("{count} images in {seconds:.1} s ({steps} steps each): {first}")
        })
    }
}

/// x_T from a file, checked against the network.
fn read_noise(path: &std::path::Path, loaded: &Loaded) -> anyhow::Result<Tensor> {
    let name = || format!("--init-noise {}", path.display());
    let array = dataset::read_npy(path).context("--init-noise")?.into_f32();
    let want = loaded.shape(0);
    let shape = array.shape().to_vec();
    let fits =
        shape.len() == 4 && shape[0] > 0 && shape[1..].iter().zip(&want[1..]).all(|(a, b)| *a as i64 == *b);
    if !fits {
        let [_, c, h, w] = want;
        return Err(usage(anyhow!("{}: has shape {shape:?}, expected [n, {c}, {h}, {w}]", name())));
    }
    let x = tensor_io::from_array(&array.view())?;
    if i64::try_from(x.isfinite().all())? == 0 {
        bail_usage!("{}: holds NaN or infinite numbers", name());
    }
    Ok(x.to_kind(Kind::Float))
}
