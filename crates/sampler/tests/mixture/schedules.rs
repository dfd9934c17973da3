//! Every solver with its default levels, on every kind of schedule, in long and short chains and in few and many
//! steps: the samples have the moments of the data and stay in its range, even with a small error of the network.
//!
//! A network's error counts most where hardly any signal is left: `x_0 = (x - sigma eps) / alpha` multiplies it by
//! `sigma / alpha`, 20000 at the end of a cosine schedule.

use sampler::{Method, Noise, Prediction, Sampler, SamplerConfig};
use schedule::{BetaSchedule, Schedule};
use tch::{Device, Tensor};

use crate::world::{Mixture, Part};

/// Pixels of one sampling.
const PIXELS: i64 = 1024;

/// Data in [-1, 1] except for one pixel in a thousand.
fn world(schedule: Schedule) -> Mixture {
    let parts =
        [Part { weight: 0.4, mean: -0.5, deviation: 0.15 }, Part { weight: 0.6, mean: 0.3, deviation: 0.2 }];
    Mixture { schedule, parts }
}

/// The result of a sampling: mean, standard deviation, and the share of the pixels at the ends of the range.
#[derive(Debug, Clone, Copy)]
struct Found {
    mean: f64,
    deviation: f64,
    saturated: f64,
}

fn sample(world: &Mixture, config: &SamplerConfig, error: f64) -> Found {
    let schedule = &world.schedule;
    let sampler = Sampler::new(schedule, config).unwrap();
    let model = |x: &Tensor, t: &Tensor| {
        let level = schedule.level_at(f64::try_from(t.get(0))?)?;
        let x_0 = world.x_0(x, t)?;
        // The error changes sign from pixel to pixel, in the variable that the network predicts.
        let wrong = (x * 40.0).sin() * error;
        let eps = (x - &x_0 * level.alpha) / level.sigma;
        Ok(match config.prediction {
            Prediction::Eps => eps + wrong,
            _ => eps * level.alpha - x_0 * level.sigma + wrong,
        })
    };
    let noise = Noise { seed: 5, first_index: 0 };
    let x_t = noise.start([1, 1, 64, PIXELS / 64], Device::Cpu).unwrap();
    let images = sampler.sample(&model, &x_t, &noise, &mut |_| Ok(())).unwrap();
    let number = |x: Tensor| f64::try_from(x).unwrap();
    Found {
        mean: number(images.mean(tch::Kind::Double)),
        deviation: number(images.std(true)),
        saturated: number(images.abs().ge(0.995).mean(tch::Kind::Double)),
    }
}

#[test]
fn every_default_is_right_for_every_schedule() {
    for kind in BetaSchedule::NAMES {
        for timesteps in [2, 10, 100, 1000] {
            let betas = BetaSchedule::usual(kind, timesteps).unwrap();
            let world = world(Schedule::new(&betas, timesteps).unwrap());
            let (mean, variance) = world.moments();
            for name in Method::NAMES.iter().filter(|name| **name != "ddpm-learned") {
                for steps in [2, 5, 25] {
                    if steps > timesteps {
                        continue;
                    }
                    for (prediction, error) in [(Prediction::Eps, 1e-2), (Prediction::V, 1e-2)] {
                        let method: Method = name.parse().unwrap();
                        let config =
                            SamplerConfig { steps: Some(steps), prediction, ..SamplerConfig::new(method) };
                        let found = sample(&world, &config, error);
                        let what = format!("{kind} T={timesteps} {name} n={steps} {prediction} {error}");
                        // Few steps blur, above all with added noise; they never saturate.
                        let (narrow, wide, saturated) = match steps {
                            2 => (0.0, 1.5, 0.2),
                            5 => (0.1, 1.3, 0.12),
                            _ => (0.45, 1.1, 0.005),
                        };
                        let spread = found.deviation / variance.sqrt();
                        assert!((found.mean - mean).abs() < 0.06, "{what}: {found:?}");
                        assert!((narrow..wide).contains(&spread), "{what}: {found:?}");
                        assert!(found.saturated <= saturated, "{what}: {found:?}");
                    }
                }
            }
        }
    }
}

/// A chain without signal at its end starts from noise alone, which works for a network that predicts v.
#[test]
fn chains_without_signal_at_their_end_are_sampled_or_refused() {
    let world = world(Schedule::ddpm().with_zero_terminal_snr().unwrap());
    let (mean, variance) = world.moments();
    let mut sampled = Vec::new();
    for name in Method::NAMES.iter().filter(|name| **name != "ddpm-learned") {
        let config = SamplerConfig {
            steps: Some(25),
            prediction: Prediction::V,
            ..SamplerConfig::new(name.parse().unwrap())
        };
        if Sampler::new(&world.schedule, &config).is_err() {
            continue;
        }
        let found = sample(&world, &config, 1e-2);
        let spread = found.deviation / variance.sqrt();
        assert!((found.mean - mean).abs() < 0.06 && (0.45..1.1).contains(&spread), "{name}: {found:?}");
        assert!(found.saturated <= 0.005, "{name}: {found:?}");
        sampled.push(*name);
    }
    // The others divide by the first step, which is infinitely long here, and return an error.
    for name in ["ddpm", "ddim", "dpmpp-2m", "heun", "euler"] {
        assert!(sampled.contains(&name), "{name} is not among {sampled:?}");
    }
}
