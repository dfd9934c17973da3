//! How many images, steps and draws each figure uses.

use anyhow::anyhow;

use crate::failure::usage;

/// Images of figures 8, 9, 10 and 11.
pub(super) const TRAJECTORIES: usize = 4;
/// Images of the slider over the steps, which is drawn together with figure 8.
pub(super) const WATCHED: usize = 6;
pub(super) const SIGMAS: usize = 10;
pub(super) const VARIATIONS: usize = 6;
pub(super) const FEWER_STEPS: usize = 6;
/// Images in each half of figure 13, and the network evaluations of its fast half.
pub(super) const FAST: usize = 16;
pub(super) const FAST_CALLS: usize = 15;
/// Guidance scales: the columns of figure 15; and the images per class in each.
pub(super) const GUIDANCE_SCALES: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 5.0];
pub(super) const GUIDED: usize = 3;
/// Images over which figure 14 averages the errors.
pub(super) const CONVERGENCE: usize = 4;

/// Network evaluations in figures 7 and 10 on a CPU, where all 1000 steps would take minutes.
const CPU_STEPS: usize = 250;
const QUICK_STEPS: usize = 20;
const QUICK_LONG: usize = 50;

/// Sizes that depend on the chain, the device and the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Samples of figure 7.
    pub(super) samples: usize,
    /// Network evaluations of the chains of figures 7 and 10.
    pub(super) steps: usize,
    /// Network evaluations of the chains of figures 8 and 9, and the most in figure 11.
    pub(super) long: usize,
    /// Network evaluations of figure 11, ascending.
    pub(super) fewer: Vec<usize>,
    /// Network evaluations of figure 12, ascending.
    pub(super) solver_calls: Vec<usize>,
    /// Steps of figures 16 to 19.
    pub(super) edit_steps: usize,
    /// Steps of figure 15.
    pub(super) guided_steps: usize,
    /// Network evaluations of figure 14, ascending, and those of its reference.
    pub(super) convergence_calls: Vec<usize>,
    pub(super) reference: usize,
    /// Numbers drawn at each t in the measurement of figure 3: enough for errors smaller than its dots.
    pub(super) numbers: usize,
}

/// The user's settings for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    pub(super) samples: Option<usize>,
    pub(super) steps: Option<usize>,
    pub(super) quick: bool,
}

impl Plan {
    pub(super) fn new(timesteps: usize, on_gpu: bool, wishes: Wishes) -> anyhow::Result<Self> {
        let Wishes { samples, steps, quick } = wishes;
        if let Some(steps) = steps.filter(|steps| !(1..=timesteps).contains(steps)) {
            return Err(usage(anyhow!("--steps {steps}: expected 1 to {timesteps}, the steps of the chain")));
        }
        if let Some(samples) = samples.filter(|samples| !(1..=4096).contains(samples)) {
            return Err(usage(anyhow!("--samples {samples}: expected 1 to 4096")));
        }
        let usual = match (quick, on_gpu) {
            (true, _) => QUICK_STEPS,
            (false, true) => timesteps,
            (false, false) => CPU_STEPS,
        };
        let long = if quick { timesteps.min(QUICK_LONG) } else { timesteps };
        let fewer = [10, 20, 50, 100, 1000].into_iter().filter(|&steps| steps < long).chain([long]).collect();
        Ok(Self {
            samples: samples.unwrap_or(if quick { 16 } else { 64 }),
            steps: steps.unwrap_or(usual.min(timesteps)),
            long,
            fewer,
            solver_calls: up_to(timesteps, if quick { &[5, 10] } else { &[5, 10, 20, 50] }),
            edit_steps: timesteps.min(if quick { 10 } else { 50 }),
            guided_steps: timesteps.min(if quick { 8 } else { 20 }),
            convergence_calls: up_to(timesteps, if quick { &[10, 20] } else { &[9, 27, 37, 111] }),
            reference: timesteps.min(if quick { 111 } else { 999 }),
            numbers: if quick { 10_000 } else { 50_000 },
        })
    }

    /// Images that the longest DDPM chain must draw for all requested figures together.
    pub(super) fn long_count(&self, wanted: impl Fn(usize) -> bool) -> usize {
        let samples = if self.steps == self.long { self.samples } else { 0 };
        let needs = [(7, samples), (8, WATCHED), (9, SIGMAS), (11, FEWER_STEPS), (13, FAST)];
        needs.into_iter().filter(|need| wanted(need.0)).map(|need| need.1).max().unwrap_or(0)
    }
}

/// The `numbers` that do not exceed the chain's length, or that length if they all do.
fn up_to(timesteps: usize, numbers: &[usize]) -> Vec<usize> {
    let kept: Vec<usize> = numbers.iter().copied().filter(|&n| n <= timesteps).collect();
    if kept.is_empty() { vec![timesteps] } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_chain_device_and_flags() {
        let plan = |timesteps, on_gpu, quick| {
            Plan::new(timesteps, on_gpu, Wishes { quick, ..Wishes::default() }).unwrap()
        };
        let usual = plan(1000, false, false);
        assert_eq!((usual.samples, usual.steps, usual.long), (64, 250, 1000));
        assert_eq!(usual.fewer, [10, 20, 50, 100, 1000]);
        assert_eq!(plan(1000, true, false).steps, 1000);
        assert_eq!(plan(15, false, false).fewer, [10, 15]);
        assert_eq!(plan(2, false, false).fewer, [2]);
        let quick = plan(1000, true, true);
        assert_eq!((quick.steps, quick.long, &quick.fewer[..]), (20, 50, &[10, 20, 50][..]));
    }

    #[test]
    fn figures_share_the_longest_chain() {
        let plan = Plan::new(1000, false, Wishes::default()).unwrap();
        assert_eq!(plan.long_count(|_| true), FAST);
        assert_eq!(plan.long_count(|figure| figure == 8), WATCHED);
        assert_eq!(plan.long_count(|figure| figure == 7), 0);
        let all = Plan::new(1000, false, Wishes { steps: Some(1000), ..Wishes::default() }).unwrap();
        assert_eq!(all.long_count(|_| true), 64);
    }

    #[test]
    fn absurd_values_are_refused() {
        for steps in [0, 1001, usize::MAX] {
            assert!(Plan::new(1000, false, Wishes { steps: Some(steps), ..Wishes::default() }).is_err());
        }
        for samples in [0, 4097] {
            assert!(Plan::new(1000, false, Wishes { samples: Some(samples), ..Wishes::default() }).is_err());
        }
    }
}
