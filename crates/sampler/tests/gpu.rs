//! Sampling on a GPU. The tests are ignored by default; `cargo xtask test` runs them if there is a GPU, and
//! `cargo test -p sampler --test gpu -- --ignored` always does.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[path = "support/turn.rs"]
mod turn;

use random::Purpose;
use sampler::{
    BoxError, ChurnSettings, Draw, Guidance, Method, Model, Noise, NoiseSource, Sampler, SamplerConfig,
};
use schedule::{Schedule, Variance};
use tch::{Device, Tensor};
use turn::gpu;

/// Mean without a class, means of the classes, the deviation of them all.
const MEANS: [f32; 4] = [0.05, -0.6, 0.1, 0.4];
const DEVIATION: f64 = 0.3;

const SHAPE: [i64; 4] = [4, 2, 8, 8];
const NOISE: Noise = Noise { seed: 3, first_index: 0 };
const STEPS: usize = 10;

/// Largest relative difference of images in f32, after all steps.
const LIMIT: f64 = 1e-3;

fn distance(got: &Tensor, expected: &Tensor) -> f64 {
    let (got, expected) = (got.to_device(Device::Cpu), expected.to_device(Device::Cpu));
    f64::try_from((got - &expected).norm() / expected.norm()).unwrap()
}

/// A product of all pixels of a channel with fixed weights, which a GPU adds up in another order.
fn mixed(x_t: &Tensor) -> Result<Tensor, BoxError> {
    let weights = Noise { seed: 9, first_index: 0 }.start([1, 1, 64, 64], x_t.device())?;
    Ok(x_t.flatten(2, -1).matmul(&(weights.view([64, 64]) / 8.0)).view_as(x_t).tanh())
}

/// Eps of pixels that are N(mean of the class, `DEVIATION`^2), see `guidance.rs`, and some of [`mixed`].
fn eps(x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>) -> Result<Tensor, BoxError> {
    let level = Schedule::ddpm().level_at(f64::try_from(&t.f_get(0)?)?)?;
    let means = Tensor::from_slice(&MEANS).to_device(x_t.device());
    let means = match labels {
        Some(labels) => means.index_select(0, &(labels + 1_i64)).view([-1, 1, 1, 1]), // [b, 1, 1, 1]
        None => means.narrow(0, 0, 1),
    };
    let variance = (level.alpha * DEVIATION).powi(2) + level.sigma.powi(2);
    Ok((x_t - means * level.alpha) * (level.sigma / variance) + mixed(x_t)? * 0.1)
}

fn model(x_t: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
    eps(x_t, t, None)
}

/// The same with a predicted variance.
fn with_variance(x_t: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
    Ok(Tensor::f_cat(&[model(x_t, t)?, mixed(x_t)?], 1)?)
}

/// All images, or fewer from another one on.
fn images(method: Method, model: &Model<'_>, noise: Noise, count: i64, device: Device) -> Tensor {
    let config = SamplerConfig { steps: Some(STEPS), ..SamplerConfig::new(method) };
    let sampler = Sampler::new(&Schedule::ddpm(), &config).unwrap();
    let [_, c, h, w] = SHAPE;
    let x_t = sampler.start_from(noise.start([count, c, h, w], device).unwrap()).unwrap();
    let images = sampler.sample(model, &x_t, &noise, &mut |_| Ok(())).unwrap();
    assert_eq!(images.device(), device);
    images
}

#[test]
#[ignore = "needs a GPU"]
fn every_solver_draws_the_images_of_the_cpu() {
    let (_turn, device) = gpu();
    let churn = ChurnSettings { amount: 5.0, ..ChurnSettings::NONE };
    let mut methods: Vec<Method> = Method::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    methods.extend([
        Method::Ddpm { variance: Variance::FixedLarge },
        Method::Ddim { eta: 0.7 },
        Method::Euler { churn },
        Method::Heun { churn },
    ]);
    for method in methods {
        let model: &Model<'_> = if method == Method::DdpmLearned { &with_variance } else { &model };
        let [expected, got] =
            [Device::Cpu, device].map(|device| images(method, model, NOISE, SHAPE[0], device));
        let apart = distance(&got, &expected);
        assert!(apart < LIMIT, "{method:?}: the images differ by {apart}");
        // Other noise gives other images, so the limit says something.
        let other = images(method, model, Noise { seed: 4, ..NOISE }, SHAPE[0], device);
        assert!(distance(&other, &expected) > 100.0 * LIMIT, "{method:?}");
    }
}

/// Noise is drawn on the host and only copied, so it is the same bit for bit.
#[test]
#[ignore = "needs a GPU"]
fn the_noise_of_a_seed_is_that_of_the_cpu() {
    let (_turn, device) = gpu();
    let drawn = |noise: Noise, device: Device| {
        let draws =
            [(Purpose::SampleNoise, 7.0, 0), (Purpose::SampleNoise, 7.5, 2), (Purpose::Churn, 900.0, 0)];
        let mut all = vec![noise.start(SHAPE, device).unwrap()];
        for (purpose, t, visit) in draws {
            all.push(noise.draw(Draw { purpose, t, visit }, &SHAPE, device).unwrap());
        }
        all
    };
    for noise in [NOISE, Noise { seed: 3, first_index: 100 }, Noise { seed: u64::MAX, first_index: 0 }] {
        for (got, expected) in drawn(noise, device).iter().zip(drawn(noise, Device::Cpu)) {
            assert_eq!(got.device(), device);
            assert_eq!(got.to_device(Device::Cpu), expected, "{noise:?}");
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn an_image_does_not_depend_on_its_batch() {
    let (_turn, device) = gpu();
    for name in ["ddpm", "dpmpp-2m"] {
        let method: Method = name.parse().unwrap();
        let all = images(method, &model, NOISE, SHAPE[0], device);
        for first in 0..SHAPE[0] {
            let noise = Noise { first_index: first as u64, ..NOISE };
            let one = images(method, &model, noise, 1, device);
            let apart = distance(&one, &all.narrow(0, first, 1));
            assert!(apart < LIMIT, "{name}: image {first} differs by {apart}");
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn guidance_is_that_of_the_cpu() {
    let (_turn, device) = gpu();
    let steps = Schedule::ddpm().steps();
    let ddim = Method::Ddim { eta: 0.0 };
    // Strong enough to show, and too weak to clip all pixels.
    let guided = Guidance::new(1.5);
    for guidance in [
        Guidance::new(0.0),
        Guidance::new(1.0),
        guided,
        Guidance { rescale: 0.7, ..guided },
        Guidance { interval: (0.2, 0.8), ..guided },
    ] {
        let by_class = |device: Device| {
            let labels = Tensor::from_slice(&[2_i64, 0, 1, -1]).to_device(device);
            images(ddim, &guidance.apply(eps, &labels, steps).unwrap(), NOISE, SHAPE[0], device)
        };
        let apart = distance(&by_class(device), &by_class(Device::Cpu));
        assert!(apart < LIMIT, "{guidance:?}: the images differ by {apart}");

        // A worse network, which mixes the pixels more.
        let worse =
            |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> { Ok(model(x_t, t)? + mixed(x_t)?) };
        let by_guide =
            |device| images(ddim, &guidance.against(worse, model, steps).unwrap(), NOISE, SHAPE[0], device);
        let apart = distance(&by_guide(device), &by_guide(Device::Cpu));
        assert!(apart < LIMIT, "{guidance:?} by a worse network: the images differ by {apart}");
    }
}
