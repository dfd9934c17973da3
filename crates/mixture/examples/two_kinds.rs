//! Fits a mixture to images of two kinds and draws from it: `cargo run -p mixture --example two_kinds`.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use mixture::Fit;
use mixture::schedule::Level;
use mixture::tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Half of the images are dark and nearly equal, half are bright and vary.
    mixture::tch::manual_seed(1);
    let noise = Tensor::f_randn([400, 1, 4, 4], (Kind::Float, Device::Cpu))?;
    let images = Tensor::f_cat(
        &[noise.f_narrow(0, 0, 200)? * 0.05 - 0.7, noise.f_narrow(0, 200, 200)? * 0.2 + 0.4],
        0,
    )?;
    let mixture = Fit { components: 2, directions: 8, ..Fit::default() }.of(&images, None)?;

    // A level that keeps 60 % of an image and adds noise with a deviation of 0.3.
    let level = Level { t: 299.0, alpha: 0.6, sigma: 0.3 };
    let eps = Tensor::f_randn([6, 1, 4, 4], (Kind::Float, Device::Cpu))?;
    let x_t = mixture.start(&level, &[], (7, 0), &eps)?;
    for image in 0..6 {
        let mean = f64::try_from(&x_t.f_get(image)?.f_mean(Kind::Double)?)?;
        println!("x_t {image}: mean {mean:.2}, of an image with {:.2}", mean / level.alpha);
    }
    Ok(())
}
