//! Samples have the mean and the variance of the data, up to each solver's discretisation error.

use sampler::{Method, Noise, Sampler};
use tch::Device;

use crate::world::{DDPM_LARGE, DDPM_SMALL, World, moments};

const NOISE: Noise = Noise { seed: 2020, first_index: 0 };

/// Solver, steps, and the variance of its samples over that of the data, for N(0.3, 0.5^2). The ratio is what
/// the papers' formulas give for the exact network, from numpy: a property of the solvers, not of this code.
fn solvers() -> [(Method, usize, f64); 8] {
    let ddim = |eta| Method::Ddim { eta };
    [
        (DDPM_SMALL, 1000, 0.98450),
        (DDPM_LARGE, 1000, 1.00301),
        (DDPM_SMALL, 100, 0.87692),
        (DDPM_LARGE, 100, 1.02707),
        (ddim(0.0), 1000, 0.99399),
        (ddim(0.0), 50, 0.88888),
        (ddim(0.5), 50, 0.86777),
        (ddim(1.0), 50, 0.78890),
    ]
}

#[test]
fn the_formulas_recover_the_data_up_to_the_step_size() {
    let world = World::new(0.3, 0.5);
    for (method, steps, ratio) in solvers() {
        let (mean, variance) = world.sample_moments(method, steps);
        // x_T keeps sqrt(alpha_bar_T) = 0.6% of the data, which N(0, 1) lacks.
        assert!((mean - 0.3).abs() < 1e-3, "{method}, {steps} steps: mean {mean}");
        assert!((variance / 0.25 - ratio).abs() < 1e-5, "{method}, {steps} steps: variance {variance}");
    }
}

/// 16384 pixels: the sampler's mean and variance are those of the formulas within 5 standard errors, 0.02 and
/// 5.5%.
#[test]
fn samples_have_the_moments_of_the_formulas() {
    let world = World::new(0.3, 0.5);
    for (method, steps, _) in solvers() {
        let pixels = world.sample(method, steps, &NOISE, 16);
        let (want_mean, want_variance) = world.sample_moments(method, steps);
        let (mean, variance) = moments(&pixels);
        let n = pixels.len() as f64;
        let mean_error = (want_variance / n).sqrt();
        let variance_error = want_variance * (2.0 / n).sqrt();
        assert!((mean - want_mean).abs() < 5.0 * mean_error, "{method}, {steps} steps: mean {mean}");
        assert!(
            (variance - want_variance).abs() < 5.0 * variance_error,
            "{method}, {steps} steps: variance {variance} is not {want_variance}"
        );
    }
}

/// With eta = 0 the sampler is a fixed map from noise to image, which is affine here: each pixel, not only the
/// moments, matches the formulas.
#[test]
fn ddim_without_noise_is_a_map() {
    let world = World::new(-0.2, 0.7);
    let method = Method::Ddim { eta: 0.0 };
    let sampler = Sampler::new(&world.schedule, &World::config(method, 50)).unwrap();
    let map = world.reverse(method, &sampler);
    assert_eq!(map.variance, 0.0);

    let x_t = NOISE.start([16, 1, 32, 32], Device::Cpu).unwrap();
    let other_noise = Noise { seed: 1, first_index: 9 };
    let draw = |noise| {
        tensor_io::to_vec(&sampler.sample(&world.model(), &x_t, noise, &mut |_| Ok(())).unwrap()).unwrap()
    };
    let pixels = draw(&NOISE);
    assert_eq!(pixels, draw(&other_noise));
    for (got, x_t) in pixels.iter().zip(tensor_io::to_vec(&x_t).unwrap()) {
        let want = map.slope * f64::from(x_t) + map.offset;
        assert!((f64::from(*got) - want).abs() < 2e-5, "{got} is not {want}");
    }
}

/// Along the probability flow a Gaussian pixel keeps its distance from the mean in standard deviations, so it
/// ends at `mu + s (x_T - r mu) / sqrt(V)`. DDIM approaches that with an error of first order in the step.
#[test]
fn ddim_follows_the_probability_flow() {
    let world = World::new(0.3, 0.5);
    let (method, x_t) = (Method::Ddim { eta: 0.0 }, 1.5);
    let alpha_bar = world.schedule.alpha_bars()[999];
    let v = 0.25 * alpha_bar + 1.0 - alpha_bar;
    let want = 0.3 + 0.5 * (x_t - alpha_bar.sqrt() * 0.3) / v.sqrt();
    let error = |steps| {
        let sampler = Sampler::new(&world.schedule, &World::config(method, steps)).unwrap();
        let map = world.reverse(method, &sampler);
        (map.slope * x_t + map.offset - want).abs()
    };
    let errors = [25, 50, 100, 200].map(error);
    assert!(error(1000) < 3e-3, "{}", error(1000));
    for pair in errors.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!((0.85..1.15).contains(&order), "order {order} of {errors:?}");
    }
}

/// DDIM with eta = 1 draws exactly the images of DDPM with the posterior variance, pixel by pixel.
#[test]
fn ddim_with_eta_1_is_ddpm() {
    let world = World::new(0.3, 0.5);
    let ddpm = world.sample(DDPM_SMALL, 1000, &NOISE, 1);
    let ddim = world.sample(Method::Ddim { eta: 1.0 }, 1000, &NOISE, 1);
    // The same sums, rounded in a different order 1000 times; x_0 starts as a difference of numbers up to 600.
    let worst = ddpm.iter().zip(&ddim).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
}
