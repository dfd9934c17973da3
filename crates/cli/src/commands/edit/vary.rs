//! `ddpm edit vary`: variations of an image.

use std::time::Instant;

use clap::Args;
use sampler::{Sampler, Step};
use serde_json::json;

use crate::commands::edit::setup::{Common, check_count, in_flags};
use crate::commands::edit::source::ImageArgs;
use crate::commands::edit::{frame, picture};
use crate::exit::ExitCode;
use crate::flags::Global;
use crate::{output, paths};

/// Variations of one image.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm edit vary --image shoe.png --t-start 300,600 --count 8 --out out/shoes
  ddpm edit vary --index 0 --t-start 500")]
pub(crate) struct Vary {
    #[command(flatten)]
    image: ImageArgs,
    /// Reverse steps to run, one or several: 1 changes hardly anything, T everything
    #[arg(long, value_name = "N", value_delimiter = ',', required = true)]
    t_start: Vec<usize>,
    /// Variations per start
    #[arg(long, value_name = "N", default_value_t = 8)]
    count: usize,
    #[command(flatten)]
    common: Common,
}

impl Vary {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        check_count(self.count, 1..=65_536)?;
        self.common.refuse_timesteps()?;
        let setup = self.common.open("vary", global)?;
        setup.conditioning.check_count(self.count);
        let loaded = &setup.loaded;
        let samplers: Vec<Sampler> = self
            .t_start
            .iter()
            .map(|&t| Sampler::from_step(&*loaded.path, &setup.config, t).map_err(in_flags))
            .collect::<anyhow::Result<_>>()?;
        let original = self.image.source().read_as(loaded, frame::size(loaded))?;
        // The data of a run is known only now.
        output::try_folder("--out", &setup.out, &["original.png".to_owned()])?;
        let x_0 = frame::x_0(&original, loaded)?;

        let begun = Instant::now();
        let (mut rows, mut done) = (Vec::new(), 0);
        for (sampler, t_start) in samplers.iter().zip(&self.t_start) {
            let steps = sampler.steps();
            let folder = setup.out.join(format!("t-{t_start:04}"));
            let sampling = setup.sampling(self.count, steps);
            let mut results = setup.results_in(&folder);
            sampling.run(&mut results, |range, noise, progress| {
                let mut on_step = |step: &Step<'_>| progress.step(step);
                let copies = x_0.repeat([range.len() as i64, 1, 1, 1]);
                Ok(sampler.vary(&*setup.model(range)?, &copies, noise, &mut on_step)?)
            })?;
            done += results.count();
            let finished = results.count() == self.count;
            results.finish(Vec::new(), |pixels, conditioning| {
                let before = [("original", original.view())];
                picture::labelled(&before, pixels, conditioning.classes().len())
            })?;
            rows.push(json!({
                "t_start": t_start, "steps": steps, "out": paths::text(&folder), "finished": finished,
            }));
            if !finished || sampling.is_stopped() {
                break;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        dataset::save_png(&setup.out.join("original.png"), original.view())?;
        let summary = json!({
            "images": done, "finished": done == self.count * samplers.len(), "starts": rows, "seconds": seconds,
            "checkpoint": paths::text(&loaded.checkpoint), "out": paths::text(&setup.out),
        });
        let told = output::finish(global, &summary, || {
            let variations = files::counted(done, "variation");
            format!("{variations} in {seconds:.1} s: {}", setup.out.display())
        });
        setup.sampling(self.count * samplers.len(), 0).end(done, told)
    }
}
