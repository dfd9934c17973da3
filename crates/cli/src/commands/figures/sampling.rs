//! Figures 7, 8, 9 and 11: samples. The same position in any of them has the same starting noise. One long DDPM chain
//! serves all four, figure 13, and the slider over its steps.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use anyhow::Context;
use figures::{Figure, SamplerBlocks, SliderRoom};
use ndarray::{Array4, Axis};
use sampler::{Method, Noise, Sampler, SamplerConfig, Step};
use schedule::Variance;
use tch::Tensor;

use crate::commands::figures::forward::in_columns;
use crate::commands::figures::plan::{FEWER_STEPS, Plan, SIGMAS, TRAJECTORIES};
use crate::commands::figures::{sliders, times};
use crate::commands::sampling::{NoiseArgs, in_batches, tick};
use crate::flags::{Global, Weights};
use crate::model::Loaded;
use crate::output;

/// Batch size.
const BATCH: usize = 32;
/// `sigma_t^2` of all figures except the one that compares both; this choice also does well in short chains.
const VARIANCE: Variance = Variance::FixedSmall;

/// A trained network and how to sample it.
pub(super) struct Sampling<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) plan: &'a Plan,
    noise: NoiseArgs,
    global: &'a Global,
    /// Images that the long chain draws.
    long_count: usize,
    long: OnceCell<LongChain>,
}

/// Results of the longest DDPM chain.
pub(super) struct LongChain {
    /// `[n, h, w, c]`.
    pub(super) samples: Array4<u8>,
    /// The first images along the chain, t falling.
    pub(super) looks: Vec<Look>,
    /// The t of figure 8, falling.
    times: Vec<usize>,
    /// The room of the slider over the steps, and the steps done at its positions.
    pub(super) room: SliderRoom,
    pub(super) visited: Vec<usize>,
}

/// The first images before a step.
pub(super) struct Look {
    /// Steps done.
    pub(super) index: usize,
    pub(super) t: usize,
    /// `x_t` and the predicted `x_0`, `[images, h, w, c]`.
    pub(super) x_t: Array4<u8>,
    pub(super) x_0: Array4<u8>,
}

impl<'a> Sampling<'a> {
    pub(super) fn new(
        loaded: &'a Loaded,
        plan: &'a Plan,
        seed: u64,
        wanted: &BTreeSet<usize>,
        global: &'a Global,
    ) -> Self {
        let long_count = plan.long_count(|figure| wanted.contains(&figure));
        Self { loaded, plan, noise: NoiseArgs::new(seed, BATCH), global, long_count, long: OnceCell::new() }
    }

    /// Figure 7: a grid of samples.
    pub(super) fn samples(&self, weights: Weights) -> anyhow::Result<Figure> {
        let (count, steps, timesteps) = (self.plan.samples, self.plan.steps, self.loaded.path.steps());
        let pixels = if steps == self.plan.long {
            first(&self.long_chain()?.samples, count)
        } else {
            self.draw(Method::Ddpm { variance: VARIANCE }, steps, count, &mut |_| Ok(()))?
        };
        let mut figure = figures::samples(pixels.view())?;
        if weights == Weights::Raw {
            figure.caption =
                figure.caption.replace("with the averaged (EMA) weights", "with the weights as trained");
        }
        figure.caption.push_str(&format!(" {}", chain_words(steps, timesteps)));
        Ok(figure)
    }

    /// Figure 8: `x_t` along the chain, and the predicted `x_0`.
    pub(super) fn trajectories(&self) -> anyhow::Result<Figure> {
        let LongChain { times, looks, .. } = self.long_chain()?;
        let shown = || looks.iter().filter(|look| times.contains(&look.t));
        let columns = |of: fn(&Look) -> &Array4<u8>| {
            in_columns(&shown().map(|look| first(of(look), TRAJECTORIES)).collect::<Vec<_>>())
        };
        let x_t = columns(|look| &look.x_t).context("x_t")?;
        let x_0 = columns(|look| &look.x_0).context("x_0")?;
        let mut figure = figures::trajectories(times, x_t.view(), x_0.view())?;
        let words = chain_words(self.plan.long, self.loaded.path.steps());
        figure.caption.push_str(&format!(" {words}"));
        Ok(figure)
    }

    /// Figure 9: both choices of `sigma_t^2`.
    pub(super) fn sigmas(&self) -> anyhow::Result<Figure> {
        let (count, steps) = (SIGMAS, self.plan.long);
        let large = Method::Ddpm { variance: Variance::FixedLarge };
        let beta = self.draw(large, steps, count, &mut |_| Ok(()))?;
        let posterior = first(&self.long_chain()?.samples, count);
        let mut figure = figures::sigmas(beta.view(), posterior.view())?;
        figure.caption.push_str(&format!(
            " Both run {}, with the same noise z in each.",
            files::counted(steps, "step")
        ));
        Ok(figure)
    }

