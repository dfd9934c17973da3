//! Figure 14: the error of the deterministic solvers relative to the flow they all follow, for a flow known in closed
//! form and for the trained network.

use figures::{Figure, SolverErrors};
use sampler::{
    BoxError, ChurnSettings, Correction, Deis, DpmPp, End, Method, Noise, Prediction, Sampler, SamplerConfig,
    Threshold, Times, UniPc,
};
use schedule::NoisePath;
use tch::{Kind, Tensor};

use crate::commands::figures::plan::CONVERGENCE;
use crate::commands::figures::sampling::Sampling;
use crate::model;

/// Network evaluations for the closed form.
const EXACT_CALLS: [usize; 6] = [10, 20, 40, 80, 160, 320];
const EXACT_REFERENCE: usize = 1000;
/// Starting values for the closed form: enough to cover the map.
const VALUES: usize = 64;

/// Runs a solver with this number of steps.
type Solve<'a> = dyn Fn(Method, usize) -> anyhow::Result<Tensor> + 'a;

impl Sampling<'_> {
    pub(super) fn convergence(&self) -> anyhow::Result<Figure> {
        let exact = errors(&EXACT_CALLS, EXACT_REFERENCE, &|method, steps| {
            mixture(&*self.loaded.path, method, steps)
        })?;
        let (calls, reference) = (&self.plan.convergence_calls, self.plan.reference);
        let network = errors(calls, reference, &|method, steps| self.along_the_flow(method, steps))?;
        let mut figure = figures::convergence((&exact, EXACT_REFERENCE), (&network, reference))?;
        figure.caption.push_str(&format!(
            " The mean is over {VALUES} starting values on the left, and over all pixels of {CONVERGENCE} images on the right."
        ));
        Ok(figure)
    }

    /// Runs a solver from the first noises with this network down to the level of t = 0, at evenly spaced integer t. So
    /// no step is infinitely long, nothing is clipped, and the network sees only t it was trained on. Runs in f32,
    /// whatever the precision of the other figures.
    fn along_the_flow(&self, method: Method, steps: usize) -> anyhow::Result<Tensor> {
        let times = Times::Given(even_times(self.loaded.path.steps(), steps));
        let config = SamplerConfig {
            times,
            end: End::FirstStep,
            threshold: Threshold::Off,
            ..self.config(method, steps)
        };
        let sampler = Sampler::new(&*self.loaded.path, &config)?;
        let noise = self.first_noise();
        let x_start = sampler.start_from(noise.start(self.loaded.shape(CONVERGENCE), self.loaded.device)?)?;
        let model = model::predictor(&*self.loaded.net, Kind::Float)?;
        Ok(sampler.sample(&model, &x_start, &noise, &mut |_| Ok(()))?)
    }
}

/// The errors of every deterministic solver against the last solver with `reference` steps.
fn errors(calls: &[usize], reference: usize, solve: &Solve<'_>) -> anyhow::Result<Vec<SolverErrors>> {
    let third = DpmPp { correction: Correction::Taylor, lower_order_final: false, ..DpmPp::multistep(3) };
    let methods = [
        ("DDIM", Method::Ddim { eta: 0.0 }),
        ("Heun", Method::Heun { churn: ChurnSettings::NONE }),
        ("DPM++ 2M", Method::DpmPp(DpmPp { order: 2, correction: Correction::Midpoint, ..third })),
        ("DEIS-3", Method::Deis(Deis { order: 3, lower_order_final: false })),
        ("DPM++ 3M", Method::DpmPp(third)),
        ("UniPC-3", Method::UniPc(UniPc { lower_order_final: false, ..UniPc::of_order(3) })),
    ];
    let reference = solve(methods[5].1, reference)?;
    let of = |(name, method): (&str, Method)| {
        let points = calls.iter().map(|&calls| {
            let steps = (if let Method::Heun { .. } = method { calls / 2 } else { calls }).max(1);
            let off = solve(method, steps)?.f_sub(&reference)?;
            let off = f64::try_from(off.f_square()?.f_mean(Kind::Double)?)?.sqrt();
            // Zero has no logarithm.
            Ok((calls, off.max(f64::EPSILON)))
        });
        Ok(SolverErrors { name: name.to_owned(), points: points.collect::<anyhow::Result<_>>()? })
    };
    methods.into_iter().map(of).collect()
}

/// Runs a solver from 64 values when the data are a mixture of two Gaussians, with the exact `E[x_0 | x_t]`, in f64, on
/// levels evenly spaced in lambda.
fn mixture(path: &dyn NoisePath, method: Method, steps: usize) -> anyhow::Result<Tensor> {
    let config = SamplerConfig {
        steps: Some(steps.min(path.steps())),
        times: Times::LogSnr { whole: false },
        end: End::FirstStep,
        threshold: Threshold::Off,
        prediction: Prediction::X0,
        ..SamplerConfig::new(method)
    };
    let sampler = Sampler::new(path, &config)?;
    let model = |x: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
        let level = path.level_at(f64::try_from(t.f_get(0)?)?)?;
        // At this level component k is N(alpha mean, (alpha deviation)^2 + sigma^2); weigh each by its posterior given
        // x.
        let part = |weight: f64, mean: f64, deviation: f64| {
            let width = (level.alpha * deviation).hypot(level.sigma);
            let z = (x - level.alpha * mean) / width;
            let log_likelihood = &z * &z * -0.5 + (weight / width).ln();
            (log_likelihood, z * (level.alpha * deviation.powi(2) / width) + mean)
        };
        let (a, b) = (part(0.3, -0.6, 0.25), part(0.7, 0.5, 0.4));
        let share = (&a.0 - &b.0).sigmoid();
        Ok(&share * &a.1 + (share.ones_like() - &share) * &b.1)
    };
    let quantiles: Vec<f64> = (0..VALUES).map(|i| 4.0 * ((i as f64 + 0.5) / VALUES as f64 - 0.5)).collect();
    let x_start = sampler.start_from(tensor_io::from_slice(&quantiles, &[1, 1, 1, VALUES as i64])?)?;
    let noise = Noise { seed: 0, first_index: 0 };
    Ok(sampler.sample(&model, &x_start, &noise, &mut |_| Ok(()))?)
}

/// `steps` evenly spaced times from T - 1, the last one a full step above 0; integers if `steps` divides T - 1.
fn even_times(timesteps: usize, steps: usize) -> Vec<f64> {
    let last = (timesteps - 1) as f64;
    (0..steps).map(|i| (last * (steps - i) as f64 / steps as f64).round()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_even() {
        assert_eq!(even_times(1000, 3), [999.0, 666.0, 333.0]);
        assert_eq!(even_times(1000, 999).len(), 999);
        assert_eq!(even_times(20, 4), [19.0, 14.0, 10.0, 5.0]);
    }

    #[test]
    fn the_closed_form_shows_the_orders() {
        let schedule = schedule::Schedule::ddpm();
        let all = errors(&[40, 80], 400, &|method, steps| mixture(&schedule, method, steps)).unwrap();
        let orders: Vec<f64> = all.iter().filter_map(SolverErrors::order).collect();
        for (order, at_least) in orders.iter().zip([0.8, 1.8, 1.8, 2.5, 2.5, 3.2]) {
            assert!(*order > at_least, "{orders:?}");
        }
    }
}
