//! `ddpm edit decode`: images of encoded noise.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use sampler::End;
use serde_json::json;
use tch::{Kind, Tensor};

use crate::commands::edit::latent;
use crate::commands::edit::setup::Common;
use crate::commands::sampling::in_batches;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::model::Loaded;
use crate::output;

/// Decodes latents.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit encode --image shoe.png --out out/shoe
  ddpm edit decode --latent out/shoe/latent.npy --save png

Any deterministic solver; the one that encoded, in as many steps, leads back with the smallest error.")]
pub(crate) struct Decode {
    /// Latents as .npy: x_T, f32 [n, c, h, w]
    #[arg(long, value_name = "FILE")]
    latent: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Decode {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let setup = self.common.open("decode", global)?;
        let loaded = &setup.loaded;
        let decoder = latent::decoder(&setup, End::FirstStep)?;
        let x_t = read(&self.latent, loaded)?;
        let (count, begun) = (x_t.size()[0] as usize, Instant::now());
        let pixels = in_batches(loaded, setup.noise, count, decoder.steps(), global, |range, _, bar| {
            let part = x_t.narrow(0, range.start as i64, range.len() as i64).to_device(loaded.device);
            latent::decode(&setup, &decoder, &part, range, bar)
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let written = setup.save(&pixels, &output::grid(&pixels)?)?;
        let summary = json!({
            "images": count, "steps": decoder.steps(), "seconds": seconds, "checkpoint": loaded.checkpoint,
            "files": written.len(), "folder": setup.out,
        });
        output::finish(global, &summary, || {
            format!("{count} images in {seconds:.1} s: {}", setup.out.display())
        })
    }
}

/// Latents from a file, checked against the network.
fn read(path: &Path, loaded: &Loaded) -> anyhow::Result<Tensor> {
    let array = dataset::read_npy(path).context("--latent")?.into_f32();
    let ([_, c, h, w], shape) = (loaded.shape(0), array.shape());
    if shape.len() != 4 || shape[0] == 0 || ![c, h, w].iter().zip(&shape[1..]).all(|(a, b)| *a == *b as i64) {
        bail_usage!(
            "--latent {}: has shape {shape:?}, expected [n, {c}, {h}, {w}], that of this network",
            path.display()
        );
    }
    let x_t = tensor_io::from_array(&array.view())?;
    if i64::try_from(x_t.isfinite().all())? == 0 {
        bail_usage!("--latent {}: holds NaN or infinite numbers", path.display());
    }
    Ok(x_t.to_kind(Kind::Float))
}
