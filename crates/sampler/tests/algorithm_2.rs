//! The engine draws the same samples as the example, which transcribes Algorithm 2 from the paper.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/algorithm_2.rs"]
mod algorithm_2;

use algorithm_2::eps_theta;
use random::Purpose;
use sampler::{BoxError, Draw, Method, Noise, NoiseSource, Sampler, SamplerConfig, Threshold};
use schedule::{BetaSchedule, Schedule, Variance};
use tch::{Device, Kind, Tensor};

#[test]
fn the_engine_draws_the_samples_of_the_paper() {
    let shape = [5, 1, 2, 3];
    for (name, steps) in [("linear", 1000), ("linear", 50), ("cosine", 100)] {
        let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), steps).unwrap();
        let noise = Noise { seed: 4, first_index: 0 };
        let x_start = noise.start(shape, Device::Cpu).unwrap().to_kind(Kind::Double);
        let z = |t: usize| {
            let draw = Draw { purpose: Purpose::SampleNoise, t: t as f64, visit: 0 };
            noise.draw(draw, &shape, Device::Cpu).unwrap().to_kind(Kind::Double)
        };
        let want = algorithm_2::sample(&schedule, |x_t, t| eps_theta(&schedule, x_t, t), &x_start, z);

        let variance = Variance::FixedLarge;
        let config =
            SamplerConfig { threshold: Threshold::Off, ..SamplerConfig::new(Method::Ddpm { variance }) };
        let sampler = Sampler::new(&schedule, &config).unwrap();
        let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
            Ok(eps_theta(&schedule, x_t, t.double_value(&[0]) as usize))
        };
        let got = sampler.sample(&model, &x_start, &noise, &mut |_| Ok(())).unwrap();
        let apart = (&got - &want).abs().max().double_value(&[]);
        assert!(apart < 1e-9, "{name}, {steps} steps: {apart}");
    }
}
