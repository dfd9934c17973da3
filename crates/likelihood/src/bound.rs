//! The variational bound on the code length of images (Ho et al. 2020, Eq. 5; Nichol & Dhariwal 2021).

use std::ops::ControlFlow;

use denoiser::Conditional;
use schedule::{Level, Variance};
use tch::{Device, Tensor};
use tracing::instrument;

use crate::batch::{Batch, Observer, Progress, Steps as Telling, Stoppable, append, summary};
use crate::draws::Draws;
use crate::error::{BoxError, LikelihoodError};
use crate::grey::Grey;
use crate::levels::Levels;
use crate::network::{Network, Output, check_labels};
use crate::plan::{Chosen, Plan, Terms};
use crate::steps::{ReverseVariance, Steps, prior};
use crate::summary::Summary;

/// The variance of a pixel around the best prediction that is assumed when terms are chosen: a deviation of about 0.1
/// of the range from black to white.
const ROUGHLY: f64 = 0.05;

/// What [`bound`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundOptions {
    /// The states of the chain, see [`Levels::chain`].
    pub levels: Levels,
    /// What the network outputs.
    pub output: Output,
    /// The variance of the reverse steps.
    pub variance: ReverseVariance,
    /// Whether a predicted `x_0` is kept in [-1, 1], as in published numbers; the bound is then that of the clipped
    /// sampler.
    pub clip: bool,
    /// Which terms are computed.
    pub terms: Terms,
    /// Seed of all draws.
    pub seed: u64,
    /// Index of the first image in its set. Image `first_index + k` has the same draws, whatever the batches.
    pub first_index: u64,
}

impl BoundOptions {
    /// All terms, with `x_0` clipped. The variance is the network's if it predicts one, else beta.
    #[must_use]
    pub fn new(levels: Levels, output: Output) -> Self {
        let variance = if output.learned_variance {
            ReverseVariance::Learned
        } else {
            ReverseVariance::Fixed(Variance::FixedLarge)
        };
        Self { levels, output, variance, clip: true, terms: Terms::All, seed: 0, first_index: 0 }
    }
}

/// A term of the bound, as a mean over the images for which it was computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The time of the level that the reverse step starts from; on a chain of betas 0 is the paper's `L_0`.
    pub t: f64,
    /// Bits per dimension.
    pub bits: f64,
    /// Images for which it was computed.
    pub images: usize,
}

/// The variational bound, in bits per dimension: the code length of the images is at most that, in expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The total: `L_T` and all other terms, or the unbiased estimate of their sum.
    pub bits: Summary,
    /// Mean of `L_T`: the information about the image that is left in the chain's last state.
    pub prior: f64,
    /// Mean of `L_0`: the code length of the grey levels, given the first state.
    pub decoder: f64,
    /// Each term that was computed for any image, in rising t, from `L_0` on and without `L_T`.
    pub by_t: Vec<Term>,
    /// Calls of the network for each image.
    pub calls: usize,
}

/// Computes the variational bound of images, batch by batch.
///
/// `model` is called as in training: with `x_t`, scaled where the output's form requires it, t (i64 on a chain of
/// betas) and the batch's labels. Where terms are sampled, the images of a batch have different t. No gradients are
/// recorded.
///
/// # Errors
/// [`LikelihoodError::Count`] for a number of terms out of range; [`LikelihoodError::NoVariance`];
/// [`LikelihoodError::Schedule`] for eps at a level without signal; [`LikelihoodError::Images`],
/// [`LikelihoodError::NotGrey`] and [`LikelihoodError::Labels`] for a batch; [`LikelihoodError::Output`];
/// [`LikelihoodError::NonFinite`]; [`LikelihoodError::Caller`] when the network, the batches or the observer fail;
/// [`LikelihoodError::NoImages`]; those of libtorch.
#[instrument(level = "debug", skip_all, fields(levels = options.levels.len(), terms = ?options.terms))]
pub fn bound(
    options: &BoundOptions,
    model: &Conditional<'_>,
    batches: impl IntoIterator<Item = Result<Batch, BoxError>>,
    on_step: &mut Observer<'_>,
) -> Result<Bound, LikelihoodError> {
    let _no_grad = tch::no_grad_guard();
    let mut work = Work::new(options)?;
    for batch in batches {
        if work.add(options, model, &batch.map_err(LikelihoodError::Caller)?, on_step)?.is_break() {
            break;
        }
    }
    work.finish()
}

/// A call of the network.
enum Call {
    /// The same term for all images.
    Certain(usize),
    /// A different term for each image.
    Drawn(Vec<Chosen>),
}

impl Call {
    fn of(&self, image: usize) -> Chosen {
        match self {
            Self::Certain(step) => Chosen { step: *step, weight: 1.0, visit: 0 },
            Self::Drawn(chosen) => chosen[image],
        }
    }
}

/// The sums over all batches so far.
struct Work {
    steps: Steps,
    plan: Plan,
    /// The part of all terms that does not depend on the network.
    known: f64,
    per_image: Vec<f64>,
    prior: f64,
    /// For each step: the sum of its bits and the number of images.
    by_step: Vec<(f64, usize)>,
}

