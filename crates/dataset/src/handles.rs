//! Files that stay open between reads: no more than a share of what the process may have open.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

/// Most files that stay open, whatever the limit of the process is.
const MOST: u64 = 128;
/// One file in so many that the process may have open. Other sets, checkpoints and the log need theirs.
const SHARE: u64 = 4;

/// The files of a set that are open, by their numbers.
#[derive(Debug)]
pub(crate) struct Handles {
    most: usize,
    /// The one used longest ago first.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

impl Handles {
    /// As many as the limit of this process allows now.
    pub(crate) fn new() -> Arc<Self> {
        Self::of(share(files::open_limit()))
    }

    /// At most `most` files.
    pub(crate) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A file that is open.
    pub(crate) fn get(&self, number: usize) -> Option<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.iter().position(|(other, _)| *other == number)?;
        let used = open.remove(place)?;
        let file = Arc::clone(&used.1);
        open.push_back(used);
        Some(file)
    }

    /// Keeps a file open, and closes those used longest ago in its place. A file that is being read is closed after that.
    pub(crate) fn keep(&self, number: usize, file: File) -> Arc<File> {
        let file = Arc::new(file);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(other, _)| *other != number);
        while open.len() >= self.most.max(1) {
            let _ = open.pop_front();
        }
        open.push_back((number, Arc::clone(&file)));
        file
    }
}

/// How many files stay open in a process that may open `limit`.
fn share(limit: Option<u64>) -> usize {
    limit.map_or(MOST, |limit| limit / SHARE).clamp(1, MOST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_limit_within_bounds() {
        for (limit, most) in
            [(Some(0), 1), (Some(7), 1), (Some(100), 25), (Some(256), 64), (Some(1024), 128), (None, 128)]
        {
            assert_eq!(share(limit), most, "{limit:?}");
        }
        assert_eq!(share(Some(u64::MAX)), 128);
    }

    #[test]
    fn the_file_used_longest_ago_is_closed() {
        let handles = Handles::of(2);
        let keep = |number| Arc::downgrade(&handles.keep(number, tempfile::tempfile().unwrap()));
        let (first, second) = (keep(0), keep(1));
        assert!(handles.get(0).is_some());
        let third = keep(2);
        assert!(second.upgrade().is_none() && handles.get(1).is_none());
        assert!(first.upgrade().is_some() && third.upgrade().is_some());
        // A second file of the same number takes the place of the first one.
        let again = keep(2);
        assert!(third.upgrade().is_none() && again.upgrade().is_some() && handles.get(0).is_some());
        // A file that is being read stays open until then.
        let reading = handles.get(2).unwrap();
        let (_, _) = (keep(3), keep(4));
        assert!(handles.get(2).is_none() && again.upgrade().is_some());
        drop(reading);
        assert!(again.upgrade().is_none());
    }
}
