//! Figure 15: the classes of a conditional network at several guidance scales.

use std::path::Path;

use figures::{ClassBlocks, Figure};
use ndarray::{Array4, Axis};
use sampler::{Guidance, Sampler, SamplerConfig};

use crate::commands::figures::plan::{GUIDANCE_SCALES, GUIDED, Plan};
use crate::commands::sampling::{NoiseArgs, in_batches, tick};
use crate::conditioning::Conditioning;
use crate::config::{self, Config};
use crate::flags::{Global, ModelArgs, Weights};
use crate::model::{self, Loaded, RUNS};

/// Most rows of the figure; a network with more classes shows its first ones.
const MAX_CLASSES: usize = 10;
/// Batch size.
const BATCH: usize = 32;

/// The figure, or the reason for leaving it out. If the network has no classes, the newest run that has them is used.
pub(super) fn guidance(
    loaded: &Loaded,
    plan: &Plan,
    seed: u64,
    global: &Global,
) -> anyhow::Result<Result<Figure, String>> {
    if guides(&loaded.config) {
        return draw(loaded, plan, seed, global).map(Ok);
    }
    let with_classes = |run: &Path| {
        let checkpoint = model::newest_checkpoint(run).ok()?;
        let config = config::read_run(&checkpoint.path.join("config.toml")).ok()?;
        guides(&config).then(|| run.to_owned())
    };
    let Some(run) =
        trainer::runs_newest_first(Path::new(RUNS)).iter().find_map(|run| with_classes(&run.path))
    else {
        let how = "there is no run with classes; train one with `ddpm train --preset fashion-28-classes`";
        return Ok(Err(how.to_owned()));
    };
    let args = ModelArgs {
        run: Some(run.clone().into()),
        model: None,
        weights: Weights::Ema,
        precision: "auto".to_owned(),
        any_size: false,
        best: false,
        adapter: None,
    };
    let mut figure = draw(&Loaded::open(&args, global)?, plan, seed, global)?;
    let name = run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    figure
        .caption
        .push_str(&format!(" From another run, {name}: the one of the other figures has no classes."));
    Ok(Ok(figure))
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
