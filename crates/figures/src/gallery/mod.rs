//! One figure of the report a file.

mod blocks;
mod convergence;
mod embedding;
mod fast_and_slow;
mod fewer_steps;
mod forward_strips;
mod histograms;
mod loss;
mod one_step;
mod samples;
mod schedules;
mod sigmas;
mod solvers;
mod trajectories;
mod variations;

pub use blocks::SamplerBlocks;
pub use convergence::{SolverErrors, convergence};
pub use embedding::embedding;
pub use fast_and_slow::fast_and_slow;
pub use fewer_steps::fewer_steps;
pub use forward_strips::{Strip, forward_strips};
pub use histograms::{PixelValues, histograms};
pub use loss::{LossBucket, loss};
pub use one_step::{Moments, OneStep, one_step};
pub use samples::samples;
pub use schedules::{ScheduleCurves, schedules};
pub use sigmas::sigmas;
pub use solvers::solvers;
pub use trajectories::trajectories;
pub use variations::variations;

use ndarray::{Array5, ArrayView4, ArrayView5, Axis};

use crate::error::FiguresError;
use crate::{band::Band, check};

/// Pixels of a panel when three, two or one of them share a line.
const THIRD: (usize, usize) = (600, 450);
const HALF: (usize, usize) = (914, 520);
const FULL: (usize, usize) = (1856, 520);

/// One column a timestep, labelled with it.
fn time_columns(times: &[usize]) -> Vec<Band> {
    times.iter().map(|t| Band::new(t.to_string())).collect()
}

/// The rows of two arrays `[n, k, h, w, c]` in turn, as `[2 n, k, h, w, c]`.
fn alternate(
    what: &'static str,
    first: &ArrayView5<'_, u8>,
    second: &ArrayView5<'_, u8>,
) -> Result<Array5<u8>, FiguresError> {
    check::shape(what, first.shape(), second.shape())?;
    let (n, k, h, w, c) = first.dim();
    let mut rows = Array5::zeros((2 * n, k, h, w, c));
    let sources = first.outer_iter().zip(second.outer_iter()).flat_map(|(first, second)| [first, second]);
    for (mut row, source) in rows.outer_iter_mut().zip(sources) {
        row.assign(&source);
    }
    Ok(rows)
}

/// Images `[n, h, w, c]` in rows of `columns`: `[rows, columns, h, w, c]`, white after the last.
fn in_rows(images: &ArrayView4<'_, u8>, columns: usize) -> Array5<u8> {
    let (n, h, w, c) = images.dim();
    let columns = columns.clamp(1, n.max(1));
    let mut rows = Array5::from_elem((n.div_ceil(columns), columns, h, w, c), 255);
    for (index, image) in images.outer_iter().enumerate() {
        rows.index_axis_mut(Axis(0), index / columns).index_axis_mut(Axis(0), index % columns).assign(&image);
    }
    rows
}
