//! `ddpm mixture`: fits Gaussians to a model's training images, as a start for sampling in few steps.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use files::AvailableMemory;
use mixture::{Fit, Mixture, MixtureError};
use serde_json::json;
use tch::Tensor;
use tracing::info;

use crate::commands::evaluate::rows;
use crate::config::{self, Config, DataConfig};
use crate::failure::{bail_usage, wrong_data};
use crate::flags::{Global, ModelArgs, Weights};
use crate::paths::{DataSource, InputPath, OutputFile, text};
use crate::{output, run_data, signals};

/// Most numbers of all images together: 1 GiB as f32.
const MOST_NUMBERS: usize = 1 << 28;

/// Fit a mixture of Gaussians to the training images, to sample in 2 to 8 steps
#[derive(Debug, Args)]
#[command(
    after_help = "A sampler spends most of its first steps where x_t is mostly noise. There, noisy samples of \
this mixture are as good as the network's x_t, so sampling can start from them, at a lower noise.

Examples:
  ddpm mixture --run runs/fashion-28
  ddpm sample --mixture out/mixture.safetensors --steps 4
  ddpm evaluate --mixture out/mixture.safetensors --steps 2"
)]
pub(crate) struct MixtureArgs {
    /// Run whose images are used [default: the newest in runs/, else --model shipped]
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    run: Option<InputPath>,
    /// One model instead: a checkpoint, a file of `ddpm export`, a diffusers folder, or shipped, the built-in one
    #[arg(long, value_name = "PATH")]
    model: Option<InputPath>,
    /// Images [default: those the network was trained on]
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Gaussians, 1 to 1024; those of a network with classes are shared among the classes
    #[arg(long, value_name = "N", default_value_t = Fit::default().components)]
    components: usize,
    /// Principal components of the images in which they lie, 1 to 1024
    #[arg(long, value_name = "N", default_value_t = Fit::default().directions)]
    directions: usize,
    /// Images to fit, spread evenly over the data
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    n: usize,
    /// Seed; the same seed gives the same mixture, on the same machine with the same number of threads
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// File for the mixture
    #[arg(long, value_name = "FILE", default_value = "out/mixture.safetensors")]
    out: OutputFile,
}

