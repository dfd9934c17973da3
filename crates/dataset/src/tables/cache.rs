//! Keeps the pages that were read last. Which images are read, and in which order, does not depend on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Rows;
use crate::unread::Unread;

/// Bytes that are kept unless another limit is set: enough for neighbouring images that are read together.
const KEPT: u64 = 256 << 20;
/// Of pages with more bytes than this, one at a time is decompressed.
const LARGE: u64 = 64 << 20;

/// The pages in memory.
#[derive(Debug)]
pub(super) struct Cache {
    limit: AtomicU64,
    held: Mutex<Held>,
    /// Held while a large page is decompressed.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    /// With their numbers and sizes, the oldest first.
    pages: VecDeque<(usize, u64, Arc<Kept>)>,
    bytes: u64,
}

/// A page, decompressed by the first thread that needs it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    rows: OnceLock<Result<Rows, Unread>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { limit: KEPT.into(), held: Mutex::default(), turn: Mutex::default() }
    }
}

impl Kept {
    /// Its values. The error gives the reason.
    pub(super) fn rows(&self) -> Result<&Rows, Unread> {
        match self.rows.get() {
            Some(Ok(rows)) => Ok(rows),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("expected a page, found none".into()),
        }
    }
}

impl Cache {
    /// Sets the maximum number of bytes. A single page may take more.
    pub(super) fn limit_to(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes in memory, or about to be read.
    pub(super) fn held(&self) -> u64 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// The page with a number, which takes `size` bytes; `read` is called if it is not kept.
    pub(super) fn page(
        &self,
        number: usize,
        size: u64,
        read: impl FnOnce() -> Result<Rows, Unread>,
    ) -> Arc<Kept> {
        let page = self.entry(number, size);
        let _ = page.rows.get_or_init(|| {
            let _turn = (size > LARGE).then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
            read()
        });
        page
    }

    fn entry(&self, number: usize, size: u64) -> Arc<Kept> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., page)) = held.pages.iter().find(|(other, ..)| *other == number) {
            return Arc::clone(page);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        while held.bytes.saturating_add(size) > limit {
            let Some((_, oldest, _)) = held.pages.pop_front() else { break };
            held.bytes -= oldest;
        }
        let page = Arc::<Kept>::default();
        held.bytes += size;
        held.pages.push_back((number, size, Arc::clone(&page)));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pages_make_room() {
        let cache = Cache::default();
        cache.limit_to(30);
        let reads = std::cell::Cell::new(0);
        let read = |number: usize, size: u64| {
            let page = cache.page(number, size, || {
                reads.set(reads.get() + 1);
                Err(Unread::Image(format!("page {number}")))
            });
            // What failed is not tried again while it is kept.
            assert_eq!(page.rows().unwrap_err(), Unread::Image(format!("page {number}")));
        };
        for number in [1, 2, 3, 1, 2, 3] {
            read(number, 10);
        }
        assert_eq!((reads.get(), cache.held()), (3, 30));
        read(4, 15);
        assert_eq!((reads.get(), cache.held()), (4, 25));
        read(3, 10);
        read(1, 10);
        assert_eq!((reads.get(), cache.held()), (5, 25));
        // A page above the limit is kept alone.
        read(5, 100);
        assert_eq!((reads.get(), cache.held()), (6, 100));
        read(3, 10);
        assert_eq!((reads.get(), cache.held()), (7, 10));
    }
}
