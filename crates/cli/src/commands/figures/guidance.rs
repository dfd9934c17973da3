//! Figure 15: the classes of a conditional network at several guidance scales.

use figures::{ClassBlocks, Figure};
use ndarray::{Array4, Axis};
use sampler::{Guidance, Sampler};

use crate::commands::figures::plan::{GUIDANCE_SCALES, GUIDED};
use crate::commands::figures::sampling::Sampling;
use crate::commands::sampling::{in_batches, tick};
use crate::conditioning::Conditioning;

/// Rows of the figure at most: the first classes of a network with more.
const MAX_CLASSES: usize = 10;

impl Sampling<'_> {
    /// The figure, or why there is none.
    pub(super) fn guidance(&self) -> anyhow::Result<Result<Figure, String>> {
        let loaded = self.loaded;
        let Some(classes) = loaded.config.model.classes else {
            return Ok(Err(
                "the network has no classes; the preset fashion-28-classes trains one that has".to_owned()
            ));
        };
        if loaded.config.train.label_dropout == 0.0 {
            return Ok(Err(
                "the network was trained without label dropout, so there is no guidance".to_owned()
            ));
        }
        let classes = classes.min(MAX_CLASSES);
        let sampler =
            Sampler::new(&loaded.schedule, &self.config("dpmpp-2m".parse()?, self.plan.guided_steps))?;
        let count = classes * GUIDED;
        let drawn = GUIDANCE_SCALES
            .iter()
            .map(|&scale| {
                let labels = (0..classes as i64).collect();
                let conditioning = Conditioning::new(labels, Guidance::new(scale));
                in_batches(loaded, &self.noise, count, sampler.steps(), self.global, |range, noise, bar| {
                    bar.set_prefix(format!("guidance {scale}"));
                    let x_start = noise.start(loaded.shape(range.len()), loaded.device)?;
                    let network = (&loaded.net, loaded.kind);
                    let model = conditioning.model(network, loaded.schedule.steps(), range)?;
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
        let numbers: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
        let name = |class: usize| loaded.images.class_names.get(class).unwrap_or(&numbers[class]).as_str();
        let rows: Vec<ClassBlocks<'_>> = blocks
            .iter()
            .enumerate()
            .map(|(class, blocks)| ClassBlocks {
                name: name(class),
                blocks: blocks.iter().map(Array4::view).collect(),
            })
            .collect();
        let mut figure = figures::guidance(&GUIDANCE_SCALES, &rows)?;
        figure.caption.push_str(&format!(" DPM-Solver++ (2M), {} steps.", self.plan.guided_steps));
        Ok(Ok(figure))
    }
}
