//! Times the weight and bias gradient of `conv2d` against libtorch's, alternating between them: `wgrad [ROUNDS]`.
//!
//! The convolutions are those of the networks small-32 (batch 64), fashion-28 (32) and ddpm-cifar10 (8).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use torch_ext::{WeightGradient, channels_last, conv2d_with};

/// Images, side of an image, input and output channels, side of the kernel.
const SHAPES: [[i64; 5]; 22] = [
    [64, 32, 3, 32, 3],
    [64, 32, 32, 32, 3],
    [64, 32, 64, 32, 3],
    [64, 32, 96, 32, 3],
    [64, 32, 96, 32, 1],
    [64, 32, 32, 3, 3],
    [64, 16, 64, 64, 3],
    [64, 16, 160, 64, 3],
    [64, 16, 160, 64, 1],
    [64, 8, 96, 96, 3],
    [64, 8, 192, 96, 3],
    [64, 8, 192, 96, 1],
    [32, 28, 32, 32, 3],
    [32, 14, 64, 64, 3],
    [32, 7, 96, 96, 3],
    [8, 32, 128, 128, 3],
    [8, 32, 256, 128, 3],
    [8, 16, 256, 256, 3],
    [8, 16, 512, 256, 3],
    [8, 16, 512, 256, 1],
    [8, 8, 512, 256, 3],
    [8, 4, 512, 256, 3],
];

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(15, |text| text.parse().unwrap());
    let _ = torch_ext::keep_freed_memory();
    println!("ours: {}", torch_ext::conv2d_is_fast());
    for [images, side, c_in, c_out, kernel] in SHAPES {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let map = |c| channels_last(&random(&[images, c, side, side]), Kind::BFloat16).unwrap();
        let (x, dy) = (map(c_in), map(c_out));
        let weight = random(&[c_out, c_in, kernel, kernel]).set_requires_grad(true);
        let bias = random(&[c_out]).set_requires_grad(true);
        // The third graph has only the rest.
        let graph = |y: &Tensor| (y * &dy).sum(Kind::Float);
        let loss = |gradient| graph(&conv2d_with(&x, &weight, &bias, gradient).unwrap());
        let y = map(c_out).set_requires_grad(true);
        let losses = [loss(WeightGradient::Best), loss(WeightGradient::Libtorch), graph(&y)];
        let leaves: [&[&Tensor]; 3] = [&[&weight, &bias], &[&weight, &bias], &[&y]];
        let mut times = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            for way in 0..3 {
                let start = Instant::now();
                Tensor::run_backward(&[&losses[way]], leaves[way], true, false);
                // The first round fills caches.
                if round > 0 {
                    times[way].push(start.elapsed().as_secs_f64());
                }
            }
        }
        // Use the fastest: other load on the machine never makes a run faster.
        let [ours, theirs, rest] =
            times.map(|times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min));
        let (ours, theirs) = (ours - rest, theirs - rest);
        let flop = 2.0 * (images * side * side * kernel * kernel * c_in * c_out) as f64;
        println!(
            "{images:2} images {side:2}^2, {c_in:3} -> {c_out:3}, kernel {kernel}: ours {:7.3} ms, {:4.0} GFLOP/s; \
             libtorch {:7.3} ms, {:4.0} GFLOP/s; ratio {:.2}",
            ours * 1e3,
            flop / ours / 1e9,
            theirs * 1e3,
            flop / theirs / 1e9,
            ours / theirs
        );
    }
}
