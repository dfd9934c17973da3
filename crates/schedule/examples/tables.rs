//! Prints the tables of a noise schedule and how much of a signal is left: `cargo run -p schedule --example tables`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use schedule::ndarray::{ArrayD, IxDyn};
use schedule::{BetaSchedule, Schedule, ScheduleError};

fn main() -> Result<(), ScheduleError> {
    for name in ["linear", "cosine"] {
        let schedule = Schedule::new(&BetaSchedule::from_name(name)?, 1000)?;
        println!("{name}: t, beta, alpha_bar, remaining value of a pixel of 1");
        let pixel = ArrayD::<f32>::ones(IxDyn(&[1, 1]));
        let no_noise = ArrayD::<f32>::zeros(pixel.raw_dim());
        for t in [0, 250, 500, 750, 999] {
            let x_t = schedule.q_sample(&pixel, &[t], &no_noise)?;
            let (beta, alpha_bar) = (schedule.betas()[t], schedule.alpha_bars()[t]);
            println!("{t:>5} {beta:>9.6} {alpha_bar:>10.6} {:>7.4}", x_t[[0, 0]]);
        }
    }
    Ok(())
}
