//! Which timesteps a shorter chain keeps: `n` of `T`, ascending, each once.

use crate::names::named;
use crate::{ScheduleError, beta};

/// How the kept timesteps are spread over `0..T`. They differ most at the ends: whether the chain starts from the
/// noisiest step (T - 1) and whether it ends at the cleanest (0).
///
/// | | first kept | last kept, for n of T | n = 1 |
/// |---|---|---|---|
/// | `Leading` | 0 | (n - 1) floor(T / n), below T - 1 unless n = T | 0 |
/// | `Trailing` | about T / n - 1 | T - 1 | T - 1 |
/// | `Linspace` | 0 | T - 1 | 0 |
/// | `Quadratic` | 0 | about 0.8 T | 0 |
///
/// A sampler that starts from pure noise should start at T - 1 (Lin et al. 2024, Sec. 3.3), which only
/// `Trailing` and `Linspace` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Spacing {
    /// `i floor(T / n)`: diffusers' `leading` with `steps_offset = 0`, and the "linear" choice of Song et al.
    /// 2021 ("Denoising Diffusion Implicit Models", App. D.2).
    Leading,
    /// `round(T - j T / n) - 1` for j = n - 1 down to 0: diffusers' `trailing`.
    Trailing,
    /// `round(i (T - 1) / (n - 1))`: diffusers' `linspace`.
    Linspace,
    /// `floor((i sqrt(0.8 T) / (n - 1))^2)`: the "quadratic" choice of Song et al. 2021 (App. D.2), with the
    /// factor 0.8 of their code. More steps lie near the data.
    ///
    /// With many steps the first values coincide (0, 0, 1, ... for 48 of 1000). Each such value moves up by the least
    /// that makes it distinct, so that the chain has n steps.
    Quadratic,
}

named!(Spacing, "spacing": "leading" => Leading, "trailing" => Trailing, "linspace" => Linspace, "quadratic" => Quadratic);

/// `steps` timesteps out of `0..train_steps`: ascending, distinct. A sampler goes through them backwards.
///
/// Rounding is to the nearest, halves to even, as in numpy, so the values are those of the Python
/// libraries.
///
/// # Errors
/// [`ScheduleError::Steps`] for a `train_steps` out of range; [`ScheduleError::ShortSteps`] when `steps` is not in
/// `1..=train_steps`.
///
/// ```
/// use schedule::{Spacing, timesteps};
/// assert_eq!(timesteps(Spacing::Leading, 1000, 4)?, [0, 250, 500, 750]);
/// assert_eq!(timesteps(Spacing::Trailing, 1000, 4)?, [249, 499, 749, 999]);
/// assert_eq!(timesteps(Spacing::Linspace, 1000, 4)?, [0, 333, 666, 999]);
/// assert_eq!(timesteps(Spacing::Quadratic, 1000, 4)?, [0, 88, 355, 800]);
/// # Ok::<(), schedule::ScheduleError>(())
/// ```
pub fn timesteps(spacing: Spacing, train_steps: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    beta::check_steps(train_steps)?;
    if !(1..=train_steps).contains(&steps) {
        return Err(ScheduleError::ShortSteps { train_steps, got: steps });
    }
    Ok(match spacing {
        Spacing::Leading => (0..steps).map(|i| i * (train_steps / steps)).collect(),
        Spacing::Trailing => trailing(train_steps, steps),
        Spacing::Linspace => {
            linspace((train_steps - 1) as f64, steps).map(|value| value.round_ties_even() as usize).collect()
        }
        Spacing::Quadratic => quadratic(train_steps, steps),
    })
}

fn trailing(train_steps: usize, steps: usize) -> Vec<usize> {
    let end = train_steps as f64;
    // The difference as rounded at the size of T, as in numpy's arange: it decides how halves round.
    let difference = (end - end / steps as f64) - end;
    (0..steps).rev().map(|j| (end + j as f64 * difference).round_ties_even() as usize - 1).collect()
}

fn quadratic(train_steps: usize, steps: usize) -> Vec<usize> {
    let mut least = 0;
    linspace((0.8 * train_steps as f64).sqrt(), steps)
        .map(|root| {
            let t = ((root * root) as usize).max(least);
            least = t + 1;
            t
        })
        .collect()
}

