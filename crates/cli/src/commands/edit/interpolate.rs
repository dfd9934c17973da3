//! `ddpm edit interpolate`: images between two others.

use std::time::Instant;

use clap::{Args, ValueEnum};
use figures::{Band, Canvas, Sheet};
use ndarray::{Array3, Array4, Axis, concatenate};
use sampler::{Blend, End, Noise, Sampler, Step, blend, shares};
use serde_json::json;
use tch::Tensor;

use crate::commands::edit::frame;
use crate::commands::edit::latent::Codec;
use crate::commands::edit::setup::{Common, Setup, batch_of_one, check_count, in_flags};
use crate::commands::edit::source::{ImageArgs, Source};
use crate::commands::sampling::{in_batches, tick};
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::paths::InputPath;
use crate::{output, paths, progress};

/// Default start as a share of T: enough reverse steps to turn a double exposure into one image, while both ends stay
/// recognisable.
const T_START: f64 = 0.3;

/// Interpolates between two images.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit interpolate --image shoe.png --to boot.png --t-start 200,300,500
  ddpm edit interpolate --index 3 --to-index 8 --mode ddim --count 11

grid.png has one row per start, between both originals, below the share of the second; png and npz \
hold the rows in order.")]
pub(crate) struct Interpolate {
    #[command(flatten)]
    image: ImageArgs,
    /// The image to end at
    #[arg(long, value_name = "FILE", required_unless_present = "to_index")]
    to: Option<InputPath>,
    /// Use this image of the training data instead, counted from 0
    #[arg(long, value_name = "N", conflicts_with = "to")]
    to_index: Option<usize>,
    /// Mix the diffused images, or the noise x_T that they encode to
    #[arg(long, value_enum, default_value_t = Mode::Noise)]
    mode: Mode,
    /// Reverse steps to run from the mixed diffused images, one or several [default: 300 of 1000]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    t_start: Vec<usize>,
    /// Images per row, including both ends
    #[arg(long, value_name = "N", default_value_t = 9)]
    count: usize,
    #[command(flatten)]
    common: Common,
}

/// What is mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    // Plain comments, as in flags.rs. Both images are diffused with the same noise.
    Noise,
    // The noise at the other end of the deterministic flow.
    Ddim,
}

impl Interpolate {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        check_count(self.count, 1..=256)?;
        if self.mode == Mode::Ddim && !self.t_start.is_empty() {
            bail_usage!("--t-start only applies to --mode noise; --mode ddim goes all the way to noise");
        }
        if self.mode == Mode::Noise {
            self.common.refuse_timesteps()?;
        }
        let setup = self.common.open("interpolate", global)?;
        setup.one_class()?;
        let (loaded, size) = (&setup.loaded, frame::size(&setup.loaded));
        let rows = self.rows(&setup)?;
        let from = self.image.source();
        let to =
            Source { file: self.to.as_deref(), index: self.to_index, flags: ("--to", "--to-index"), ..from };
        let (from, to) = (from.read_as(loaded, size)?, to.read_as(loaded, size)?);
        let pair = (frame::x_0(&from, loaded)?, frame::x_0(&to, loaded)?);

