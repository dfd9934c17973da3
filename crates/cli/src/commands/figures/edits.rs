//! Figures 16 to 19: edits of given images.

use figures::{EditRows, Figure};
use ndarray::{Array4, Array5, Axis, concatenate, stack};
use sampler::{
    Blend, ChurnSettings, Encoder, End, Known, Method, Noise, Resampling, Sampler, SamplerConfig, Times,
    blend, shares,
};
use schedule::Variance;
use tch::{Kind, Tensor};

use crate::commands::figures::plan::Plan;
use crate::commands::figures::subject::{Subject, originals};
use crate::flags::Global;
use crate::model::Loaded;
use crate::{output, progress};

/// Pairs in figure 16, and images between the two of a pair.
const PAIRS: usize = 2;
const BETWEEN: usize = 7;
/// Share of the chain to which figure 16 diffuses.
const DIFFUSED: f64 = 0.35;
/// Images of each kind in figures 17 to 19, and fills of each.
const IMAGES: usize = 2;
const FILLS: usize = 5;
/// Side of the block of pixels that becomes one in figure 19.
const FACTOR: i64 = 2;
/// RePaint: jump length, and how often each stretch is run.
const RESAMPLING: Resampling = Resampling { jump: 5, repeats: 5 };
/// Factor by which the difference in figure 18 is amplified.
const ENLARGED: f64 = 4.0;

/// The edit figures of one set of images.
pub(super) struct Edits<'a> {
    loaded: &'a Loaded,
    plan: &'a Plan,
    noise: Noise,
    global: &'a Global,
    /// `[n, c, h, w]` in [-1, 1].
    originals: Tensor,
    /// A sentence about where the images come from.
    whose: &'static str,
}

impl<'a> Edits<'a> {
    pub(super) fn new(
        subject: &Subject,
        loaded: &'a Loaded,
        plan: &'a Plan,
        seed: u64,
        global: &'a Global,
    ) -> anyhow::Result<Self> {
        let (pixels, whose) = originals(subject, loaded, 3 * IMAGES)?;
        let originals = output::to_tensor(&pixels)?.to_device(loaded.device);
        Ok(Self { loaded, plan, noise: Noise { seed, first_index: 0 }, global, originals, whose })
    }

