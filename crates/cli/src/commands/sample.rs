//! `ddpm sample`: images from noise.

use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::commands::noise_file;
use crate::commands::results::{self, Results};
use crate::commands::sampling::{LongSampling, NoiseArgs};
use crate::commands::watching::{Trajectory, WatchingArgs};
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs};
use crate::guidance_flags::GuidanceArgs;
use crate::mixture_flags::{self, MixtureFlags};
use crate::model::Loaded;
use crate::output::{self, Form};
use crate::paths::{self, InputPath, OutputFolder};
use crate::ranks;
use crate::sampler_flags::SamplerArgs;
use crate::signals::Signals;

/// Draws images from noise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm sample --count 16 --out out/
  ddpm sample --run runs/fashion-28-classes --class sneaker,bag --guidance 3
  ddpm sample --run runs/mine --sampler ddim --steps 50 --seed 7 --save grid,npz
  ddpm sample --sampler ddim --steps 50 --trajectory 24 --preview out/now.png

In samples.npz: images, u8 [n, h, w, c], and labels, i64 [n], -1 for none, where there are \
classes. With --trajectory also the first images (up to 16) at its K moments, as the network sees \
them: x_t and x_0, f32 [K, m, c, h, w], and t, f64 [K], which is -1 for the samples.")]
pub(crate) struct Sample {
    #[command(flatten)]
    model: ModelArgs,
    /// Number of images
    #[arg(long, value_name = "N", default_value_t = 64)]
    count: usize,
    /// First image, to continue a sampling: --count 10 --start 20 draws images 20 to 29 of the seed and
    /// keeps the other PNG files [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "init_noise")]
    start: Option<usize>,
    #[command(flatten)]
    noise: NoiseArgs,
    /// Start from these arrays instead of seeded noise: x_T as .npy or .npz, f32 [n, c, h, w], deviation 1, or sigma_max for edm
    #[arg(long, value_name = "FILE", conflicts_with_all = ["count", "mixture"])]
    init_noise: Option<InputPath>,
    #[command(flatten)]
    mixture: MixtureFlags,
    /// What to write: any of grid (grid.png), png (00000.png, 00000-CLASS.png), npz (samples.npz, see below)
    #[arg(long, value_name = "FORMS", value_delimiter = ',', default_value = "grid")]
    save: Vec<String>,
    #[command(flatten)]
    watching: WatchingArgs,
    /// Folder for the images; with png, those of an earlier sampling there are removed
    #[arg(long, value_name = "DIR", default_value = "out/samples")]
    out: OutputFolder,
    // Groups with a heading come last: clap lists everything after a heading under it.
    #[command(flatten)]
    sampler: SamplerArgs,
    #[command(flatten)]
    guidance: GuidanceArgs,
}

impl Sample {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let forms = self.save.iter().map(|name| name.parse()).collect::<anyhow::Result<Vec<Form>>>()?;
        let first = self.start.unwrap_or(0);
        for (flag, value, least) in [("count", self.count, 1), ("start", first, 0)] {
            if !(least..=1_000_000).contains(&value) {
                bail_usage!("--{flag} {value}: expected {least} to 1000000");
            }
        }
        self.noise.validate()?;
        self.watching.validate()?;
        self.sampler.check()?;
        self.guidance.check()?;
        self.mixture.check()?;
        let mut names = results::names(&forms, first);
        names.extend(self.watching.names());
        output::try_folder("--out", &self.out, &names)?;
        let signals = Signals::install()?;
        ranks::check()?;
        let loaded = Loaded::open(&self.model, global)?;
        let flags = self.sampler.or_of_run(&loaded.config.sample);
        let start = self.mixture.open(&loaded)?;
        let sampler = mixture_flags::sampler(start.as_ref(), &flags, self.sampler.steps, &loaded)?;
        let conditioning = self.guidance.conditioning(&loaded)?;
        let init = self.init_noise.as_ref();
        if init.is_some() && !sampler.is_stochastic() {
            self.noise
                .refuse_seed("--init-noise is where the images start, and this sampler adds no noise")?;
        }
        let init = init.map(|path| noise_file::read("--init-noise", path, &loaded)).transpose()?;
        let count = init.as_ref().map_or(self.count, |x| x.size()[0] as usize);
        conditioning.check_count(count);

        let mut watching = self.watching.build(&loaded, sampler.steps(), count)?;
        let world = ranks::join()?;
        if !world.is_alone() && self.watching.is_wanted() {
            bail_usage!(
                "--trajectory and --preview follow the images of a single rank; leave them out with several"
            );
        }

        let begun = Instant::now();
        let steps = sampler.steps();
        let of_classes = (&conditioning, &*loaded.images.class_names);
        let mut results = Results::new(&self.out, &forms, of_classes, first);
        if self.start.is_some() {
            results = results.continuing();
        }
        results.try_first()?;
        let noise = &self.noise;
        let sampling = LongSampling {
            loaded: &loaded,
            noise,
            first,
            count,
            steps,
            global,
            signals: &signals,
            world: Some(&world),
        };
        let stopped = sampling.run(&mut results, |range, noise, progress| {
            let x_start = match &init {
                Some(x) => {
                    let x = x.narrow(0, range.start as i64, range.len() as i64).to_device(loaded.device);
                    // Scale it as seeded noise is scaled.
                    if sampler.scales_start() { sampler.start_from(x)? } else { x }
                }
                None => {
                    let network = (&loaded, &conditioning);
                    mixture_flags::x_start(start.as_ref(), &sampler, network, noise, range.clone())?
                }
            };
            let mut on_step = |step: &sampler::Step<'_>| {
                watching.see(range.start - first, step)?;
                progress.step(step)
            };
            let network = (&*loaded.net, loaded.precision.kind());
            let model = conditioning.model(network, loaded.path.steps(), range.clone())?;
            Ok(sampler.sample(&*model, &x_start, noise, &mut on_step)?)
        })?;
        if !world.is_first() {
            return Ok(sampling.end_of_other(stopped));
        }
        let (seconds, done) = (begun.elapsed().as_secs_f64(), results.count());
        // After a signal some of the followed images may be missing.
        let trajectory = watching.into_trajectory().filter(|kept| kept.followed() <= done);
        // Save the samples even if drawing the trajectory fails.
        let drawn = trajectory.as_ref().map(|kept| kept.save(&self.out)).transpose();
        let arrays = trajectory.map_or_else(Vec::new, Trajectory::arrays);
        let written = results.finish(arrays, results::plain)?;
        let drawn: Vec<String> = drawn?.unwrap_or_default().iter().map(|path| paths::text(path)).collect();
        let shown: Vec<String> = written.shown().into_iter().chain(drawn.iter().cloned()).collect();
        let summary = json!({
            "images": done, "finished": done == count, "start": first, "steps": steps, "seconds": seconds,
            "images_per_s": done as f64 / seconds, "checkpoint": paths::text(&loaded.checkpoint),
            "files_written": written.files + drawn.len(), "out": self.out, "first_file": written.shown(), "trajectory": drawn,
            "classes": conditioning.classes(), "guidance": conditioning.guidance().map(|guidance| guidance.scale),
            "mixture": self.mixture.mixture.as_deref().map(paths::text),
        });
        let told = output::finish(global, &summary, || {
            let of = if done == count { String::new() } else { format!("{done} of ") };
            format!(
                "{of}{} in {seconds:.1} s ({} each): {}",
                output::images(count),
                files::counted(steps, "step"),
                shown.join(", ")
            )
        });
        sampling.end(done, told)
    }
}
