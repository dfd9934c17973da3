//! `ddpm edit`: from an image instead of from noise.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use dataset::Fit;
use ndarray::{Array3, Array4, Axis};
use sampler::{Sampler, SamplerError};
use serde_json::json;
use tracing::warn;

use crate::commands::sampling::{NoiseArgs, in_batches, tick};
use crate::conditioning::Conditioning;
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::output::{self, Form};
use crate::sampler_flags::SamplerArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum Edit {
    /// Diffuse an image to some t, then denoise it: images that look like it, the less the larger t
    Vary(Vary),
}

impl Edit {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Vary(args) => args.run(global),
        }
    }
}

/// Variations of one image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit vary --image shoe.png --t-start 300,600 --count 8 --out out/shoes
  ddpm edit vary --index 0 --t-start 500")]
pub(crate) struct Vary {
    /// The image: PNG, JPEG, WebP or BMP
    #[arg(long, value_name = "FILE", required_unless_present = "index")]
    image: Option<PathBuf>,
    /// Take this image of the training data instead, counted from 0
    #[arg(long, value_name = "N", conflicts_with = "image")]
    index: Option<usize>,
    /// Reverse steps to run of the T of the chain, one or several: 1 changes hardly anything, T all
    #[arg(long, value_name = "N", value_delimiter = ',', required = true)]
    t_start: Vec<usize>,
    /// Variations for each start
    #[arg(long, value_name = "N", default_value_t = 8)]
    count: usize,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    sampler: SamplerArgs,
    #[command(flatten)]
    noise: NoiseArgs,
    /// What to write for each start: any of grid, png, npz
    #[arg(long, value_name = "FORMS", value_delimiter = ',', default_value = "grid")]
    save: Vec<String>,
    /// Folder for the images, one sub-folder a start
    #[arg(long, value_name = "DIR", default_value = "out/vary")]
    out: PathBuf,
}

impl Vary {
    fn run(&self, global: &Global) -> anyhow::Result<()> {
        let forms = self.save.iter().map(|name| name.parse()).collect::<anyhow::Result<Vec<Form>>>()?;
        if !(1..=65_536).contains(&self.count) {
            bail_usage!("--count {}: expected 1 to 65536", self.count);
        }
        self.noise.validate()?;
        output::check_folder("--out", &self.out)?;
        self.sampler.check()?;
        let loaded = Loaded::open(&self.model, global)?;
        let config = self.sampler.config_for(&loaded)?;
        let samplers: Vec<Sampler> = self
            .t_start
            .iter()
            .map(|&t| {
                let in_flags = |e: SamplerError| e.to_string().replacen("t_start = ", "", 1);
                Sampler::from_step(&loaded.schedule, &config, t)
                    .map_err(|e| usage(anyhow!("--t-start {}", in_flags(e))))
            })
            .collect::<anyhow::Result<_>>()?;
        let original = self.original(&loaded)?;
        let x_0 = output::to_tensor(&original)?.to_device(loaded.device);

        let begun = Instant::now();
        let predictor = loaded.predictor();
        let mut rows = Vec::new();
        for (sampler, t_start) in samplers.iter().zip(&self.t_start) {
            let steps = sampler.steps();
            let pixels = in_batches(&loaded, &self.noise, self.count, steps, global, |range, noise, bar| {
                let mut on_step = |step: &sampler::Step<'_>| {
                    tick(bar, step);
                    Ok(())
                };
                let copies = x_0.repeat([range.len() as i64, 1, 1, 1]);
                Ok(sampler.vary(&predictor, &copies, noise, &mut on_step)?)
            })?;
            let folder = self.out.join(format!("t-{t_start:04}"));
            output::save(&pixels, &forms, &folder, &Conditioning::none())?;
            rows.push(json!({ "t_start": t_start, "steps": steps, "folder": folder }));
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cropped = output::to_pixels(&x_0, &loaded.images)?;
        dataset::save_png(&self.out.join("original.png"), cropped.index_axis(Axis(0), 0))?;
        output::finish(global, &json!({ "seconds": seconds, "starts": rows }), || {
            format!("{} variations in {seconds:.1} s: {}", self.count * rows.len(), self.out.display())
        })
    }

    /// The image as the network sees it, `[1, h, w, c]`.
    fn original(&self, loaded: &Loaded) -> anyhow::Result<Array4<u8>> {
        if let Some(path) = &self.image {
            return fit_image(path, loaded);
        }
        let index = self.index.unwrap_or(0);
        let data = loaded.config.data.open()?;
        if index >= data.len() {
            bail_usage!("--index {index}: the data has {} images, 0 to {}", data.len(), data.len() - 1);
        }
        Ok(data.image(index)?.insert_axis(Axis(0)))
    }
}

/// Reads an image and brings it to the size, the channels and the border of the network.
pub(crate) fn fit_image(path: &Path, loaded: &Loaded) -> anyhow::Result<Array4<u8>> {
    let images = &loaded.images;
    let [top, bottom, left, right] = images.padding;
    let (height, width) = (images.height - top - bottom, images.width - left - right);
    let name = || format!("--image {}", path.display());
    let read = |size| dataset::read_image(path, size, Some(images.channels), Fit::Crop).context("--image");
    let mut image: Array3<u8> = read(None)?;
    if image.dim() != (height, width, images.channels) {
        if height != width {
            let (h, w, _) = image.dim();
            bail_usage!("{}: is {h}x{w}, the network is for {height}x{width}; resize it first", name());
        }
        warn!("{} is {}x{}: resized to {height}x{width}", path.display(), image.dim().0, image.dim().1);
        image = read(Some(height))?;
    }
    let mut padded = Array4::zeros((1, images.height, images.width, images.channels));
    for ((y, x, c), value) in image.indexed_iter() {
        padded[[0, y + top, x + left, c]] = *value;
    }
    Ok(padded)
}
