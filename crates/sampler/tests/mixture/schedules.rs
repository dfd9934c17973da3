//! Every solver with its default levels, on every kind of schedule, in long and short chains and in few and many steps: the
//! samples have the moments of the data and stay in its range, also when the network errs a little, as networks do.
//!
//! A network's error counts most where hardly any signal is left: `x_0 = (x - sigma eps) / alpha` multiplies it by
//! `sigma / alpha`, 20000 at the end of a cosine schedule.

use sampler::{Method, Noise, Prediction, Sampler, SamplerConfig};
use schedule::{BetaSchedule, Schedule};
use tch::{Device, Tensor};

use crate::world::{Mixture, Part};

/// Pixels of one sampling.
const PIXELS: i64 = 4096;

/// Data in [-1, 1] but for one pixel in a thousand.
fn world(schedule: Schedule) -> Mixture {
    let parts = [
        Part { weight: 0.4, mean: -0.5, deviation: 0.15 },
        Part { weight: 0.6, mean: 0.3, deviation: 0.2 },
    ];
    Mixture { schedule, parts }
}

/// What came of a sampling: mean, standard deviation, and the share of the pixels at the ends of the range.
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
        // Of either sign from pixel to pixel, in the variable that the network predicts.
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
                for steps in [2, 5, 10, 25, 100] {
                    if steps > timesteps {
                        continue;
                    }
                    for (prediction, error) in
                        [(Prediction::Eps, 0.0), (Prediction::Eps, 1e-2), (Prediction::V, 1e-2)]
                    {
                        let method: Method = name.parse().unwrap();
                        let config =
                            SamplerConfig { steps: Some(steps), prediction, ..SamplerConfig::new(method) };
                        let found = sample(&world, &config, error);
                        let what = format!("{kind} T={timesteps} {name} n={steps} {prediction} {error}");
                        println!("ROW {what}: {:.3} {:.3} {:.4}", found.mean - mean, found.deviation / variance.sqrt(), found.saturated);
                    }
                }
            }
        }
    }
}
