//! Figures 12 and 13: other solvers with the same network and the same noise.

use figures::{Figure, SamplerBlocks};
use ndarray::Array4;
use sampler::Method;

use crate::commands::figures::plan::{FAST, FAST_CALLS, FEWER_STEPS};
use crate::commands::figures::sampling::{Sampling, first};

/// The solvers of figure 12: name in the figure, and name on the command line.
const SHOWN: [(&str, &str); 9] = [
    ("DDPM", "ddpm"),
    ("SDE-DPM++ 2M", "dpmpp-2m-sde"),
    ("DDIM", "ddim"),
    ("Heun", "heun"),
    ("PLMS", "plms"),
    ("DPM++ 2M", "dpmpp-2m"),
    ("DPM++ 3M", "dpmpp-3m"),
    ("UniPC-3", "unipc"),
    ("DEIS-3", "deis"),
];

impl Sampling<'_> {
    /// Figure 12: every solver with the same few network evaluations.
    pub(super) fn solvers(&self) -> anyhow::Result<Figure> {
        let calls = &self.plan.solver_calls;
        let mut rows = Vec::new();
        for (name, method) in SHOWN {
            let method: Method = method.parse()?;
            let blocks = calls
                .iter()
                .map(|&calls| self.draw(method, steps_of(method, calls), FEWER_STEPS, &mut |_| Ok(())))
                .collect::<anyhow::Result<Vec<_>>>()?;
            rows.push((name, blocks));
        }
        let rows: Vec<SamplerBlocks<'_>> = rows
            .iter()
            .map(|(name, blocks)| SamplerBlocks { name, blocks: blocks.iter().map(Array4::view).collect() })
            .collect();
        Ok(figures::solvers(calls, &rows)?)
    }

    /// Figure 13: all steps of DDPM, and a few of a fast solver.
    pub(super) fn fast_and_slow(&self) -> anyhow::Result<Figure> {
        let slow = first(&self.long_chain()?.samples, FAST);
        let calls = FAST_CALLS.min(self.loaded.path.steps());
        let fast = self.draw("dpmpp-2m".parse()?, calls, FAST, &mut |_| Ok(()))?;
        Ok(figures::fast_and_slow((slow.view(), self.plan.long), (fast.view(), calls))?)
    }
}

/// Steps for which a solver needs about `calls` network evaluations, and never more.
fn steps_of(method: Method, calls: usize) -> usize {
    match method {
        Method::Heun { .. } => calls.div_ceil(2),
        Method::Pndm { .. } => calls.saturating_sub(1).max(1),
        _ => calls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampler::{Sampler, SamplerConfig};
    use schedule::Schedule;

    #[test]
    fn no_solver_gets_more_evaluations_than_another() {
        for (_, name) in SHOWN {
            let method: Method = name.parse().unwrap();
            for calls in [5, 10, 20, 50] {
                let config =
                    SamplerConfig { steps: Some(steps_of(method, calls)), ..SamplerConfig::new(method) };
                let got = Sampler::new(&Schedule::ddpm(), &config).unwrap().calls();
                assert!((calls - 1..=calls).contains(&got), "{name}: {got} of {calls}");
            }
        }
    }
}
