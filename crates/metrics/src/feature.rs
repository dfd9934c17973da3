//! Features in f32 or f64, as whole arrays or views.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};

/// A number of a feature: f32 or f64. Sums are in f64 for both.
pub trait Feature: Copy + Into<f64> + Send + Sync {}

impl<T: Copy + Into<f64> + Send + Sync> Feature for T {}

/// Rows converted to f64 at a time. Two such blocks and their product take a few MB per thread. The blocks, and so
/// the order of sums, are the same for any number of threads.
pub(crate) const BLOCK: usize = 512;

/// `0..count` in blocks.
pub(crate) fn blocks(count: usize) -> Vec<Range<usize>> {
    (0..count).step_by(BLOCK).map(|first| first..(first + BLOCK).min(count)).collect()
}

/// Some rows in f64.
pub(crate) fn wide<A: Feature>(rows: ArrayView2<'_, A>, which: Range<usize>) -> Array2<f64> {
    rows.slice_axis(Axis(0), which.into()).mapv(Into::into)
}
