//! The state of a run, as stored in `state.json`.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::CheckpointError;
use crate::read;

/// Increased when the layout changes; older layouts stay readable.
pub const FORMAT_VERSION: u32 = 1;

/// The state of a run. `R` is the caller's part, an object whose keys stand beside these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State<R> {
    /// Version of the layout.
    pub format_version: u32,
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Whatever else the caller needs to resume.
    #[serde(flatten)]
    pub run: R,
}

/// The key that every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u64,
}

impl<R> State<R> {
    /// A state in the current format version.
    pub fn new(step: u64, seed: u64, run: R) -> Self {
        Self { format_version: FORMAT_VERSION, step, seed, run }
    }
}

impl<R: DeserializeOwned> State<R> {
    /// Parses the text of a state. `path` is the file's path, for the error message.
    ///
    /// # Errors
    /// [`CheckpointError::Version`] for a newer version, whatever else the text holds, and [`CheckpointError::Altered`]
    /// if it is not a valid state.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Version { format_version } = read::json(path, bytes)?;
        match format_version {
            0 => Err(CheckpointError::altered(path, "format version", "1 or more", 0)),
            found if found > u64::from(FORMAT_VERSION) => Err(CheckpointError::Version {
                path: files::parent(path).to_owned(),
                expected: FORMAT_VERSION,
                found,
            }),
            _ => read::json(path, bytes),
        }
    }
}

/// Checks a state, except for the caller's part.
pub(crate) fn check(path: &Path, bytes: &[u8]) -> Result<State<IgnoredAny>, CheckpointError> {
    State::parse(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Run {
        interval: Vec<f64>,
    }

    fn parsed(text: &str) -> Result<State<Run>, String> {
        State::parse(Path::new("step-00000007/state.json"), text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_state_round_trips_exactly() {
        let state = State::new(7, u64::MAX, Run { interval: vec![0.1 + 0.2, -0.0, f64::MIN_POSITIVE] });
        assert_eq!(parsed(&serde_json::to_string(&state).unwrap()), Ok(state));
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number() {
        for found in ["2", "57", "18446744073709551615"] {
            let message = parsed(&format!(r#"{{"format_version": {found}, "steps": []}}"#)).unwrap_err();
            assert!(message.starts_with("step-00000007: format version: expected at most 1"), "{message}");
            assert!(message.contains(&format!("found {found}")), "{message}");
        }
    }

    #[test]
    fn an_invalid_state_is_refused() {
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
