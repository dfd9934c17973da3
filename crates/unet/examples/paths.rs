//! Times the network's fast path against libtorch's own operations, in alternation: `paths [PRESET] [BATCH] [ROUNDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use unet::{Pass, UNet, UNetConfig};

fn main() {
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
    let sample = |pass: &Pass| {
        let _no_grad = tch::no_grad_guard();
        let _ = net.forward(&x, &t, None, pass).unwrap();
    };
    for kind in [Kind::Float, Kind::BFloat16] {
        let fast = Pass::eval().with_kind(kind);
        compare(&format!("{kind:?} forward and backward"), rounds, &train, [fast.with_plain(true), fast]);
        compare(&format!("{kind:?} forward"), rounds, &sample, [fast.with_plain(true), fast]);
    }
}

/// The median time of each pass, and their ratio.
fn compare(what: &str, rounds: usize, run: &dyn Fn(&Pass), passes: [Pass; 2]) {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (pass, times) in passes.iter().zip(&mut times) {
            let start = Instant::now();
            run(pass);
            // The first round fills caches.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let [plain, fast] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("{what}: plain {plain:.3} s, fast {fast:.3} s, ratio {:.3}", fast / plain);
}
