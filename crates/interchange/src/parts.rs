//! Parts of a configuration that the readers of all layouts share.

use std::path::Path;

use config::{Resampling, ScheduleConfig};

use crate::error::InterchangeError;

/// A chain of `steps` betas of a kind, with their ends if the kind has any. `path` is the file it comes from.
pub(crate) fn chain(
    path: &Path,
    kind: &str,
    steps: usize,
    ends: Option<(f64, f64)>,
    zero_terminal_snr: bool,
) -> Result<ScheduleConfig, InterchangeError> {
    let mut schedule = ScheduleConfig {
        kind: kind.to_owned(),
        steps,
        beta_start: ends.map(|(start, _)| start),
        beta_end: ends.map(|(_, end)| end),
        beta: None,
        s: None,
        max_beta: None,
        sigma_min: None,
        sigma_max: None,
        zero_terminal_snr,
    };
    let refuse = |error| InterchangeError::Network { path: path.to_owned(), error };
    schedule.settle().map_err(refuse)?;
    schedule.path().map_err(refuse)?;
    Ok(schedule)
}

/// Channels per level as multiples of the first map's, or the channels themselves if they are not multiples.
pub(crate) fn channels_of(base: usize, channels: Vec<usize>) -> (Vec<usize>, Option<Vec<usize>>) {
    if base > 0 && channels.iter().all(|channels| channels.is_multiple_of(base)) {
        return (channels.iter().map(|channels| channels / base).collect(), None);
    }
    (Vec::new(), Some(channels))
}

/// How levels resample, or `None` if all use a convolution.
pub(crate) fn unless_usual(kinds: Vec<Resampling>) -> Option<Vec<Resampling>> {
    kinds.iter().any(|kind| *kind != Resampling::Conv).then_some(kinds)
}
