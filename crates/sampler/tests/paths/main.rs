//! The solvers on every path and for every output: the discrete chain, the cosine in continuous time, the path of
//! EDM, `x = x_0 + sigma eps` (Karras et al. 2022), and the straight one, `x = (1 - s) x_0 + s eps` (Lipman et al.
//! 2023, Liu et al. 2023).
//!
//! For data from N(MEAN, DEVIATION^2) the optimal network is known, and so is the flow:
//! `(x - alpha MEAN) / sqrt(alpha^2 DEVIATION^2 + sigma^2)` stays constant. Orders on a mixture are in `orders.rs`, the solvers
//! with a learned variance and with churn in `variances.rs`.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod orders;
mod variances;

use sampler::{
    BoxError, End, Grid, Level, Method, Noise, Prediction, Sampler, SamplerConfig, Threshold, Times,
};
use schedule::{Continuous, ContinuousPath, NoisePath, Schedule, Variance};
use tch::{Device, Kind, Tensor};

const MEAN: f64 = 0.4;
const DEVIATION: f64 = 0.3;

fn paths() -> Vec<(&'static str, Box<dyn NoisePath>)> {
    let mut paths: Vec<(_, Box<dyn NoisePath>)> = vec![("chain", Box::new(Schedule::ddpm()))];
    for name in Continuous::NAMES {
        paths.push((name, Box::new(ContinuousPath::new(name.parse().unwrap(), 1000).unwrap())));
    }
    paths
}

fn outputs() -> impl Iterator<Item = Prediction> {
    Prediction::NAMES.iter().map(|name| name.parse().unwrap())
}

fn spread(level: &Level) -> f64 {
    (level.alpha * DEVIATION).hypot(level.sigma)
}

/// The optimal network for an output, called with x_t already scaled and with t. `expected` is the mean of (x_0, eps) given x_t.
fn optimal(
    path: &dyn NoisePath,
    prediction: Prediction,
    expected: impl Fn(Tensor, &Level) -> (Tensor, Tensor),
) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> {
    move |shown, t| {
        let level = path.level_at(t.double_value(&[0]))?;
        let (x_0, eps) = expected(shown / prediction.c_in(&level), &level);
        let target = prediction.target(&level);
        Ok(x_0 * target.x_0 + eps * target.eps)
    }
}

/// That for a Gaussian.
fn network(
    path: &dyn NoisePath,
    prediction: Prediction,
) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + '_ {
    optimal(path, prediction, |x, level| {
        let noiseless = x - level.alpha * MEAN;
        let x_0 = &noiseless * (level.alpha * (DEVIATION / spread(level)).powi(2)) + MEAN;
        (x_0, noiseless * (level.sigma / spread(level).powi(2)))
    })
}

/// Samples of a solver on a path, and the noise that they started from.
fn samples(
    path: &dyn NoisePath,
    config: &SamplerConfig,
    grid: Option<Grid>,
    count: i64,
) -> (Tensor, Tensor, Level) {
    let sampler = match grid {
        Some(grid) => Sampler::on_grid(path, config, grid).unwrap(),
        None => Sampler::new(path, config).unwrap(),
    };
    let (start, end) = (sampler.grid().level(0), sampler.grid().level(sampler.steps()));
    let noise = Noise { seed: 3, first_index: 0 };
    let z = noise.start([count, 1, 1, 1], Device::Cpu).unwrap().to_kind(Kind::Double);
    let x_start = start.alpha * MEAN + spread(&start) * &z;
    let got = sampler.sample(&network(path, config.prediction), &x_start, &noise, &mut |_| Ok(())).unwrap();
    (got, z, end)
}

fn config(method: Method, prediction: Prediction, steps: usize) -> SamplerConfig {
    SamplerConfig {
        steps: Some(steps),
        times: Times::LogSnr { whole: false },
        end: End::FirstStep,
        threshold: Threshold::Off,
        prediction,
        ..SamplerConfig::new(method)
    }
}

/// Where the flow from `z` ends.
fn exact(z: &Tensor, end: &Level) -> Tensor {
    end.alpha * MEAN + spread(end) * z
}

fn off(got: &Tensor, want: &Tensor) -> f64 {
    (got - want).abs().max().double_value(&[])
}

/// A grid even in the logarithm of the noise-to-signal ratio, between two ratios.
fn even(path: &dyn NoisePath, (high, low): (f64, f64), steps: usize) -> Grid {
    let at = |i: usize| path.level_of_ratio(high * (low / high).powf(i as f64 / steps as f64)).unwrap();
    Grid::new((0..steps).map(at).collect(), at(steps)).unwrap()
}

