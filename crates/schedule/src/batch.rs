//! Weighted sums of two batches with one pair of weights for each batch element.

use ndarray::{ArrayD, NdFloat};

use crate::ScheduleError;

mod sealed {
    /// Keeps [`super::Element`] to the types listed in this file.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The number types that images come in: `f32` and `f64`.
pub trait Element: NdFloat + sealed::Sealed {
    /// Rounds a table entry to this type.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Element for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// `w_a[i] a[i] + w_b[i] b[i]` for each batch element i, where `weights(t[i])` gives both weights.
///
/// `a`, `b` and the result share one shape, `[b, ...]`. `b` comes with its name for the error about a wrong shape.
/// Weights are f64 and rounded to `A` once.
pub(crate) fn combine<A: Element>(
    a: &ArrayD<A>,
    (b_name, b): (&'static str, &ArrayD<A>),
    t: &[usize],
    steps: usize,
    weights: impl Fn(usize) -> (f64, f64),
) -> Result<ArrayD<A>, ScheduleError> {
    if b.shape() != a.shape() {
        return Err(ScheduleError::Shape {
            what: b_name,
            expected: a.shape().to_vec(),
            got: b.shape().to_vec(),
        });
    }
    check_batch(a, t, steps)?;
    let mut sum = a.clone();
    for ((mut row, other), &t) in sum.outer_iter_mut().zip(b.outer_iter()).zip(t) {
        let (w_a, w_b) = weights(t);
        let (w_a, w_b) = (A::from_f64(w_a), A::from_f64(w_b));
        row.zip_mut_with(&other, |a, &b| *a = w_a * *a + w_b * b);
    }
    Ok(sum)
}

/// `weight(t[i]) a[i]` for each batch element i.
pub(crate) fn scale<A: Element>(
    a: &ArrayD<A>,
    t: &[usize],
    steps: usize,
    weight: impl Fn(usize) -> f64,
) -> Result<ArrayD<A>, ScheduleError> {
    check_batch(a, t, steps)?;
    let mut scaled = a.clone();
    for (mut row, &t) in scaled.outer_iter_mut().zip(t) {
        let weight = A::from_f64(weight(t));
        row.mapv_inplace(|a| weight * a);
    }
    Ok(scaled)
}

/// Checks for one t in `0..steps` for each element of axis 0. An array without axes has no batch and is refused.
fn check_batch<A>(a: &ArrayD<A>, t: &[usize], steps: usize) -> Result<(), ScheduleError> {
    match a.shape().first() {
        Some(&batch) if batch == t.len() => {}
        batch => {
            return Err(ScheduleError::Batch { expected: batch.copied().unwrap_or(0), got: t.len() });
        }
    }
    match t.iter().find(|&&t| t >= steps) {
        Some(&got) => Err(ScheduleError::Timestep { steps, got }),
        None => Ok(()),
    }
}
