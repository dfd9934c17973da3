//! Sampling starts from pure noise, so a chain has to end in it. The one place that says so where it does not.

use sampler::Sampler;
use schedule::{MAX_TERMINAL_SIGNAL, Schedule};
use tracing::warn;

/// Warns of a schedule that leaves some of the image at its noisy end.
pub(crate) fn check_schedule(schedule: &Schedule) {
    if !schedule.ends_in_noise() {
        warn!(
            "the noise schedule leaves {} of the images' variance at its last step (at most {} is noise): samples start from \
             pure noise, which training does not show, and come out too bright or too dark; raise the betas or \
             schedule.steps, or leave the betas of a linear schedule out, which then follow schedule.steps",
            percent(schedule.terminal_signal()),
            percent(MAX_TERMINAL_SIGNAL),
        );
    }
}

/// Warns of a sampler that takes pure noise for an image of a level that still holds some of it.
pub(crate) fn check_start(sampler: &Sampler, schedule: &Schedule) {
    let start = sampler.grid().level(0);
    let signal = start.alpha.powi(2);
    if signal > MAX_TERMINAL_SIGNAL && schedule.ends_in_noise() {
        warn!(
            "these steps start at t = {} of {}, where {} of the images' variance is left: samples start from pure noise and \
             come out too bright or too dark; --spacing trailing starts at the last t",
            start.t,
            schedule.steps() - 1,
            percent(signal),
        );
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}
