//! Draws noise that depends on seed, purpose and step alone: `cargo run -p random --example streams`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use random::{Purpose, Stream};

fn main() {
    let noise = |step: u64| Stream::new(7, Purpose::TrainNoise, step, 0).normals(3);
    let run: Vec<Vec<f32>> = (998..=1001).map(noise).collect();
    // A run that starts again at step 1000 needs no stored state.
    let resumed = noise(1000);
    println!("noise of step 1000: {resumed:.3?}, the same after a restart: {}", resumed == run[2]);

    // Another purpose gives independent numbers, here the order of the images in the first epoch.
    let order = Stream::new(7, Purpose::Order, 0, 0).permutation(8);
    println!("order of 8 images: {order:?}");

    let many = Stream::new(7, Purpose::TrainNoise, 0, 0).normals(100_000);
    let mean_square = many.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / many.len() as f64;
    println!("variance of 100000 numbers: {mean_square:.2}");
}