impl MixtureArgs {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let fit = Fit {
            components: self.components,
            directions: self.directions,
            seed: self.seed,
            ..Fit::default()
        };
        match fit.validate() {
            Err(MixtureError::Count { what, got, least, most }) => {
                bail_usage!("--{what} {got}: expected {least} to {most}")
            }
            other => other?,
        }
        if self.n < 2 {
            bail_usage!("--n {}: expected at least 2", self.n);
        }
        output::try_file("--out", &self.out)?;
        let (source, _) = self.model().find()?;
        source.check(true)?;
        let config = source.config;
        let begun = Instant::now();
        let (images, labels) = self.images(&config)?;
        let count = images.size()[0] as usize;
        info!("fitting {} to {}", files::counted(self.components, "Gaussian"), output::images(count));
        let mixture = fit.of(&images, labels.as_deref()).context("--data")?;
        let strings = BTreeMap::from([("ddpm.mixture.images".to_owned(), count.to_string())]);
        let bytes = mixture.to_bytes(&strings)?;
        signals::undisturbed(|| {
            files::write_output(&self.out, &bytes).with_context(|| format!("--out {}", self.out.display()))
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let summary = json!({
            "images": count, "components": mixture.components(), "directions": mixture.directions(),
            "classes": mixture.classes(), "bytes": bytes.len(), "seconds": seconds, "out": text(&self.out),
        });
        output::finish(global, &summary, || self.told(&mixture, count, seconds))
    }

    /// Refuses what does not fit in memory. While they are fitted, the factors exist three times in f64 and twice in f32, the
    /// images three times, and each image has a few numbers for every direction and every Gaussian.
    fn check_memory(&self, images: usize, numbers: usize) -> anyhow::Result<()> {
        let (images, directions) = (images as u64, (self.directions.min(images).min(numbers)) as u64);
        let components = self.components as u64;
        let factors =
            components * directions * directions * (3 * size_of::<f64>() + 3 * size_of::<f32>()) as u64;
        let of_image = 3 * size_of::<f32>() as u64 * numbers as u64
            + (4 * directions + 3 * components) * size_of::<f64>() as u64;
        let needed = factors + images * of_image;
        match AvailableMemory::now() {
            Some(available) if needed > available.bytes => bail_usage!(
                "--components {}, --directions {}, --n {}: {images} images and the Gaussians take {} MiB, and {} MiB are available; \
                 lower one of them",
                self.components,
                self.directions,
                self.n,
                needed.div_ceil(1 << 20),
                available.bytes >> 20
            ),
            _ => Ok(()),
        }
    }

    fn told(&self, mixture: &Mixture, images: usize, seconds: f64) -> String {
        let classes = match mixture.classes().len() {
            0 => String::new(),
            classes => format!(" of {}", files::counted(classes, "class")),
        };
        format!(
            "{}{classes} in {}, fitted to {} in {seconds:.1} s: {}",
            files::counted(mixture.components(), "Gaussian"),
            files::counted(mixture.directions(), "direction"),
            output::images(images),
            self.out.display()
        )
    }

    /// The flags that find a model, in the form that other commands have them in.
    fn model(&self) -> ModelArgs {
        ModelArgs {
            run: self.run.clone(),
            model: self.model.clone(),
            adapter: None,
            best: false,
            weights: Weights::Ema,
            precision: "auto".to_owned(),
            any_size: true,
        }
    }

    /// The images as the network sees them, f32 `[n, c, h, w]`, and their labels if it was trained on classes.
    fn images(&self, config: &Config) -> anyhow::Result<(Tensor, Option<Vec<i64>>)> {
        let located = run_data::locate(config, self.data.as_deref())?;
        let known = config.images.as_ref();
        let channels = located.channels.or(known.map(|images| images.channels));
        let data = DataConfig { channels, ..located };
        let all = rows::bordered(&config::open(&data)?, config)?;
        let (height, width, channels) = all.shape();
        if let Some(known) = known
            && (height, width, channels) != (known.height, known.width, known.channels)
        {
            return Err(wrong_data(format!(
                "--data: expected images of {}x{}x{}, as the network's, found {width}x{height}x{channels}; scale them with \
                 data.size when the run is trained, or name others",
                known.width, known.height, known.channels
            )));
        }
        if all.len() < 2 {
            return Err(wrong_data("--data: expected at least 2 images, found 1".to_owned()));
        }
        let most = (MOST_NUMBERS / (height * width * channels).max(1)).max(2);
        let count = self.n.min(all.len()).min(most);
        self.check_memory(count, height * width * channels)?;
        let chosen: Vec<usize> = (0..count).map(|i| i * all.len() / count).collect();
        let images = output::to_tensor(&all.images(chosen.iter().copied())?)?;
        let labels: Option<Vec<i64>> = chosen.iter().map(|&i| all.label(i).map(i64::from)).collect();
        let labels = labels.filter(|_| config.model.classes.is_some());
        Ok((if config.train.flip { half_mirrored(&images)? } else { images }, labels))
    }
}

/// Every second image mirrored left to right, as a training with `train.flip` sees them.
fn half_mirrored(images: &Tensor) -> anyhow::Result<Tensor> {
    let size = images.size();
    let odd = Tensor::f_arange(size[0], (tch::Kind::Int64, images.device()))?.f_remainder(2)?.f_eq(1)?;
    Ok(images.f_flip([3])?.f_where_self(&odd.f_view([-1, 1, 1, 1])?, images)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_image_is_mirrored() {
        let images = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([3, 1, 1, 2]);
        let mirrored = tensor_io::to_vec(&half_mirrored(&images).unwrap()).unwrap();
        assert_eq!(mirrored, [1.0, 2.0, 4.0, 3.0, 5.0, 6.0]);
    }
}
