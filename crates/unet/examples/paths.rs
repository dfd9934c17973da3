//! Times the network's fast path against libtorch's own operations, alternating between them:
//! `paths [PRESET] [BATCH] [ROUNDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use unet::{Backbone, Pass, UNet, UNetConfig};

fn main() {
    // The program does the same.
    let _ = torch_ext::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let config = UNetConfig::preset(&argument(0, "small-32")).unwrap();
    let (batch, rounds): (i64, usize) =
        (argument(1, "16").parse().unwrap(), argument(2, "9").parse().unwrap());
    let net = UNet::new(&config, 1000, Device::Cpu, 0).unwrap();
    let size = [batch, config.in_channels as i64, config.image_size as i64, config.image_size as i64];
    let x = Tensor::randn(size, (Kind::Float, Device::Cpu));
    let t = Tensor::arange(batch, (Kind::Int64, Device::Cpu)) * (999 / batch);
    let train = |pass: &Pass| net.forward(&x, &t, None, pass).unwrap().square().mean(Kind::Float).backward();
    let sample = |net: &dyn Backbone, pass: &Pass| {
        let _no_grad = tch::no_grad_guard();
        let _ = net.forward(&x, &t, None, pass).unwrap();
    };
    for kind in [Kind::Float, Kind::BFloat16] {
        let fast = Pass::eval().with_kind(kind);
        let plain = fast.with_plain(true);
        let prepared = net.prepared(&fast).unwrap();
        let runs: [(&str, &dyn Fn()); 2] = [("plain", &|| train(&plain)), ("fast", &|| train(&fast))];
        compare(&format!("{kind:?} forward and backward"), rounds, &runs);
        let runs: [(&str, &dyn Fn()); 3] = [
            ("plain", &|| sample(&net, &plain)),
            ("fast", &|| sample(&net, &fast)),
            ("prepared", &|| sample(&*prepared, &fast)),
        ];
        compare(&format!("{kind:?} forward"), rounds, &runs);
    }
}

/// The median time of each, and its ratio to the first.
fn compare(what: &str, rounds: usize, runs: &[(&str, &dyn Fn())]) {
    let mut times = vec![Vec::new(); runs.len()];
    for round in 0..=rounds {
        for ((_, run), times) in runs.iter().zip(&mut times) {
            let start = Instant::now();
            run();
            // The first round fills caches.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let medians = times.into_iter().map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let medians: Vec<f64> = medians.collect();
    let described = runs
        .iter()
        .zip(&medians)
        .map(|((name, _), median)| format!("{name} {median:.4} s (ratio {:.3})", median / medians[0]));
    println!("{what}: {}", described.collect::<Vec<_>>().join(", "));
}