    /// Figure 16.
    pub(super) fn interpolation(&self) -> anyhow::Result<Figure> {
        // Leave out the ends, which are the originals.
        let inner: Vec<f64> = shares(BETWEEN + 2)[1..=BETWEEN].to_vec();
        let (diffused, t_start) = diffusing(self.loaded, self.plan)?;
        let heun = there_and_back(self.loaded, self.plan);
        let encoder = Encoder::new(&*self.loaded.path, &heun)?;
        let decoder = Sampler::new(&*self.loaded.path, &heun)?;
        let model = self.loaded.predictor()?;
        let (mut mixed, mut encoded) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let ends = self.pair(pair)?;
            let ends = (&ends.0, &ends.1);
            let images = diffused.interpolate(&model, ends, &inner, &self.noise, &mut |_| Ok(()))?;
            mixed.push(self.between(ends, &images)?);
            // With the noise of t = 0 added, the flow ends at noise that can be mixed even where the image is flat.
            let both = encoder.diffuse(&Tensor::f_cat(&[ends.0, ends.1], 0)?, &self.noise)?;
            let noises = encoder.encode(&model, &both, &mut |_| Ok(()))?;
            let (from, to) = (noises.f_narrow(0, 0, 1)?, noises.f_narrow(0, 1, 1)?);
            let x_t = blend(&from, &to, &inner, Blend::Spherical)?;
            let images = decoder.sample(&model, &x_t, &self.noise, &mut |_| Ok(()))?;
            encoded.push(self.between(ends, &images)?);
        }
        let (mixed, encoded) = (lines(&mixed)?, lines(&encoded)?);
        let rows = [
            EditRows { name: "diffused", cells: mixed.view() },
            EditRows { name: "encoded", cells: encoded.view() },
        ];
        self.finished(figures::interpolation(&inner, &rows)?, &format!("Diffused to t = {}.", t_start - 1))
    }

    /// Figure 17.
    pub(super) fn inpainting(&self) -> anyhow::Result<Figure> {
        let [_, _, height, width] = self.sizes();
        // The missing part of each kind: rows and columns.
        let kinds = [
            ("a box", (height / 4, height / 2), (width / 4, width / 2)),
            ("half", (0, height), (width / 2, width - width / 2)),
            ("outside", (0, 0), (0, 0)),
        ];
        let mut groups = Vec::new();
        for (kind, (name, (top, rows), (left, columns))) in kinds.into_iter().enumerate() {
            let mask = if rows == 0 {
                // All but the middle is missing.
                let mask = Tensor::ones([1, 1, height, width], (Kind::Float, self.loaded.device));
                let inner = mask.narrow(2, height / 4, height / 2).narrow(3, width / 4, width / 2);
                let _ = { inner }.f_zero_()?;
                mask
            } else {
                let mask = Tensor::zeros([1, 1, height, width], (Kind::Float, self.loaded.device));
                let _ = mask.narrow(2, top, rows).narrow(3, left, columns).f_fill_(1.0)?;
                mask
            };
            let mut cells = Vec::new();
            for k in 0..IMAGES {
                let image = self.original(kind * IMAGES + k)?;
                let known = Known::outside(&image, &mask)?;
                let given = image.f_where_self(&mask.f_eq(0.0)?, &image.f_zeros_like()?)?;
                cells.push(self.filled(name, &known, &image, &given)?);
            }
            groups.push((name, lines(&cells)?));
        }
        self.finished(figures::inpainting(FILLS, &rows(&groups))?, &self.resampled())
    }

    /// Figure 18.
    pub(super) fn encoding(&self) -> anyhow::Result<Figure> {
        let model = self.loaded.predictor()?;
        let images = self.originals.f_narrow(0, 0, (2 * IMAGES) as i64)?;
        let (mut groups, mut errors) = (Vec::new(), Vec::new());
        let heun = there_and_back(self.loaded, self.plan);
        let ddim = SamplerConfig { method: Method::Ddim { eta: 0.0 }, ..heun.clone() };
        for (name, config) in [("DDIM", ddim), ("Heun", heun)] {
            let encoder = Encoder::new(&*self.loaded.path, &config)?;
            let noise = encoder.encode(&model, &images, &mut |_| Ok(()))?;
            let decoder = Sampler::new(&*self.loaded.path, &config)?;
            let decoded = decoder.sample(&model, &noise, &self.noise, &mut |_| Ok(()))?;
            let difference = decoded.f_clamp(-1.0, 1.0)?.f_sub(&images)?;
            errors.push(127.5 * f64::try_from(difference.f_square()?.f_mean(Kind::Double)?)?.sqrt());
            // Noise has no fixed range; show three standard deviations.
            let columns = [&images, &(noise / 3.0), &decoded, &(difference * ENLARGED)];
            let columns = columns.map(|x| self.pixels(x)).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            let views: Vec<_> = columns.iter().map(Array4::view).collect();
            groups.push((name, stack(Axis(1), &views)?));
        }
        let steps = self.plan.edit_steps;
        self.finished(
            figures::encoding(&rows(&groups), &errors)?,
            &format!("{steps} steps in each direction; Heun calls the network twice in a step."),
        )
    }

    /// Figure 19.
    pub(super) fn upscaling(&self) -> anyhow::Result<Result<Figure, String>> {
        let [_, _, height, width] = self.sizes();
        if height % FACTOR != 0 || width % FACTOR != 0 {
            return Ok(Err(format!("{height} x {width} pixels cannot be divided into blocks of {FACTOR}")));
        }
        let mut cells = Vec::new();
        for k in 0..2 * IMAGES {
            let image = self.original(k)?;
            let small = image.f_avg_pool2d([FACTOR; 2], [FACTOR; 2], [0; 2], false, true, None::<i64>)?;
            let known = Known::means(&small, FACTOR as usize)?;
            let given = small
                .f_repeat_interleave_self_int(FACTOR, 2, None::<i64>)?
                .f_repeat_interleave_self_int(FACTOR, 3, None::<i64>)?;
            cells.push(self.filled("upscaling", &known, &image, &given)?);
        }
        let name = format!("{FACTOR} times");
        let groups = [(name.as_str(), lines(&cells)?)];
        self.finished(figures::upscaling(FILLS, &rows(&groups))?, &self.resampled()).map(Ok)
    }

    /// `[columns, h, w, c]`: original, given, and the fills.
    fn filled(
        &self,
        name: &str,
        known: &Known,
        image: &Tensor,
        given: &Tensor,
    ) -> anyhow::Result<Array4<u8>> {
        let sampler = Sampler::new(&*self.loaded.path, &filling(self.loaded, self.plan))?;
        let resampling = resampling(&sampler);
        let [_, channels, height, width] = self.sizes();
        let x_start = sampler
            .start_from(self.noise.start([FILLS as i64, channels, height, width], self.loaded.device)?)?;
        let bar = progress::bar(self.global, resampling.reverse_steps(sampler.steps())? as u64, "filling");
        bar.set_prefix(name.to_owned());
        let model = self.loaded.predictor()?;
        let mut tick = |_: &sampler::Step<'_>| {
            bar.inc(1);
            Ok(())
        };
        let images = sampler.inpaint(&model, &x_start, known, &resampling, &self.noise, &mut tick)?;
        bar.finish_and_clear();
        self.pixels(&Tensor::f_cat(&[image, given, &images], 0)?)
    }

    fn sizes(&self) -> [i64; 4] {
        self.loaded.shape(1)
    }

    fn original(&self, index: usize) -> anyhow::Result<Tensor> {
        Ok(self.originals.f_narrow(0, index as i64 % self.originals.size()[0], 1)?)
    }

    fn pair(&self, index: usize) -> anyhow::Result<(Tensor, Tensor)> {
        Ok((self.original(2 * index)?, self.original(2 * index + 1)?))
    }

    /// `[columns, h, w, c]`: an original, the images between, the other original.
    fn between(&self, ends: (&Tensor, &Tensor), images: &Tensor) -> anyhow::Result<Array4<u8>> {
        self.pixels(&Tensor::f_cat(&[ends.0, images, ends.1], 0)?)
    }

    fn pixels(&self, x: &Tensor) -> anyhow::Result<Array4<u8>> {
        output::to_pixels(x, &self.loaded.images)
    }

    fn resampled(&self) -> String {
        let Resampling { jump, repeats } = RESAMPLING;
        let steps = self.plan.edit_steps;
        format!("DDPM in {steps} steps, evenly spaced in λ, each stretch of {jump} run {repeats} times.")
    }

    fn finished(&self, mut figure: Figure, words: &str) -> anyhow::Result<Figure> {
        figure.caption.push_str(&format!(" {words} {}", self.whose));
        Ok(figure)
    }
}

