//! Fills in the unknown part of an image, for the sub-commands that differ in which part that is.

use std::time::Instant;

use clap::Args;
use ndarray::ArrayView3;
use sampler::{Known, Resampling, Sampler};
use serde_json::json;
use tch::Tensor;

use crate::commands::edit::picture;
use crate::commands::edit::setup::{Setup, check_count, in_flags};
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::{noise_end, output, paths};

/// Default steps of a jump back up the chain.
const JUMP: usize = 5;

/// How many images to draw, and how thoroughly.
#[derive(Debug, Clone, Args)]
pub(crate) struct FillArgs {
    /// How many images to draw
    #[arg(long, value_name = "N", default_value_t = 8)]
    count: usize,
    /// Steps of each jump back up the chain; they are then sampled again to fit the known part [default: 5]
    #[arg(long, value_name = "J")]
    jump: Option<usize>,
    /// How often each stretch is sampled; 1 is fast but fits badly
    #[arg(long, value_name = "R", default_value_t = 10)]
    resample: usize,
}

impl FillArgs {
    /// Checks what needs no network.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        check_count(self.count, 1..=65_536)?;
        if let (Some(jump), 1) = (self.jump, self.resample) {
            bail_usage!(
                "--jump {jump}: has no effect with --resample 1, which draws every stretch once; leave it out"
            );
        }
        // Assume a chain that is long enough for any jump.
        self.resampling().reverse_steps(usize::MAX).map(drop).map_err(in_flags)
    }

    fn resampling(&self) -> Resampling {
        Resampling { jump: self.jump.unwrap_or(JUMP), repeats: self.resample }
    }

    /// Draws, saves and reports. `before` comes first in the grid, each image under its label; `settle` makes final changes to
    /// the images.
    pub(crate) fn run(
        &self,
        setup: &Setup<'_>,
        known: &Known,
        before: &[(&str, ArrayView3<'_, u8>)],
        settle: impl Fn(Tensor) -> anyhow::Result<Tensor>,
    ) -> anyhow::Result<ExitCode> {
        let (loaded, resampling) = (&setup.loaded, self.resampling());
        let sampler = Sampler::new(&*loaded.path, &setup.config).map_err(in_flags)?;
        noise_end::check_start(&sampler, &*loaded.path);
        let steps = resampling.reverse_steps(sampler.steps()).map_err(in_flags)?;
        let begun = Instant::now();
        let (mut results, sampling) = (setup.results(), setup.sampling(self.count, steps));
        sampling.run(&mut results, |range, noise, progress| {
            let x_t = sampler.start_from(noise.start(loaded.shape(range.len()), loaded.device)?)?;
            let mut on_step = |step: &sampler::Step<'_>| progress.step(step);
            let model = setup.model(range)?;
            let images = sampler.inpaint(&*model, &x_t, known, &resampling, noise, &mut on_step);
            settle(images.map_err(in_flags)?)
        })?;
        let (seconds, done) = (begun.elapsed().as_secs_f64(), results.count());
        let written = results.finish(Vec::new(), |pixels, _| picture::labelled(before, pixels, 0))?;
        let summary = json!({
            "images": done, "finished": done == self.count, "steps": steps, "seconds": seconds,
            "checkpoint": paths::text(&loaded.checkpoint), "files_written": written.files, "out": paths::text(&setup.out),
        });
        let told = output::finish(setup.global, &summary, || {
            let out = setup.out.display();
            let steps = files::counted(steps, "step");
            format!("{} in {seconds:.1} s ({steps} each): {out}", output::images(done))
        });
        sampling.end(done, told)
    }
}
