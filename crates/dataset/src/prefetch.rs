//! Prepares the next batches in a separate thread while the network processes the current one.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::batches::{Batch, BatchPlan};
use crate::error::DatasetError;
use crate::set::Dataset;

/// The batches of steps `first_step`, `first_step + 1`, ..., without end, identical to those of [`BatchPlan::batch`].
///
/// Besides the batches handed out, at most `depth + 1` prepared batches exist at a time. After an error the sequence
/// ends. Dropping it ends the thread.
///
/// ```
/// use dataset::{BatchPlan, Dataset, OpenOptions, Prefetch, Source};
/// let options = OpenOptions { limit: Some(64), ..OpenOptions::default() };
/// let set = Dataset::open(&Source::detect("fashion-mnist")?, &options)?;
/// let plan = BatchPlan::new(set.len(), 16, 7)?;
/// let mut batches = Prefetch::new(set.clone(), plan.clone(), 3, 2)?;
/// assert_eq!(batches.next().transpose()?, Some(plan.batch(&set, 3)?));
/// # Ok::<(), dataset::DatasetError>(())
/// ```
#[derive(Debug)]
pub struct Prefetch {
    /// `None` once the thread has been told to stop.
    batches: Option<Receiver<Result<Batch, DatasetError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Starts the thread; at most `depth` batches (1..=64) are waiting.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] for another depth; [`DatasetError::Io`] if the thread cannot be started.
    pub fn new(
        dataset: Dataset,
        plan: BatchPlan,
        first_step: u64,
        depth: usize,
    ) -> Result<Self, DatasetError> {
        if !(1..=64).contains(&depth) {
            return Err(DatasetError::option("prefetch depth", "1..=64", depth));
        }
        let (sender, batches) = sync_channel(depth);
        let work = move || {
            for step in first_step.. {
                let batch = plan.batch(&dataset, step);
                let failed = batch.is_err();
                // Nobody receives any more: the run is over.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("prefetch".to_owned()).spawn(work);
        let thread = thread.map_err(|source| DatasetError::Io {
            file: "the prefetch thread".to_owned(),
            action: "start",
            source,
        })?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }
}

impl Iterator for Prefetch {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batches.as_ref()?.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.batches = None;
                Some(Err(error))
            }
            // Without sending an error the thread ends only by a panic.
            Err(_) => {
                self.batches = None;
                Some(Err(DatasetError::PrefetchEnded))
            }
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Dropping the receiver wakes a sender that waits for space, with an error.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been reported as PrefetchEnded.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    fn set() -> Dataset {
        let images = Array4::from_shape_fn((9, 3, 3, 1), |(i, y, x, _)| (i * 20 + y * 3 + x) as u8);
        Dataset::from_array(images, None).unwrap()
    }

    #[test]
    fn the_same_batches_as_without() {
        let plan = BatchPlan::new(9, 4, 1).unwrap().with_flip(true);
        for depth in [1, 3] {
            let prefetch = Prefetch::new(set(), plan.clone(), 5, depth).unwrap();
            for (step, batch) in (5..25).zip(prefetch) {
                assert_eq!(batch.unwrap(), plan.batch(&set(), step).unwrap());
            }
        }
    }

    #[test]
    fn an_error_is_passed_on_and_ends_the_sequence() {
        let wrong = BatchPlan::new(8, 4, 1).unwrap();
        let mut prefetch = Prefetch::new(set(), wrong, 0, 2).unwrap();
        assert!(matches!(prefetch.next(), Some(Err(DatasetError::BadOption { .. }))));
        assert!(prefetch.next().is_none());
        assert!(Prefetch::new(set(), BatchPlan::new(9, 4, 1).unwrap(), 0, 0).is_err());
    }

    /// Drop joins the thread, so this returns only after the thread has noticed.
    #[test]
    fn dropping_it_ends_the_thread() {
        let shared = set();
        let mut prefetch = Prefetch::new(shared, BatchPlan::new(9, 4, 1).unwrap(), 0, 2).unwrap();
        assert!(prefetch.next().is_some());
        drop(prefetch);
    }
}