/// A sampler from the level of the diffused images of figure 16, with its share of the planned steps; and how many steps
/// of the chain it covers.
pub(super) fn diffusing(loaded: &Loaded, plan: &Plan) -> anyhow::Result<(Sampler, usize)> {
    let t_start = ((loaded.path.steps() as f64 * DIFFUSED) as usize).max(1);
    let method = Method::DpmPp(sampler::DpmPp::multistep(2));
    let config = SamplerConfig { steps: Some(plan.edit_steps), ..loaded.sampler_config(method) };
    Ok((Sampler::from_step(&*loaded.path, &config, t_start)?, t_start))
}

/// The deterministic flow in both directions, down to t = 0.
pub(super) fn there_and_back(loaded: &Loaded, plan: &Plan) -> SamplerConfig {
    let method = Method::Heun { churn: ChurnSettings::NONE };
    let steps = Some(plan.edit_steps);
    SamplerConfig { steps, end: End::FirstStep, ..loaded.sampler_config(method) }
}

/// The chain of figures 17 and 19. As in `ddpm edit inpaint`, most steps are where the details form, so that a few steps are
/// enough.
pub(super) fn filling(loaded: &Loaded, plan: &Plan) -> SamplerConfig {
    SamplerConfig {
        steps: Some(plan.edit_steps),
        times: Times::LogSnr { whole: true },
        ..loaded.sampler_config(Method::Ddpm { variance: Variance::FixedSmall })
    }
}

/// How often its stretches are run.
pub(super) fn resampling(sampler: &Sampler) -> Resampling {
    if sampler.steps() > RESAMPLING.jump { RESAMPLING } else { Resampling::NONE }
}

/// Stacks rows `[columns, h, w, c]`.
fn lines(lines: &[Array4<u8>]) -> anyhow::Result<Array5<u8>> {
    let views: Vec<_> = lines.iter().map(|line| line.view().insert_axis(Axis(0))).collect();
    Ok(concatenate(Axis(0), &views)?)
}

fn rows<'a>(groups: &'a [(&'a str, Array5<u8>)]) -> Vec<EditRows<'a>> {
    groups.iter().map(|(name, cells)| EditRows { name, cells: cells.view() }).collect()
}