/// `n` evenly spaced values from 0 to `end`, both included; only 0 for n = 1.
fn linspace(end: f64, n: usize) -> impl Iterator<Item = f64> {
    let step = if n > 1 { end / (n - 1) as f64 } else { 0.0 };
    (0..n).map(move |i| if i > 0 && i == n - 1 { end } else { i as f64 * step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Spacing; 4] = [Spacing::Leading, Spacing::Trailing, Spacing::Linspace, Spacing::Quadratic];

    /// From numpy: `arange(n) * (T // n)`; `round(arange(T, 0, -T / n)) - 1`; `round(linspace(0, T - 1, n))`;
    /// `int(s)` of `linspace(0, sqrt(0.8 T), n) ** 2`.
    #[test]
    fn goldens() {
        for (spacing, train_steps, want) in [
            (Spacing::Leading, 1000, vec![0, 142, 284, 426, 568, 710, 852]),
            (Spacing::Trailing, 1000, vec![142, 285, 428, 570, 713, 856, 999]),
            (Spacing::Linspace, 1000, vec![0, 166, 333, 500, 666, 832, 999]),
            (Spacing::Quadratic, 1000, vec![0, 22, 88, 200, 355, 555, 800]),
            (Spacing::Leading, 1000, vec![0, 100, 200, 300, 400, 500, 600, 700, 800, 900]),
            (Spacing::Trailing, 1000, vec![99, 199, 299, 399, 499, 599, 699, 799, 899, 999]),
            (Spacing::Linspace, 1000, vec![0, 111, 222, 333, 444, 555, 666, 777, 888, 999]),
            (Spacing::Quadratic, 1000, vec![0, 9, 39, 88, 158, 246, 355, 483, 632, 800]),
            (Spacing::Trailing, 50, vec![5, 11, 18, 24, 30, 37, 43, 49]),
            // numpy gives 0, 0, 3, ...: the second 0 moves up.
            (Spacing::Quadratic, 50, vec![0, 1, 3, 7, 13, 20, 29, 40]),
        ] {
            assert_eq!(timesteps(spacing, train_steps, want.len()).unwrap(), want, "{spacing}");
        }
    }

    /// Halves such as 62.5 round as in numpy.
    #[test]
    fn trailing_rounds_halves_as_numpy() {
        let got = timesteps(Spacing::Trailing, 1000, 48).unwrap();
        assert_eq!(got[..8], [20, 41, 61, 82, 103, 124, 145, 166]);
        assert_eq!(got[40..], [853, 874, 895, 916, 936, 957, 978, 999]);
    }

    #[test]
    fn one_step() {
        let first: Vec<_> = ALL.iter().map(|&spacing| timesteps(spacing, 1000, 1).unwrap()).collect();
        assert_eq!(first, [[0], [999], [0], [0]]);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for spacing in ALL {
            for got in [0, 11, usize::MAX] {
                let wrong = ScheduleError::ShortSteps { train_steps: 10, got };
                assert_eq!(timesteps(spacing, 10, got), Err(wrong));
            }
            assert_eq!(timesteps(spacing, 1, 1), Err(ScheduleError::Steps { got: 1 }));
        }
    }

    proptest! {
        #[test]
        fn ascending_distinct_in_range(train_steps in 2_usize..2000, part in 0.0_f64..1.0) {
            let steps = 1 + (part * train_steps as f64) as usize;
            for spacing in ALL {
                let kept = timesteps(spacing, train_steps, steps).unwrap();
                prop_assert_eq!(kept.len(), steps);
                prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "{}: {:?}", spacing, kept);
                prop_assert!(kept.iter().all(|&t| t < train_steps));
                match spacing {
                    Spacing::Trailing => prop_assert_eq!(kept[steps - 1], train_steps - 1),
                    _ => prop_assert_eq!(kept[0], 0),
                }
            }
        }

        #[test]
        fn the_whole_chain_is_itself(steps in 2_usize..2000) {
            for spacing in ALL {
                prop_assert!(timesteps(spacing, steps, steps).unwrap().into_iter().eq(0..steps));
            }
        }
    }
}
