//! Draws images of a closed-form network with three solvers, using this crate alone:
//! `cargo run -p sampler --example draw`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use sampler::schedule::Schedule;
use sampler::tch::{Device, Kind, Tensor};
use sampler::{BoxError, Noise, Sampler, SamplerConfig};

fn main() -> Result<(), BoxError> {
    let schedule = Schedule::ddpm();
    // The data's pixels are -1 or 1; this is the optimal prediction of eps.
    let model = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
        let alpha_bar = schedule.alpha_bars()[f64::try_from(t.f_get(0)?)?.round() as usize];
        let x_0 = (x_t * (alpha_bar.sqrt() / (1.0 - alpha_bar))).f_tanh()?;
        Ok((x_t - alpha_bar.sqrt() * x_0) / (1.0 - alpha_bar).sqrt())
    };
    // Image i of a seed does not depend on what else is drawn.
    let noise = Noise { seed: 1, first_index: 0 };
    let x_t = noise.start([64, 1, 8, 8], Device::Cpu)?;
    for (name, steps) in [("ddpm", 1000), ("ddim", 20), ("dpmpp-2m", 20)] {
        let config = SamplerConfig { steps: Some(steps), ..SamplerConfig::new(name.parse()?) };
        let images = Sampler::new(&schedule, &config)?.sample(&model, &x_t, &noise, &mut |_| Ok(()))?;
        let near = (images.f_abs()? - 1.0).f_abs()?.f_lt(0.1)?.f_mean(Kind::Float)?;
        println!(
            "{name:>8}, {steps:>4} steps: {:.1} % of the pixels within 0.1 of -1 or 1",
            100.0 * f64::try_from(near)?
        );
    }
    Ok(())
}
