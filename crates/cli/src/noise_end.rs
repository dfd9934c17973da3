//! Warnings for chains that do not end in pure noise, from which sampling starts.

use sampler::Sampler;
use schedule::{MAX_TERMINAL_SIGNAL, NoisePath};
use tracing::warn;

/// Warns of a path that keeps some of the image at its noisy end.
pub(crate) fn check_path(path: &dyn NoisePath) {
    let signal = terminal_signal(path);
    if signal > MAX_TERMINAL_SIGNAL {
        warn!(
            "the noise schedule leaves {} of the images' variance at its last step (at most {} is noise): samples start from \
             pure noise, which training does not show, and come out too bright or too dark; raise the betas or \
             schedule.steps, or leave out the betas of a linear schedule, which then follow schedule.steps",
            percent(signal),
            percent(MAX_TERMINAL_SIGNAL),
        );
    }
}

/// Warns of a sampler that starts from pure noise at a level that still has some of the image.
pub(crate) fn check_start(sampler: &Sampler, path: &dyn NoisePath) {
    let start = sampler.grid().level(0);
    let signal = start.signal();
    if signal > MAX_TERMINAL_SIGNAL && terminal_signal(path) <= MAX_TERMINAL_SIGNAL {
        warn!(
            "these steps start at t = {} of {}, where {} of the images' variance is left: samples start from pure noise and \
             come out too bright or too dark; --spacing trailing starts at the last t",
            start.t,
            path.steps() - 1,
            percent(signal),
        );
    }
}

/// The image's share of the variance at the noisiest level; 0 if that level is unknown.
fn terminal_signal(path: &dyn NoisePath) -> f64 {
    path.noisiest().map_or(0.0, |level| level.signal())
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}