        let begun = Instant::now();
        let mut drawn = Vec::new();
        for row in &rows {
            drawn.push(match row {
                Row::Noise(_, sampler) => self.mix_diffused(&setup, sampler, &pair)?,
                Row::Ddim(codec) => self.mix_latents(&setup, codec, &pair)?,
            });
        }
        let seconds = begun.elapsed().as_secs_f64();
        let views: Vec<_> = drawn.iter().map(Array4::view).collect();
        let pixels = concatenate(Axis(0), &views)?;
        let count = pixels.len_of(Axis(0));
        let labels: Vec<String> = rows.iter().map(Row::label).collect();
        let written = setup.save(pixels, Vec::new(), self.picture((&from, &to), &drawn, &labels)?)?;
        let summary = json!({
            "images": count, "rows": labels, "shares": shares(self.count), "seconds": seconds,
            "checkpoint": paths::text(&loaded.checkpoint), "files_written": written.files, "out": paths::text(&setup.out),
        });
        output::finish(global, &summary, || {
            format!("{} in {seconds:.1} s: {}", output::images(count), setup.out.display())
        })
    }

    /// One row of images for each start, or a single row.
    fn rows(&self, setup: &Setup<'_>) -> anyhow::Result<Vec<Row>> {
        if self.mode == Mode::Ddim {
            return Ok(vec![Row::Ddim(Codec::new(setup, End::Data)?)]);
        }
        let schedule = &*setup.loaded.path;
        let usual = [(T_START * schedule.steps() as f64).ceil() as usize];
        let starts = if self.t_start.is_empty() { &usual[..] } else { &self.t_start };
        let row = |&t_start: &usize| {
            let sampler = Sampler::from_step(schedule, &setup.config, t_start);
            Ok(Row::Noise(t_start, sampler.map_err(in_flags)?))
        };
        starts.iter().map(row).collect()
    }

    fn mix_diffused(
        &self,
        setup: &Setup<'_>,
        sampler: &Sampler,
        (from, to): &(Tensor, Tensor),
    ) -> anyhow::Result<Array4<u8>> {
        let shares = shares(self.count);
        // All use the noise of image 0, whatever their batch.
        let noise = Noise { seed: setup.noise.seed(), first_index: 0 };
        let (loaded, global, steps) = (&setup.loaded, setup.global, sampler.steps());
        in_batches(loaded, setup.noise, self.count, steps, global, |range, _, bar| {
            let mut on_step = |step: &Step<'_>| {
                tick(bar, step);
                Ok(())
            };
            let model = setup.model(range.clone())?;
            Ok(sampler.interpolate(&*model, (from, to), &shares[range], &noise, &mut on_step)?)
        })
    }

    fn mix_latents(
        &self,
        setup: &Setup<'_>,
        codec: &Codec,
        (from, to): &(Tensor, Tensor),
    ) -> anyhow::Result<Array4<u8>> {
        let shares = shares(self.count);
        let bar = progress::bar(setup.global, 2 * codec.encoding_steps() as u64, "encoding");
        // Add the noise of t = 0, a different draw for each image. Without it, a flat background would not encode to
        // N(0, 1); with the same draw twice, that noise would grow on the sphere.
        let encode = |x_0, index| codec.encode(setup, &codec.diffuse(setup, x_0, index)?, &bar);
        let (from, to) = (encode(from, 0)?, encode(to, 1)?);
        bar.finish_and_clear();
        let (loaded, global) = (&setup.loaded, setup.global);
        in_batches(loaded, setup.noise, self.count, codec.decoding_steps(), global, |range, _, bar| {
            let x_t = blend(&from, &to, &shares[range], Blend::Spherical)?;
            codec.decode(setup, &x_t, bar)
        })
    }

    /// Draws rows of mixtures between the two images.
    fn picture(
        &self,
        (from, to): (&Array3<u8>, &Array3<u8>),
        rows: &[Array4<u8>],
        labels: &[String],
    ) -> anyhow::Result<Canvas> {
        let (from, to) = (batch_of_one(from.clone()), batch_of_one(to.clone()));
        let rows = rows
            .iter()
            .map(|row| Ok(concatenate(Axis(0), &[from.view(), row.view(), to.view()])?.insert_axis(Axis(0))))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
        let cells = concatenate(Axis(0), &views)?; // [rows, columns, h, w, c]
        let mixtures = shares(self.count).into_iter().enumerate().map(|(k, a)| {
            let label = Band::new(format!("{a:.2}"));
            if k == 0 { label.apart() } else { label }
        });
        let columns =
            std::iter::once(Band::new("original")).chain(mixtures).chain([Band::new("original").apart()]);
        Ok(Sheet::new(cells.view()).rows(labels.iter().map(Band::new)).columns(columns).draw()?)
    }
}

/// How to make a row of images.
enum Row {
    /// Denoises a mixture of diffused images from `t_start` steps before the end.
    Noise(usize, Sampler),
    Ddim(Codec),
}

impl Row {
    fn label(&self) -> String {
        match self {
            Self::Noise(t_start, _) => format!("t = {t_start}"),
            Self::Ddim(_) => "x_T".to_owned(),
        }
    }
}
