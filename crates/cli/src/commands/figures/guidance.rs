//! Figure 15: the classes of a conditional network at several guidance scales.

use std::path::{Path, PathBuf};

use figures::{ClassBlocks, Figure};
use ndarray::{Array4, Axis};
use sampler::{Guidance, Sampler, SamplerConfig};
use tracing::info;

use crate::commands::figures::Figures;
use crate::commands::figures::plan::{GUIDANCE_SCALES, GUIDED, Plan};
use crate::commands::sampling::{NoiseArgs, in_batches, tick};
use crate::conditioning::Conditioning;
use crate::config::{self, Config};
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs, Weights};
use crate::model::{self, Loaded, RUNS};

/// Most rows of the figure; a network with more classes shows its first ones.
const MAX_CLASSES: usize = 10;
/// Batch size.
const BATCH: usize = 32;

/// The run to draw from if the network of the other figures has no classes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Other<'a> {
    /// This one.
    Named(&'a Path),
    /// The newest one with classes, since the user named no run.
    Newest,
    /// None, since the user named a run or a model, and not one for this figure.
    None,
}

impl Figures {
    /// Where figure 15 may come from: never from a run that the user did not name, if they named one.
    pub(super) fn other(&self) -> Other<'_> {
        match &self.class_run {
            Some(run) => Other::Named(run),
            None if self.model.run.is_some() || self.model.model.is_some() => Other::None,
            None => Other::Newest,
        }
    }
}

/// Refuses a run for this figure without classes.
pub(super) fn check(run: &Path) -> anyhow::Result<()> {
    let checkpoint = model::newest_checkpoint_of(run, "--class-run")?;
    if !guides(&config::read_run(&checkpoint.path.join("config.toml"))?) {
        bail_usage!(
            "--class-run {}: expected a run with model.classes and train.label_dropout, found one without; name another",
            run.display()
        );
    }
    Ok(())
}

/// The figure, or the reason for leaving it out. `about` is its line in the report, for the network that drew it.
pub(super) fn guidance(
    loaded: &Loaded,
    other: Other<'_>,
    (plan, seed): (&Plan, u64),
    about: &dyn Fn(&Loaded) -> anyhow::Result<String>,
    global: &Global,
) -> anyhow::Result<Result<Figure, String>> {
    if guides(&loaded.config) {
        return draw(loaded, plan, seed, global).map(Ok);
    }
    let run = match other {
        Other::Named(run) => run.to_owned(),
        Other::None => {
            let how = "this network has no classes; name a run that has them with --class-run";
            return Ok(Err(how.to_owned()));
        }
        Other::Newest => match newest_with_classes() {
            Some(run) => run,
            None => {
                let how =
                    "there is no run with classes; train one with `ddpm train --preset fashion-28-classes`";
                return Ok(Err(how.to_owned()));
            }
        },
    };
    info!("figure 15: using {}, since the other figures' network has no classes", run.display());
    let args = ModelArgs {
        run: Some(run.clone().into()),
        model: None,
        weights: Weights::Ema,
        precision: "auto".to_owned(),
        any_size: false,
        best: false,
        adapter: None,
    };
    let loaded = Loaded::open(&args, global)?;
    let mut figure = draw(&loaded, plan, seed, global)?;
    figure.about = about(&loaded)?;
    let name = run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    figure
        .caption
        .push_str(&format!(" From another run, {name}: the one of the other figures has no classes."));
    Ok(Ok(figure))
}

fn newest_with_classes() -> Option<PathBuf> {
    let with_classes = |run: &Path| {
        let checkpoint = model::newest_checkpoint(run).ok()?;
        let config = config::read_run(&checkpoint.path.join("config.toml")).ok()?;
        guides(&config).then(|| run.to_owned())
    };
    trainer::runs_newest_first(Path::new(RUNS)).iter().find_map(|run| with_classes(&run.path))
}

/// Whether a network has classes and was also trained without them.
fn guides(config: &Config) -> bool {
    config.model.classes.is_some() && config.train.label_dropout > 0.0
}

fn draw(loaded: &Loaded, plan: &Plan, seed: u64, global: &Global) -> anyhow::Result<Figure> {
    let mut labels = loaded.images.learned_classes(loaded.config.model.classes.unwrap_or(1));
    labels.truncate(MAX_CLASSES);
    let classes = labels.len();
    let steps = Some(plan.guided_steps);
    let config = SamplerConfig { steps, ..loaded.sampler_config("dpmpp-2m".parse()?) };
    let sampler = Sampler::new(&*loaded.path, &config)?;
    let (count, noise) = (classes * GUIDED, NoiseArgs::new(seed, BATCH));
    let drawn = GUIDANCE_SCALES
        .iter()
        .map(|&scale| {
            let conditioning = Conditioning::new(labels.clone(), Guidance::new(scale));
            in_batches(loaded, &noise, count, sampler.steps(), global, |range, noise, bar| {
                bar.set_prefix(format!("guidance {scale}"));
                let x_start = sampler.start_from(noise.start(loaded.shape(range.len()), loaded.device)?)?;
                let network = (&*loaded.net, loaded.precision.kind());
                let model = conditioning.model(network, loaded.path.steps(), range)?;
                let mut on_step = |step: &sampler::Step<'_>| {
                    tick(bar, step);
                    Ok(())
                };
                Ok(sampler.sample(&*model, &x_start, noise, &mut on_step)?)
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    // Image i shows class i modulo their number.
    let of_class = |images: &Array4<u8>, class: usize| {
        let places: Vec<usize> = (0..GUIDED).map(|k| k * classes + class).collect();
        images.select(Axis(0), &places)
    };
    let blocks: Vec<Vec<Array4<u8>>> =
        (0..classes).map(|class| drawn.iter().map(|images| of_class(images, class)).collect()).collect();
    let numbers: Vec<String> = labels.iter().map(ToString::to_string).collect();
    let name = |class: usize| {
        loaded.images.class_names.get(labels[class] as usize).unwrap_or(&numbers[class]).as_str()
    };
    let rows: Vec<ClassBlocks<'_>> = blocks
        .iter()
        .enumerate()
        .map(|(class, blocks)| ClassBlocks {
            name: name(class),
            blocks: blocks.iter().map(Array4::view).collect(),
        })
        .collect();
    let mut figure = figures::guidance(&GUIDANCE_SCALES, &rows)?;
    let steps = files::counted(plan.guided_steps, "step");
    figure.caption.push_str(&format!(" DPM-Solver++ (2M), {steps}."));
    Ok(figure)
}