impl Work {
    fn new(options: &BoundOptions) -> Result<Self, LikelihoodError> {
        let BoundOptions { levels, output, variance, clip, terms, .. } = options;
        let steps = Steps::new(levels, *output, *variance, *clip)?;
        let plan = Plan::new(*terms, &steps.rough(ROUGHLY))?;
        let known = (0..steps.len()).map(|step| steps.known(step)).sum();
        let by_step = vec![(0.0, 0); steps.len()];
        Ok(Self { steps, plan, known, per_image: Vec::new(), prior: 0.0, by_step })
    }

    fn add(
        &mut self,
        options: &BoundOptions,
        model: &Conditional<'_>,
        batch: &Batch,
        on_step: &mut Observer<'_>,
    ) -> Result<Stoppable<()>, LikelihoodError> {
        let done = self.per_image.len();
        let draws = Draws { seed: options.seed, first: options.first_index.wrapping_add(done as u64) };
        let Grey { x_0, kind } = Grey::of(&batch.images, draws.first)?;
        let labels = check_labels(batch.labels.as_ref(), &x_0)?;
        let network =
            Network { model, output: options.output, labels, kind, discrete: options.levels.discrete };
        let images = x_0.size()[0] as usize;

        let calls = self.calls(&draws, images);
        let progress = Progress { images: done, batch: images, step: 0, of: calls.len() };
        let mut telling = Telling { progress, on_step };
        let mut bits = Vec::with_capacity(calls.len());
        for call in &calls {
            bits.push(self.call(call, &network, &x_0, &draws)?);
            if telling.done()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        // Copied to the host once, because every copy waits for the GPU.
        let priors = Vec::<f64>::try_from(prior(&x_0, &options.levels.last())?.f_to_device(Device::Cpu)?)?;
        let bits = Tensor::f_stack(&bits, 1)?.f_to_device(Device::Cpu)?; // [b, calls]
        self.count(&calls, &priors, &Vec::<f64>::try_from(bits.f_flatten(0, -1)?)?, draws.first)?;
        Ok(ControlFlow::Continue(()))
    }

    /// What each call of the network computes.
    fn calls(&self, draws: &Draws, images: usize) -> Vec<Call> {
        let of_images: Vec<Vec<Chosen>> =
            (0..images).map(|image| self.plan.draw(&mut draws.terms(image))).collect();
        let drawn = (0..of_images[0].len())
            .map(|draw| Call::Drawn(of_images.iter().map(|chosen| chosen[draw]).collect()));
        self.plan.certain().iter().map(|&step| Call::Certain(step)).chain(drawn).collect()
    }

    /// The chosen term of each image, `[b]`.
    fn call(
        &self,
        call: &Call,
        network: &Network<'_>,
        x_0: &Tensor,
        draws: &Draws,
    ) -> Result<Tensor, LikelihoodError> {
        let chosen: Vec<Chosen> = (0..x_0.size()[0] as usize).map(|image| call.of(image)).collect();
        let steps: Vec<usize> = chosen.iter().map(|chosen| chosen.step).collect();
        let levels: Vec<Level> = steps.iter().map(|&step| self.steps.from(step)).collect();
        // A chain has no more than 2^20 steps.
        let numbers: Vec<u32> = chosen.iter().map(|chosen| chosen.step as u32 | chosen.visit << 24).collect();
        let each = |of: fn(&Level) -> f64| {
            crate::network::each(&levels.iter().map(of).collect::<Vec<_>>(), x_0.device())
        };
        let noise = draws.noise(x_0, &numbers)?.f_mul(&each(|level| level.sigma)?)?;
        let x_t = each(|level| level.alpha)?.f_mul(x_0)?.f_add(&noise)?;
        let (output, said) = network.ask(&network.shown(&x_t, &levels)?, &levels)?;
        self.steps.bits(&steps, (x_0, &x_t), (&output, said.as_ref()))
    }

    /// Adds the terms `[b, calls]` of a batch.
    fn count(
        &mut self,
        calls: &[Call],
        priors: &[f64],
        bits: &[f64],
        first: u64,
    ) -> Result<(), LikelihoodError> {
        let totals: Vec<f64> = priors
            .iter()
            .zip(bits.chunks_exact(calls.len()))
            .enumerate()
            .map(|(image, (prior, bits))| {
                let of_calls = calls.iter().zip(bits).map(|(call, bits)| {
                    let Chosen { step, weight, .. } = call.of(image);
                    weight * (bits - self.steps.known(step))
                });
                prior + self.known + of_calls.sum::<f64>()
            })
            .collect();
        append(&mut self.per_image, &totals, first)?;
        self.prior += priors.iter().sum::<f64>();
        for (image, bits) in bits.chunks_exact(calls.len()).enumerate() {
            for (call, bits) in calls.iter().zip(bits) {
                let (sum, count) = &mut self.by_step[call.of(image).step];
                *sum += bits;
                *count += 1;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Bound, LikelihoodError> {
        let calls = self.plan.calls();
        let images = self.per_image.len() as f64;
        let terms = self.by_step.iter().enumerate().filter(|(_, (_, count))| *count > 0);
        let by_t: Vec<Term> = terms
            .map(|(step, &(sum, count))| Term {
                t: self.steps.from(step).t,
                bits: sum / count as f64,
                images: count,
            })
            .collect();
        let bits = summary(self.per_image)?;
        let decoder = self.by_step[0].0 / images;
        Ok(Bound { bits, prior: self.prior / images, decoder, by_t, calls })
    }
}
