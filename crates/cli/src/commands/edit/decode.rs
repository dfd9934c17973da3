//! `ddpm edit decode`: images of encoded noise.

use std::time::Instant;

use clap::Args;
use sampler::End;
use serde_json::json;

use crate::commands::edit::latent;
use crate::commands::edit::setup::Common;
use crate::commands::noise_file;
use crate::exit::ExitCode;
use crate::flags::Global;
use crate::paths::InputPath;
use crate::{output, paths};

/// Decodes latents.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit encode --image shoe.png --out out/shoe
  ddpm edit decode --latent out/shoe/latent.npy --save png

Any deterministic solver works. The error is smallest with the solver and steps used to encode.")]
pub(crate) struct Decode {
    /// Latents as .npy or .npz: x_T, f32 [n, c, h, w]
    #[arg(long, value_name = "FILE")]
    latent: InputPath,
    #[command(flatten)]
    common: Common,
}

impl Decode {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.common.noise.refuse_seed("decoding draws nothing")?;
        let setup = self.common.open("decode", global)?;
        let loaded = &setup.loaded;
        let decoder = latent::decoder(&setup, End::FirstStep)?;
        let x_t = noise_file::read("--latent", &self.latent, loaded)?;
        let (count, begun) = (x_t.size()[0] as usize, Instant::now());
        let (mut results, sampling) = (setup.results(), setup.sampling(count, decoder.steps()));
        sampling.run(&mut results, |range, _, progress| {
            let part = x_t.narrow(0, range.start as i64, range.len() as i64).to_device(loaded.device);
            latent::decode(&setup, &decoder, &part, range, &mut |step| progress.step(step))
        })?;
        let (seconds, done) = (begun.elapsed().as_secs_f64(), results.count());
        let written = results.finish(Vec::new(), |pixels, _| output::grid(pixels))?;
        let summary = json!({
            "images": done, "finished": done == count, "steps": decoder.steps(), "seconds": seconds,
            "checkpoint": paths::text(&loaded.checkpoint), "files_written": written.files, "out": paths::text(&setup.out),
        });
        let told = output::finish(global, &summary, || {
            format!("{} in {seconds:.1} s: {}", output::images(done), setup.out.display())
        });
        sampling.end(done, told)
    }
}