    /// Figure 11: DDPM and DDIM in fewer and fewer steps.
    pub(super) fn fewer_steps(&self) -> anyhow::Result<Figure> {
        let draw = |method, steps| self.draw(method, steps, FEWER_STEPS, &mut |_| Ok(()));
        let (mut ddpm, mut ddim) = (Vec::new(), Vec::new());
        for &steps in &self.plan.fewer {
            ddpm.push(if steps == self.plan.long {
                first(&self.long_chain()?.samples, FEWER_STEPS)
            } else {
                draw(Method::Ddpm { variance: VARIANCE }, steps)?
            });
            ddim.push(draw(Method::Ddim { eta: 0.0 }, steps)?);
        }
        let samplers = [
            SamplerBlocks { name: "DDPM, respaced", blocks: ddpm.iter().map(Array4::view).collect() },
            SamplerBlocks { name: "DDIM, η = 0", blocks: ddim.iter().map(Array4::view).collect() },
        ];
        Ok(figures::fewer_steps(&self.plan.fewer, &samplers)?)
    }

    /// Draws images from noise; `on_step` sees the steps of the first batch.
    pub(super) fn draw(
        &self,
        method: Method,
        steps: usize,
        count: usize,
        on_step: &mut dyn FnMut(&Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Array4<u8>> {
        let sampler = Sampler::new(&*self.loaded.path, &self.config(method, steps))?;
        let predictor = self.loaded.predictor()?;
        in_batches(self.loaded, &self.noise, count, steps, self.global, |range, noise, bar| {
            bar.set_prefix(format!("{method}, {}", files::counted(steps, "step")));
            let x_start =
                sampler.start_from(noise.start(self.loaded.shape(range.len()), self.loaded.device)?)?;
            let mut see = |step: &Step<'_>| {
                tick(bar, step);
                if range.start == 0 {
                    on_step(step)?;
                }
                Ok(())
            };
            Ok(sampler.sample(&predictor, &x_start, noise, &mut see)?)
        })
    }

    /// A solver with this number of steps, for this network.
    pub(super) fn config(&self, method: Method, steps: usize) -> SamplerConfig {
        SamplerConfig { steps: Some(steps), ..self.loaded.sampler_config(method) }
    }

    /// The one long DDPM chain, run on first use.
    pub(super) fn long_chain(&self) -> anyhow::Result<&LongChain> {
        if let Some(chain) = self.long.get() {
            return Ok(chain);
        }
        let chain = self.run_long_chain()?;
        Ok(self.long.get_or_init(|| chain))
    }

    /// The noise of the first images.
    pub(super) fn first_noise(&self) -> Noise {
        Noise { seed: self.noise.seed(), first_index: 0 }
    }

    fn run_long_chain(&self) -> anyhow::Result<LongChain> {
        let (steps, timesteps) = (self.plan.long, self.loaded.path.steps());
        let method = Method::Ddpm { variance: VARIANCE };
        let sampler = Sampler::new(&*self.loaded.path, &self.config(method, steps))?;
        let visited: Vec<usize> = sampler.timesteps().map(|t| t as usize).collect();
        let mut wanted = times::every(timesteps, 10);
        // Details appear late, so add a moment in the last tenth.
        wanted.push(timesteps / 20);
        let times = times::nearest(&visited, &wanted);
        let (room, steps_done) = sliders::watched(self.loaded.images.inner_shape(), visited.len());
        let kept = room.images.max(TRAJECTORIES);
        let mut looks = Vec::new();
        let samples = self.draw(method, steps, self.long_count, &mut |step| {
            let (index, t) = (step.index, step.t as usize);
            if times.contains(&t) || steps_done.contains(&index) {
                let (x_t, x_0) =
                    (self.pixels_of_first(step.x_t, kept)?, self.pixels_of_first(step.x_0, kept)?);
                looks.push(Look { index, t, x_t, x_0 });
            }
            Ok(())
        })?;
        Ok(LongChain { samples, looks, times, room, visited: steps_done })
    }

    fn pixels_of_first(&self, x: &Tensor, count: usize) -> anyhow::Result<Array4<u8>> {
        let count = x.size()[0].min(count as i64);
        output::to_pixels(&x.f_narrow(0, 0, count)?, &self.loaded.images)
    }
}

/// The first `count` of `[n, h, w, c]`.
pub(super) fn first(images: &Array4<u8>, count: usize) -> Array4<u8> {
    let count = count.min(images.len_of(Axis(0)));
    images.slice_axis(Axis(0), (0..count).into()).to_owned()
}

/// Describes how a DDPM chain of `steps` steps was run.
pub(super) fn chain_words(steps: usize, timesteps: usize) -> String {
    let of = if steps == timesteps {
        format!("all {timesteps} steps")
    } else {
        format!("a respaced chain of {steps} of the {timesteps} steps (Nichol & Dhariwal 2021)")
    };
    format!("DDPM, {of}, σ² the posterior variance.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_more_and_of_fewer() {
        let images = Array4::from_shape_fn((4, 1, 1, 1), |(n, ..)| n as u8);
        assert_eq!(first(&images, 2).into_raw_vec_and_offset().0, [0, 1]);
        assert_eq!(first(&images, 9), images);
    }

    #[test]
    fn a_whole_chain_is_not_called_respaced() {
        assert!(chain_words(1000, 1000).starts_with("DDPM, all 1000 steps,"));
        assert!(chain_words(250, 1000).contains("respaced chain of 250 of the 1000 steps"));
    }
}
