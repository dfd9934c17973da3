//! The solvers on noise levels of other paths than a chain with `alpha^2 + sigma^2 = 1`: that of EDM, `x = x_0 + sigma eps`
//! (Karras et al. 2022), and the straight one, `x = (1 - t) x_0 + t eps` (Lipman et al. 2023, Liu et al. 2023).
//!
//! For data from N(MEAN, DEVIATION^2) the best network is known, and so is the flow: `(x - alpha MEAN) / sqrt(alpha^2
//! DEVIATION^2 + sigma^2)` stays what it is.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use sampler::{BoxError, Grid, Level, Method, Noise, Prediction, Sampler, SamplerConfig, Threshold};
use schedule::{Schedule, Variance};
use tch::{Device, Kind, Tensor};

const MEAN: f64 = 0.4;
const DEVIATION: f64 = 0.3;

/// Levels from noise to data, each with its place as its time.
fn levels(path: &str, steps: usize) -> (Vec<Level>, Level) {
    let at = |share: f64| match path {
        // Evenly in the logarithm of sigma, from 80 to 0.02.
        "edm" => (1.0, 80.0 * (0.02_f64 / 80.0).powf(share)),
        // Evenly in the logarithm of t / (1 - t), from 0.99 to 0.02.
        _ => {
            let (high, low) = ((0.99_f64 / 0.01).ln(), (0.02_f64 / 0.98).ln());
            let t = 1.0 / (1.0 + (-(high + share * (low - high))).exp());
            (1.0 - t, t)
        }
    };
    let level = |i: usize| {
        let (alpha, sigma) = at(i as f64 / steps as f64);
        Level { t: i as f64, alpha, sigma }
    };
    ((0..steps).map(level).collect(), level(steps))
}

fn spread(level: &Level) -> f64 {
    (level.alpha * DEVIATION).hypot(level.sigma)
}

/// Samples of a solver on a path, and the noise that they began with.
fn samples(path: &str, method: Method, steps: usize, count: i64) -> (Tensor, Tensor, Level) {
    let (mut all, end) = levels(path, steps);
    let grid = Grid::new(all.clone(), end).unwrap();
    all.push(end);
    let noise = Noise { seed: 3, first_index: 0 };
    let z = noise.start([count, 1, 1, 1], Device::Cpu).unwrap().to_kind(Kind::Double);
    let x_start = all[0].alpha * MEAN + spread(&all[0]) * &z;
    let model = |x: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
        let level = all[t.double_value(&[0]) as usize];
        // The network is shown less where the noise is strong.
        let x = x / Prediction::X0.c_in(&level);
        let gain = level.alpha * DEVIATION.powi(2) / spread(&level).powi(2);
        Ok(MEAN + gain * (x - level.alpha * MEAN))
    };
    let prediction = Prediction::X0;
    let config = SamplerConfig { threshold: Threshold::Off, prediction, ..SamplerConfig::new(method) };
    // The schedule is for churn and for times between the levels, of which there are none here.
    let sampler = Sampler::on_grid(&Schedule::ddpm(), &config, grid).unwrap();
    (sampler.sample(&model, &x_start, &noise, &mut |_| Ok(())).unwrap(), z, end)
}

/// UniPC takes its last steps at falling order, which is seen where the end is fixed.
#[test]
fn deterministic_solvers_follow_the_flow_of_every_path_with_their_order() {
    for path in ["edm", "straight"] {
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
                let (got, z, end) = samples(path, name.parse().unwrap(), steps, 16);
                let want = end.alpha * MEAN + spread(&end) * z;
                (got - want).abs().max().double_value(&[])
            };
            let (coarse, fine) = (error(80), error(160));
            let found = (coarse / fine).log2();
            assert!(
                found > f64::from(order) - 0.3,
                "{path}, {name}: order {found:.2} ({coarse:.1e}, {fine:.1e})"
            );
            assert!(fine < 0.02, "{path}, {name}: {fine:.1e}");
        }
    }
}

#[test]
fn stochastic_solvers_reach_the_distribution_of_every_path() {
    let count = 20_000;
    for path in ["edm", "straight"] {
        for method in [
            Method::Ddpm { variance: Variance::FixedSmall },
            Method::Ddpm { variance: Variance::FixedLarge },
            Method::Ddim { eta: 1.0 },
            Method::EulerAncestral { eta: 1.0 },
            "dpmpp-2m-sde".parse().unwrap(),
        ] {
            let (got, _, end) = samples(path, method, 400, count);
            let (mean, deviation) =
                (got.mean(Kind::Double).double_value(&[]), got.std(true).double_value(&[]));
            let want = spread(&end);
            assert!(
                (mean - end.alpha * MEAN).abs() < 5.0 * want / (count as f64).sqrt() + 2e-3,
                "{path}, {method}: {mean}"
            );
            assert!((deviation / want - 1.0).abs() < 0.04, "{path}, {method}: {deviation} is not {want}");
        }
    }
}
