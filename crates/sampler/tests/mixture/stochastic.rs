//! Every stochastic solver reproduces the data's mean, variance and the weights of its two parts.

use sampler::{
    ChurnSettings, Correction, DpmPp, Method, Noise, Prediction, Sampler, SamplerConfig, Threshold, Times,
};
use schedule::{Spacing, Variance};
use tch::{Device, Tensor};

use crate::world::{Mixture, Part};

/// The parts are far enough apart for 0 to separate them: 1 in 30,000 lies on the wrong side.
fn world() -> Mixture {
    Mixture::new([
        Part { weight: 0.3, mean: -0.6, deviation: 0.15 },
        Part { weight: 0.7, mean: 0.6, deviation: 0.15 },
    ])
}

/// 65536 pixels.
const SHAPE: [i64; 4] = [16, 1, 64, 64];

fn samples(world: &Mixture, method: Method, times: &Times, steps: usize) -> Vec<f64> {
    let config = SamplerConfig {
        steps: Some(steps),
        times: times.clone(),
        threshold: Threshold::Off,
        prediction: Prediction::X0,
        ..SamplerConfig::new(method)
    };
    let sampler = Sampler::new(&world.schedule, &config).unwrap();
    assert!(sampler.is_stochastic());
    let noise = Noise { seed: 2022, first_index: 0 };
    let x = noise.start(SHAPE, Device::Cpu).unwrap();
    let model = |x: &Tensor, t: &Tensor| world.x_0(x, t);
    let images = sampler.sample(&model, &x, &noise, &mut |_| Ok(())).unwrap();
    tensor_io::to_vec(&images).unwrap().into_iter().map(f64::from).collect()
}

/// Five standard errors of 65536 independent pixels, plus what the step size costs: 1% of the deviation in the mean and in the
/// weight, 3% in the variance.
fn check(world: &Mixture, name: &str, samples: &[f64]) {
    let n = samples.len() as f64;
    let (want_mean, want_variance) = world.moments();
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let weight = samples.iter().filter(|x| **x < 0.0).count() as f64 / n;
    let deviation = want_variance.sqrt();
    assert!((mean - want_mean).abs() < (5.0 / n.sqrt() + 0.01) * deviation, "{name}: mean {mean}");
    // The fourth moment of two narrow parts is below that of a Gaussian: sqrt(2 / n) bounds the relative error.
    assert!(
        (variance / want_variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt() + 0.03,
        "{name}: variance {variance}"
    );
    let weight_error = (0.3 * 0.7 / n).sqrt();
    assert!((weight - 0.3).abs() < 5.0 * weight_error + 0.01, "{name}: weight {weight}");
    // Each part has its own width: noise left in, or smoothed away, shows here. Steps cost up to 10%.
    for (part, below) in world.parts.iter().zip([true, false]) {
        let own: Vec<f64> = samples.iter().copied().filter(|x| (*x < 0.0) == below).collect();
        let m = own.iter().sum::<f64>() / own.len() as f64;
        let s = (own.iter().map(|x| (x - m).powi(2)).sum::<f64>() / own.len() as f64).sqrt();
        assert!((m - part.mean).abs() < 0.01, "{name}: a part's mean is {m}");
        assert!((s / part.deviation - 1.0).abs() < 0.1, "{name}: a part's deviation is {s}");
    }
}

#[test]
fn stochastic_solvers_reproduce_the_mixture() {
    let world = world();
    let sde = |order, correction| Method::DpmPp(DpmPp { sde: true, correction, ..DpmPp::multistep(order) });
    let churn = ChurnSettings { amount: 20.0, ..ChurnSettings::NONE };
    let trailing = Times::Spaced(Spacing::Trailing);
    let karras = Times::Karras { rho: 7.0, whole: false };
    for (name, method, times, steps) in [
        ("ddpm fixed-small", Method::Ddpm { variance: Variance::FixedSmall }, &trailing, 1000),
        ("ddpm fixed-large", Method::Ddpm { variance: Variance::FixedLarge }, &trailing, 1000),
        ("ddim eta 1", Method::Ddim { eta: 1.0 }, &trailing, 500),
        ("ddim eta 0.5", Method::Ddim { eta: 0.5 }, &trailing, 500),
        ("euler-ancestral", Method::EulerAncestral { eta: 1.0 }, &karras, 200),
        ("dpmpp-1 sde", sde(1, Correction::Midpoint), &karras, 200),
        ("dpmpp-2m-sde midpoint", sde(2, Correction::Midpoint), &karras, 50),
        ("dpmpp-2m-sde taylor", sde(2, Correction::Taylor), &karras, 50),
        ("euler with churn", Method::Euler { churn }, &karras, 200),
        ("heun with churn", Method::Heun { churn }, &karras, 50),
    ] {
        check(&world, name, &samples(&world, method, times, steps));
    }
}

/// A network that also predicts the right variance, between the two bounds, for a single Gaussian: with few steps the
/// learned variance keeps the deviation that both fixed ones miss (Bao et al. 2022, "Analytic-DPM", Eq. 6).
#[test]
fn a_learned_variance_is_used() {
    let narrow = Part { weight: 0.5, mean: 0.2, deviation: 0.4 };
    let world = Mixture::new([narrow, narrow]);
    let deviation = |method: Method, learned: bool| {
        let config = SamplerConfig {
            steps: Some(20),
            times: Times::Karras { rho: 7.0, whole: false },
            threshold: Threshold::Off,
            prediction: Prediction::X0,
            ..SamplerConfig::new(method)
        };
        let sampler = Sampler::new(&world.schedule, &config).unwrap();
        let levels: Vec<_> = (0..=20).map(|i| sampler.grid().level(i)).collect();
        let model = |x: &Tensor, t: &Tensor| {
            let x_0 = world.x_0(x, t)?;
            if !learned {
                return Ok(x_0);
            }
            let at = f64::try_from(t.get(0))?;
            let i = levels
                .iter()
                .position(|level| level.t as f32 == at as f32)
                .ok_or("not a level of the grid")?;
            let (from, to) = (levels[i], levels[i + 1]);
            // The posterior's variance, plus that of x_0 given x_t through the posterior's mean.
            let v = (from.alpha * narrow.deviation).hypot(from.sigma).powi(2);
            let of_x_0 = (narrow.deviation * from.sigma).powi(2) / v;
            let beta = 1.0 - (from.alpha / to.alpha).powi(2);
            let small = beta * (to.sigma / from.sigma).powi(2);
            let best = small + (to.alpha * beta / from.sigma.powi(2)).powi(2) * of_x_0;
            let share = if to.is_data() { 0.0 } else { (best / small).ln() / (beta / small).ln() };
            Ok(Tensor::cat(&[&x_0, &(x_0.ones_like() * (2.0 * share - 1.0))], 1))
        };
        let noise = Noise { seed: 1, first_index: 0 };
        let x = noise.start(SHAPE, Device::Cpu).unwrap();
        let images = sampler.sample(&model, &x, &noise, &mut |_| Ok(())).unwrap();
        f64::try_from(images.std(true)).unwrap()
    };
    let got = deviation(Method::DdpmLearned, true);
    let small = deviation(Method::Ddpm { variance: Variance::FixedSmall }, false);
    let large = deviation(Method::Ddpm { variance: Variance::FixedLarge }, false);
    assert!((got / 0.4 - 1.0).abs() < 0.02, "{got}");
    assert!((small / 0.4 - 1.0).abs() > 0.05 && (large / 0.4 - 1.0).abs() > 0.04, "{small} {large}");
}
