//! The evaluations that a run makes during training: one JSON object per line in `evaluations.jsonl`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::metrics::{self, Line, check_parts};

/// The file in a run folder.
pub(crate) const FILE: &str = "evaluations.jsonl";

/// A line of `evaluations.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Steps done.
    pub step: u64,
    /// Number of samples.
    pub n: usize,
    /// Name of the distance: FID, or FD with the features' name. `None` if no features fit the images.
    pub distance: Option<String>,
    /// The distance to the images trained on.
    pub fd_train: Option<f64>,
    /// The distance to held-out images, if there are any.
    pub fd_test: Option<f64>,
    /// Mean of `held_out_by_t`.
    pub held_out_loss: Option<f64>,
    /// Mean squared error of eps on held-out images by tenth of the path, least noise first.
    #[serde(default)]
    pub held_out_by_t: Vec<f64>,
    /// Probability that an image trained on is nearer to a sample than a held-out one; 0.5 without copying.
    pub copying_share: Option<f64>,
    /// Whether this counts as copying.
    #[serde(default)]
    pub copies: bool,
    /// Duration of the evaluation in seconds.
    pub seconds: f64,
}

impl EvaluationRecord {
    /// The score that selects the best checkpoint, lower is better: the distance to held-out images, or else to training
    /// images, or else the loss on held-out images.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        self.fd_test.or(self.fd_train).or(self.held_out_loss)
    }
}

impl Line for EvaluationRecord {
    fn step(&self) -> u64 {
        self.step
    }

    fn check(&self) -> Result<(), String> {
        check_parts(self.held_out_by_t.len())
    }
}

/// The evaluations of the run in a folder, in order of steps; empty if there are none.
///
/// # Errors
/// [`TrainerError::File`], or [`TrainerError::Metrics`] for a file that this program did not write.
pub fn read_evaluations(run: &Path) -> Result<Vec<EvaluationRecord>, TrainerError> {
    metrics::read(&run.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_images_decide_where_there_are_any() {
        let record = |fd_train, fd_test, held_out_loss| EvaluationRecord {
            fd_train,
            fd_test,
            held_out_loss,
            ..EvaluationRecord::default()
        };
        assert_eq!(record(Some(1.0), Some(2.0), Some(3.0)).score(), Some(2.0));
        assert_eq!(record(Some(1.0), None, Some(3.0)).score(), Some(1.0));
        assert_eq!(record(None, None, Some(3.0)).score(), Some(3.0));
        assert_eq!(record(None, None, None).score(), None);
    }

    #[test]
    fn lines_come_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_evaluations(folder.path()).unwrap(), []);
        let record = EvaluationRecord { step: 3, fd_test: Some(0.1), ..EvaluationRecord::default() };
        metrics::append(&folder.path().join(FILE), &record).unwrap();
        assert_eq!(read_evaluations(folder.path()).unwrap(), [record]);
    }
}
