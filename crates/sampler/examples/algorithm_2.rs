//! Algorithm 2 of Ho et al. 2020 (sampling), line by line and without this crate's engine:
//! `cargo run -p sampler --example algorithm_2`. The paper's t = 1..T is 0..T-1 here.
//!
//! The data are the two numbers -1 and 1, for which the optimal network is known. `tests/algorithm_2.rs` shows that
//! the engine draws the same samples.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use schedule::Schedule;
use tch::{Device, Kind, Tensor};

/// Lines 1 to 6, with sigma_t^2 = beta_t. `z` returns the noise for a t.
pub(crate) fn sample(
    schedule: &Schedule,
    eps_theta: impl Fn(&Tensor, usize) -> Tensor,
    x_start: &Tensor,
    mut z: impl FnMut(usize) -> Tensor,
) -> Tensor {
    let mut x = x_start.shallow_clone(); // 1: x_T ~ N(0, I)
    for t in (0..schedule.steps()).rev() {
        // 2: for t = T, ..., 1
        let z = if t > 0 { z(t) } else { x.zeros_like() }; // 3: z ~ N(0, I), none in the last step
        let (alpha, alpha_bar) = (schedule.alphas()[t], schedule.alpha_bars()[t]);
        let sigma = schedule.betas()[t].sqrt();
        // 4: x_{t-1} from x_t
        let eps = eps_theta(&x, t);
        x = (x - (1.0 - alpha) / (1.0 - alpha_bar).sqrt() * eps) / alpha.sqrt() + sigma * z;
    } // 5
    x // 6: x_0
}

/// The optimal eps for this data: x_0 is -1 or 1, and its mean given x_t is tanh(sqrt(alpha_bar_t) x_t / (1 -
/// alpha_bar_t)).
pub(crate) fn eps_theta(schedule: &Schedule, x_t: &Tensor, t: usize) -> Tensor {
    let alpha_bar = schedule.alpha_bars()[t];
    let x_0 = (x_t * (alpha_bar.sqrt() / (1.0 - alpha_bar))).tanh();
    (x_t - alpha_bar.sqrt() * x_0) / (1.0 - alpha_bar).sqrt()
}

fn main() {
    let schedule = Schedule::ddpm();
    let x_start = Tensor::randn([10_000, 1, 1, 1], (Kind::Double, Device::Cpu));
    let x_0 = sample(&schedule, |x_t, t| eps_theta(&schedule, x_t, t), &x_start, |_| x_start.randn_like());
    let share = |near: f64| {
        let found = (&x_0 - near).abs().less(0.1).to_kind(Kind::Double);
        100.0 * found.mean(Kind::Double).double_value(&[])
    };
    println!("{:.1} % of the samples are near -1, {:.1} % near 1", share(-1.0), share(1.0));
}
