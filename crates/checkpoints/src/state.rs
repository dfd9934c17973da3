//! Where a run stands, as `state.json` has it.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::CheckpointError;
use crate::read;

/// Raised when the layout changes; older ones stay readable.
pub const FORMAT_VERSION: u32 = 1;

/// Where a run stands. `I` is the caller's: sums of the steps that have not been logged yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State<I> {
    /// Version of the layout.
    pub format_version: u32,
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Sums of the interval that is being logged.
    pub interval: I,
}

/// What every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u64,
}

impl<I> State<I> {
    /// A state of this version.
    pub fn new(step: u64, seed: u64, interval: I) -> Self {
        Self { format_version: FORMAT_VERSION, step, seed, interval }
    }
}

impl<I: DeserializeOwned> State<I> {
    /// Parses the text of a state; `path` is that of the file, for the error message.
    ///
    /// # Errors
    /// [`CheckpointError::Version`] for a newer version, whatever else it holds, and
    /// [`CheckpointError::Altered`] for what is no state.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Version { format_version } = read::json(path, bytes)?;
        match format_version {
            0 => Err(CheckpointError::altered(path, "format version", "one from 1", 0)),
            found if found > u64::from(FORMAT_VERSION) => Err(CheckpointError::Version {
                path: files::parent(path).to_owned(),
                expected: FORMAT_VERSION,
                found,
            }),
            _ => read::json(path, bytes),
        }
    }
}

/// Checks all of a state but the part that is the caller's.
pub(crate) fn check(path: &Path, bytes: &[u8]) -> Result<State<IgnoredAny>, CheckpointError> {
    State::parse(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<State<Vec<f64>>, String> {
        State::parse(Path::new("step-00000007/state.json"), text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_state_comes_back_to_the_bit() {
        let state = State::new(7, u64::MAX, vec![0.1 + 0.2, -0.0, f64::MIN_POSITIVE]);
        assert_eq!(parsed(&serde_json::to_string(&state).unwrap()), Ok(state));
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number_whatever_it_holds() {
        for found in ["2", "57", "18446744073709551615"] {
            let message = parsed(&format!(r#"{{"format_version": {found}, "steps": []}}"#)).unwrap_err();
            assert!(message.starts_with("step-00000007: format version: expected at most 1"), "{message}");
            assert!(message.contains(&format!("found {found}")), "{message}");
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for text in [
            "",
            "null",
            "{}",
            r#"{"format_version": 1}"#,
            r#"{"format_version": -1, "step": 1, "seed": 1, "interval": []}"#,
            r#"{"format_version": 0, "step": 1, "seed": 1, "interval": []}"#,
            r#"{"format_version": 1, "step": 1.5, "seed": 1, "interval": []}"#,
            r#"{"format_version": 1, "step": 1, "seed": 1, "interval": {}}"#,
        ] {
            let message = parsed(text).unwrap_err();
            assert!(message.contains("state.json") && message.contains("expected"), "{message}");
        }
    }
}