/// UniPC takes its last steps at falling order, which shows when the end is fixed.
#[test]
fn deterministic_solvers_follow_the_flow_of_every_path_with_their_order() {
    for (path_name, path) in paths() {
        for (name, order) in [
            ("ddim", 1),
            ("euler", 1),
            ("dpmpp-1", 1),
            ("heun", 2),
            ("dpmpp-2m", 2),
            ("dpmpp-3m", 3),
            ("unipc", 2),
            ("deis", 3),
        ] {
            let error = |steps: usize| {
                let config = config(name.parse().unwrap(), Prediction::X0, steps);
                let (got, z, end) = samples(&*path, &config, Some(even(&*path, (79.0, 0.02), steps)), 16);
                off(&got, &exact(&z, &end))
            };
            let (coarse, fine) = (error(80), error(160));
            let found = (coarse / fine).log2();
            assert!(
                found > f64::from(order) - 0.3,
                "{path_name}, {name}: order {found:.2} ({coarse:.1e}, {fine:.1e})"
            );
            assert!(fine < 0.02, "{path_name}, {name}: {fine:.1e}");
        }
    }
}

/// With every spacing, from the path's own end, which may have no signal at all.
#[test]
fn every_output_leads_to_the_same_exact_sample() {
    for (path_name, path) in paths() {
        for name in ["ddim", "euler", "heun", "dpmpp-2m", "dpmpp-3m", "unipc", "deis", "plms", "pndm"] {
            for times in ["log-snr", "karras", "trailing"] {
                let mut first: Option<Tensor> = None;
                for prediction in outputs() {
                    let spaced = SamplerConfig {
                        times: times.parse().unwrap(),
                        ..config(name.parse().unwrap(), prediction, 200)
                    };
                    if prediction.form(&path.noisiest().unwrap()).is_err() {
                        assert!(Sampler::new(&*path, &spaced).is_err());
                        continue;
                    }
                    let (got, z, end) = samples(&*path, &spaced, None, 16);
                    let place = format!("{path_name}, {name}, {times}, {prediction}");
                    // With even times most steps of EDM lie where little changes, and those of the chain near its
                    // noise.
                    let most = if times == "trailing" || name.starts_with('p') { 0.1 } else { 0.03 };
                    assert!(off(&got, &exact(&z, &end)) < most, "{place}: {}", off(&got, &exact(&z, &end)));
                    match &first {
                        Some(first) => assert!(off(&got, first) < 1e-6, "{place} by {}", off(&got, first)),
                        None => first = Some(got),
                    }
                }
            }
        }
    }
}

#[test]
fn stochastic_solvers_reach_the_distribution_of_every_path() {
    let count = 10_000;
    let churn = sampler::ChurnSettings { amount: 20.0, ..sampler::ChurnSettings::NONE };
    for (path_name, path) in paths() {
        for method in [
            Method::Ddpm { variance: Variance::FixedSmall },
            Method::Ddpm { variance: Variance::FixedLarge },
            Method::Ddim { eta: 1.0 },
            Method::EulerAncestral { eta: 1.0 },
            Method::Heun { churn },
            "dpmpp-2m-sde".parse().unwrap(),
        ] {
            let config = config(method, Prediction::V, 300);
            let (got, _, end) = samples(&*path, &config, None, count);
            let (mean, deviation) =
                (got.mean(Kind::Double).double_value(&[]), got.std(true).double_value(&[]));
            let want = spread(&end);
            assert!(
                (mean - end.alpha * MEAN).abs() < 5.0 * want / (count as f64).sqrt() + 2e-3,
                "{path_name}, {method}: {mean}"
            );
            assert!(
                (deviation / want - 1.0).abs() < 0.04,
                "{path_name}, {method}: {deviation} is not {want}"
            );
        }
    }
}

/// What a user gets: noise as strong as the path's end in, an image out.
#[test]
fn noise_is_as_strong_as_the_path_ends() {
    for (path_name, path) in paths() {
        let config =
            SamplerConfig { end: End::Data, ..config("dpmpp-2m".parse().unwrap(), Prediction::V, 60) };
        let sampler = Sampler::new(&*path, &config).unwrap();
        let noise = Noise { seed: 8, first_index: 0 };
        let unit = noise.start([20_000, 1, 1, 1], Device::Cpu).unwrap().to_kind(Kind::Double);
        let x_start = sampler.start_from(unit).unwrap();
        let want = if path_name == "edm" { 80.0 } else { 1.0 };
        assert!((x_start.std(true).double_value(&[]) / want - 1.0).abs() < 0.02, "{path_name}");
        let images =
            sampler.sample(&network(&*path, config.prediction), &x_start, &noise, &mut |_| Ok(())).unwrap();
        let (mean, deviation) =
            (images.mean(Kind::Double).double_value(&[]), images.std(true).double_value(&[]));
        assert!(
            (mean - MEAN).abs() < 0.02 && (deviation / DEVIATION - 1.0).abs() < 0.03,
            "{path_name}: {mean} {deviation}"
        );
    }
}

