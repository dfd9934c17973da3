//! `ddpm edit encode`: the noise that a deterministic solver turns into an image.

use std::time::Instant;

use anyhow::Context;
use clap::Args;
use figures::{Band, Canvas, Sheet};
use ndarray::{Array4, Axis, Zip, stack};
use sampler::End;
use serde_json::json;
use tch::Kind;

use crate::commands::edit::frame;
use crate::commands::edit::latent::Codec;
use crate::commands::edit::setup::{Common, batch_of_one};
use crate::commands::edit::source::ImageArgs;
use crate::flags::Global;
use crate::{output, paths, progress};

/// Factor by which the displayed difference is amplified.
const CONTRAST: i32 = 8;

/// Encodes an image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit encode --image shoe.png --out out/shoe
  ddpm edit decode --latent out/shoe/latent.npy

latent.npy, and samples.npz with --save npz, hold x_T as f32 [1, c, h, w]. grid.png shows the \
original, x_T, the decoded image, and their difference, amplified eight times, on mid grey.")]
pub(crate) struct Encode {
    #[command(flatten)]
    image: ImageArgs,
    /// Add the noise of t = 0 first: x_T is then N(0, 1) in flat areas too, at the cost of one grey level
    #[arg(long)]
    diffuse: bool,
    #[command(flatten)]
    common: Common,
}

impl Encode {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        if !self.diffuse {
            self.common.noise.refuse_seed("only --diffuse draws something here")?;
        }
        let setup = self.common.open("encode", global)?;
        setup.one_class()?;
        let loaded = &setup.loaded;
        let codec = Codec::new(&setup, End::FirstStep)?;
        let image = self.image.source().read_as(loaded, frame::size(loaded))?;
        let x_0 = frame::x_0(&image, loaded)?;

        let begun = Instant::now();
        let bar = progress::bar(global, (codec.encoding_steps() + codec.decoding_steps()) as u64, "encoding");
        let start = if self.diffuse { codec.diffuse(&setup, &x_0, 0)? } else { x_0.shallow_clone() };
        let x_t = codec.encode(&setup, &start, &bar)?;
        let decoded = codec.decode(&setup, &x_t, &bar)?;
        bar.finish_and_clear();
        let seconds = begun.elapsed().as_secs_f64();

        let mse = f64::try_from((&decoded - &x_0).square().mean(Kind::Double))?;
        let (mean, deviation) = (f64::try_from(x_t.mean(Kind::Double))?, f64::try_from(x_t.std(true))?);
        let original = batch_of_one(image);
        let pixels = output::to_pixels(&decoded, &loaded.images)?;
        let noise = output::to_pixels(&(&x_t / 3.0), &loaded.images)?;
        let grid = picture(&original, &noise, &pixels)?;
        let x_t = tensor_io::to_array(&x_t.to_kind(Kind::Float))?;
        let latent = setup.out.join("latent.npy");
        dataset::write_npy(&latent, &x_t).context("--out")?;
        let written = setup.save(pixels, vec![("latent", x_t.into())], grid)?;
        // From [-1, 1] to 0..=255.
        let grey_levels = mse.sqrt() * 127.5;
        let summary = json!({
            "latent": paths::text(&latent), "mean_squared_error": mse, "grey_levels": grey_levels,
            "latent_mean": mean, "latent_deviation": deviation, "steps": codec.encoding_steps(), "calls": codec.calls(),
            "seconds": seconds, "checkpoint": paths::text(&loaded.checkpoint),
            "files_written": written.files + 1, "out": paths::text(&setup.out),
        });
        output::finish(global, &summary, || {
            format!(
                "{} in {seconds:.1} s: x_T has mean {mean:.3} and standard deviation {deviation:.3}; decoded, it is \
                 {grey_levels:.2} grey levels off (root of the mean squared error {mse:.2e})",
                latent.display()
            )
        })
    }
}

/// Image, noise, decoded image and their difference side by side.
fn picture(original: &Array4<u8>, noise: &Array4<u8>, decoded: &Array4<u8>) -> anyhow::Result<Canvas> {
    let mut difference = decoded.clone();
    Zip::from(&mut difference).and(original).for_each(|out, &original| {
        let error = i32::from(*out) - i32::from(original);
        *out = (128 + CONTRAST * error).clamp(0, 255) as u8;
    });
    // One row, [1, columns, h, w, c].
    let cells = [original, noise, decoded, &difference].map(|batch| batch.index_axis(Axis(0), 0));
    let cells = stack(Axis(0), &cells)?.insert_axis(Axis(0));
    let labels = ["original", "x_T", "decoded", "difference"].map(Band::new);
    Ok(Sheet::new(cells.view()).columns(labels).draw()?)
}
