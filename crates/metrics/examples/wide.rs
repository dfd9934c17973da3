//! Times every metric on features as wide as those of InceptionV3: `wide [ROWS] [WIDTH]`, by default 10000 and 2048.
//!
//! Prints wall seconds, CPU seconds of all threads, and the peak memory so far (Linux only). The kernel distance uses
//! 100 subsets of 1000 rows, the balls the 5th neighbour. `RAYON_NUM_THREADS` limits the threads.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::time::Instant;

use metrics::{Moments, frechet_distance, frechet_interval, kernel_distance, neighbours, sliced_wasserstein};
use ndarray::Array2;
use rayon::prelude::*;

fn main() {
    let argument = |index: usize, default: usize| {
        std::env::args().nth(index).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (rows, width) = (argument(1, 10_000), argument(2, 2048));
    let (subsets, size) = (100, rows.min(1000));
    println!("{:<34} {:>8} {:>8} {:>8}", "", "s", "cpu s", "most MB");
    let (data, samples) = step("features", || (features(rows, width, 1, 1.0), features(rows, width, 2, 1.1)));
    let moments = step("moments of one set", || Moments::of(&data).unwrap());
    let own = step("moments of the other", || Moments::of(&samples).unwrap());
    let distance = step("Frechet distance", || frechet_distance(&own, &moments).unwrap());
    let kernel = step("kernel distance", || kernel_distance(&data, &samples, (subsets, size), 0).unwrap());
    let shares = step("precision to coverage", || neighbours(&data, &samples, 5).unwrap());
    drop(own);
    let interval = (rows > width).then(|| {
        step("Frechet distance with its interval", || frechet_interval(&samples, &moments).unwrap())
    });
    let sliced =
        step("sliced Wasserstein, 256 lines", || sliced_wasserstein(&data, &samples, 256, 0).unwrap());
    println!("{distance} {interval:?}\n{kernel:?}\n{shares:?}\n{sliced}");
}

/// Correlated positive numbers, most of them small, like those after a ReLU and a mean.
fn features(rows: usize, width: usize, set: u64, scale: f32) -> Array2<f32> {
    let mut all = Array2::zeros((rows, width));
    let own: Vec<_> = all.outer_iter_mut().collect();
    own.into_par_iter().enumerate().for_each(|(row, mut own)| {
        let mut stream = random::Stream::new(set, random::Purpose::Evaluate, row as u64, 0);
        let normals = stream.normals(width + 16);
        for (column, value) in own.iter_mut().enumerate() {
            let mixed: f32 = (0..16).map(|k| normals[k] * ((column * (k + 3)) as f32 * 0.7).sin()).sum();
            let fall = (-(column as f32) * 4.0 / width as f32).exp();
            *value = scale * fall * (0.3 * mixed + 0.5 * normals[column + 16]).exp();
        }
    });
    all
}

fn step<R>(what: &str, body: impl FnOnce() -> R) -> R {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let result = body();
    let cpu = cpu_seconds() - cpu;
    println!("{what:<34} {:>8.2} {cpu:>8.2} {:>8}", start.elapsed().as_secs_f64(), most_megabytes());
    result
}

/// CPU seconds of all threads; NaN where there is no /proc.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| after.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

fn most_megabytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0_u64) / 1024
}
