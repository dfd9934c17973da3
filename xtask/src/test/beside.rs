//! Work that runs beside other work, on all processors.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Calls `work` for every item, `workers` at a time, the first items first. The results are in the order of the items.
pub(super) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    workers: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                loop {
                    // A statement of its own, which unlocks the queue before the work starts.
                    let next = lock(&queue).next();
                    let Some((place, item)) = next else { return };
                    let result = work(item);
                    lock(&done).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The number of processors that this process may use.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for workers in [0, 1, 3, 50] {
            let squares = side_by_side((0..20).collect(), workers, |number: u32| number * number);
            assert_eq!(squares, (0..20).map(|number| number * number).collect::<Vec<_>>(), "{workers}");
        }
        assert!(side_by_side(Vec::<u32>::new(), 2, |number| number).is_empty());
    }

    /// One at a time, the first would wait forever for the second.
    #[test]
    fn items_are_worked_on_at_the_same_time() {
        let both = Barrier::new(2);
        side_by_side(vec![(), ()], 2, |()| {
            both.wait();
        });
    }
}
