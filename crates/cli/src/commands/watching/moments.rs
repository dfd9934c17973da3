//! Moments of a chain, counted in steps done.

use crate::failure::bail_usage;

/// The t of finished images, one below that of the last step.
pub(super) const FINISHED: f64 = -1.0;

/// Most moments in a chain.
const MOST: usize = 64;

/// Evenly spaced over a chain: the first before any step, where there is only noise, the last after all steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moments {
    /// Steps done at each moment; ascending, without duplicates.
    done: Vec<usize>,
}

impl Moments {
    /// `count` moments of a chain of `steps`, 2 to `steps + 1`.
    pub(super) fn new(steps: usize, count: usize) -> anyhow::Result<Self> {
        check(count)?;
        if count - 1 > steps {
            bail_usage!(
                "--trajectory {count}: expected at most {} moments with {}: the noise, and the result of \
                 each step",
                steps + 1,
                files::counted(steps, "step")
            );
        }
        // Rounded to the nearest; at least one step apart, because count - 1 <= steps.
        let spaces = count - 1;
        Ok(Self { done: (0..count).map(|i| (2 * i * steps + spaces) / (2 * spaces)).collect() })
    }

    /// Number of moments.
    pub(super) fn count(&self) -> usize {
        self.done.len()
    }

    /// The index of the moment after this many steps, if there is one.
    pub(super) fn after(&self, steps: usize) -> Option<usize> {
        self.done.binary_search(&steps).ok()
    }
}

/// Refuses a number of moments that no chain has.
pub(super) fn check(count: usize) -> anyhow::Result<()> {
    if !(2..=MOST).contains(&count) {
        bail_usage!("--trajectory {count}: expected 2 (the noise and the samples) to {MOST} moments");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Moments;

    fn done(steps: usize, count: usize) -> Vec<usize> {
        Moments::new(steps, count).unwrap().done
    }

    #[test]
    fn from_noise_to_samples_evenly() {
        assert_eq!(done(1000, 5), [0, 250, 500, 750, 1000]);
        assert_eq!(done(50, 4), [0, 17, 33, 50]);
        assert_eq!(done(1, 2), [0, 1]);
        assert_eq!(done(5, 6), [0, 1, 2, 3, 4, 5]);
        for steps in 1..200 {
            for count in 2..=64.min(steps + 1) {
                let done = done(steps, count);
                assert_eq!((done.len(), done[0], done[count - 1]), (count, 0, steps));
                let (shortest, longest) = (steps / (count - 1), steps.div_ceil(count - 1));
                let even = |pair: &[usize]| (shortest..=longest).contains(&(pair[1] - pair[0]));
                assert!(done.windows(2).all(even), "{steps} {done:?}");
            }
        }
    }

    #[test]
    fn a_moment_knows_its_place() {
        let moments = Moments::new(10, 3).unwrap();
        assert_eq!(
            [0, 1, 5, 10, 11].map(|steps| moments.after(steps)),
            [Some(0), None, Some(1), Some(2), None]
        );
    }

    #[test]
    fn too_few_and_too_many() {
        for (steps, count) in [(100, 0), (100, 1), (100, 65), (10, 12), (1, 3)] {
            assert!(Moments::new(steps, count).is_err(), "{steps} {count}");
        }
        assert!(Moments::new(63, 64).is_ok());
    }
}