/// Two Gaussians: weight, mean, deviation.
const MIXTURE: [(f64, f64, f64); 2] = [(0.3, -0.6, 0.15), (0.7, 0.5, 0.25)];

/// The optimal network for the mixture.
fn mixture_network(
    path: &dyn NoisePath,
    prediction: Prediction,
) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + '_ {
    optimal(path, prediction, |x, level| {
        // For each Gaussian: how likely x is, and the x_0 that it expects.
        let parts = MIXTURE.map(|(weight, mean, deviation)| {
            let width = (level.alpha * deviation).hypot(level.sigma);
            let z = (&x - level.alpha * mean) / width;
            let log_likelihood = z.square() * -0.5 + (weight / width).ln();
            (log_likelihood, z * (level.alpha * deviation * deviation / width) + mean)
        });
        let share = (&parts[0].0 - &parts[1].0).sigmoid();
        let x_0 = &share * &parts[0].1 + (1.0 - &share) * &parts[1].1;
        let eps = (x - &x_0 * level.alpha) / level.sigma;
        (x_0, eps)
    })
}

/// The share of the mixture at a level that lies below x.
fn below(x: &Tensor, level: &Level) -> Tensor {
    let parts = MIXTURE.map(|(weight, mean, deviation)| {
        let width = (level.alpha * deviation).hypot(level.sigma);
        ((x - level.alpha * mean) / width).special_ndtr() * weight
    });
    &parts[0] + &parts[1]
}

/// In one dimension the flow carries each quantile of the noise to the same quantile of the data.
#[test]
fn a_mixture_keeps_its_quantiles_on_every_path() {
    let z = (Tensor::arange(41, (Kind::Double, Device::Cpu)) / 10.0 - 2.0).view([-1, 1, 1, 1]);
    for (path_name, path) in paths() {
        for name in ["ddim", "heun", "dpmpp-2m", "dpmpp-3m", "unipc", "deis"] {
            for prediction in [Prediction::V, Prediction::Edm { sigma_data: 0.5 }, Prediction::Velocity] {
                let config = config(name.parse().unwrap(), prediction, 300);
                let sampler = Sampler::on_grid(&*path, &config, even(&*path, (79.0, 0.02), 300)).unwrap();
                let (start, end) = (sampler.grid().level(0), sampler.grid().level(300));
                let x_start = &z * start.sigma;
                let noise = Noise { seed: 1, first_index: 0 };
                let network = mixture_network(&*path, prediction);
                let got = sampler.sample(&network, &x_start, &noise, &mut |_| Ok(())).unwrap();
                let error = off(&below(&got, &end), &below(&x_start, &start));
                let most = if name == "ddim" { 0.03 } else { 3e-3 };
                assert!(error < most, "{path_name}, {name}, {prediction}: {error}");
            }
        }
    }
}

/// The quantiles of the samples are uniform, by the Kolmogorov-Smirnov distance.
#[test]
fn stochastic_solvers_reach_the_mixture_on_every_path() {
    let count = 4000;
    let even_shares = (Tensor::arange(count, (Kind::Double, Device::Cpu)) + 0.5) / count as f64;
    for (path_name, path) in paths() {
        for name in ["ddpm", "euler-ancestral", "dpmpp-2m-sde"] {
            let config = config(name.parse().unwrap(), Prediction::V, 300);
            let sampler = Sampler::new(&*path, &config).unwrap();
            let noise = Noise { seed: 5, first_index: 0 };
            let unit = noise.start([count, 1, 1, 1], Device::Cpu).unwrap().to_kind(Kind::Double);
            let x_start = sampler.start_from(unit).unwrap();
            let got = sampler
                .sample(&mixture_network(&*path, Prediction::V), &x_start, &noise, &mut |_| Ok(()))
                .unwrap();
            let end = sampler.grid().level(sampler.steps());
            let shares = below(&got, &end).flatten(0, -1).sort(0, false).0;
            let gap = (shares - &even_shares).abs().max().double_value(&[]);
            // 1.63 / sqrt(n), 0.026, is exceeded once in a hundred; the steps add their own error.
            assert!(gap < 0.035, "{path_name}, {name}: {gap}");
        }
    }
}
