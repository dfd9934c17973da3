//! The exact distance of a variation from its image: zero steps give the image itself, all steps an unrelated one.

use random::{Purpose, Stream};
use sampler::{Method, Noise, Sampler, SamplerConfig, Times};
use schedule::Spacing;

use crate::world::{DDPM_SMALL, World};

const T_STARTS: [usize; 7] = [1, 10, 50, 150, 300, 600, 1000];

/// Mean of `(x' - x_0)^2` and its standard error for n pixels.
///
/// `x' = slope (r x_0 + sqrt(1 - r^2) eps) + offset + noise`, so `x' - x_0` is Gaussian.
fn expected(world: &World, method: Method, sampler: &Sampler, n: f64) -> (f64, f64) {
    let steps = world.reverse(method, sampler);
    let alpha_bar = world.schedule.alpha_bars()[sampler.timesteps().next().unwrap() as usize];
    let of_image = steps.slope * alpha_bar.sqrt() - 1.0;
    let mean = of_image * world.mu + steps.offset;
    let variance = (of_image * world.s).powi(2) + steps.slope.powi(2) * (1.0 - alpha_bar) + steps.variance;
    let error = ((2.0 * variance.powi(2) + 4.0 * mean.powi(2) * variance) / n).sqrt();
    (mean.powi(2) + variance, error)
}

fn distances(world: &World, config: &SamplerConfig) -> Vec<f64> {
    let shape = [16, 1, 32, 32];
    let n = shape.iter().product::<i64>() as usize;
    let pixels: Vec<f32> = Stream::new(8, Purpose::Figure, 0, 0)
        .normals(n)
        .iter()
        .map(|z| world.mu as f32 + world.s as f32 * z)
        .collect();
    let images = tensor_io::from_slice(&pixels, &shape).unwrap();
    let noise = Noise { seed: 4, first_index: 0 };

    T_STARTS
        .iter()
        .map(|&t_start| {
            let sampler = Sampler::from_step(&world.schedule, config, t_start).unwrap();
            let varied = sampler.vary(&world.model(), &images, &noise, &mut |_| Ok(())).unwrap();
            let varied = tensor_io::to_vec(&varied).unwrap();
            let squares = varied.iter().zip(&pixels).map(|(a, b)| f64::from(a - b).powi(2));
            let got = squares.sum::<f64>() / n as f64;
            let (want, error) = expected(world, config.method, &sampler, n as f64);
            assert!((got - want).abs() < 5.0 * error, "t_start = {t_start}: {got} is not {want} +- {error}");
            got
        })
        .collect()
}

#[test]
fn more_steps_lead_further_away() {
    let world = World::new(0.3, 0.5);
    for config in [
        World::config(DDPM_SMALL, 1000),
        World::config(Method::Ddim { eta: 0.0 }, 100),
        SamplerConfig {
            times: Times::Spaced(Spacing::Leading),
            ..World::config(Method::Ddim { eta: 0.5 }, 100)
        },
    ] {
        let distances = distances(&world, &config);
        assert!(distances.windows(2).all(|pair| pair[0] < pair[1]), "{distances:?}");
        // One step: what denoising cannot undo, the variance of x_0 given x_t at t = 0.
        assert!(distances[0] < 1.2e-4, "{distances:?}");
        // All steps: two independent images are 2 s^2 apart. DDIM's fewer steps cost some variance.
        assert!((distances[6] / 0.5 - 1.0).abs() < 0.1, "{distances:?}");
    }
}
