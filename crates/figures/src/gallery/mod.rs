//! The figures of the report, one per file.

mod ablation;
mod bits;
mod blocks;
mod comparison;
mod convergence;
mod edits;
mod embedding;
mod fast_and_slow;
mod fewer_steps;
mod forward_strips;
mod guidance;
mod histograms;
mod loss;
mod one_step;
#[cfg(test)]
mod readable;
mod samples;
mod scaling;
mod schedules;
mod sigmas;
mod solvers;
mod trajectories;
mod variations;

pub use ablation::{AblationGroup, AblationLine, ablation};
pub use bits::{Bits, bits};
pub use blocks::SamplerBlocks;
pub use comparison::{LossCurve, loss_curves, sample_grids};
pub use convergence::{SolverErrors, convergence};
pub use edits::{EditRows, encoding, inpainting, interpolation, upscaling};
pub use embedding::embedding;
pub use fast_and_slow::fast_and_slow;
pub use fewer_steps::fewer_steps;
pub use forward_strips::{Strip, forward_strips};
pub use guidance::{ClassBlocks, guidance};
pub use histograms::{PixelValues, histograms};
pub use loss::{LossBucket, LossText, loss};
pub use one_step::{Moments, OneStep, one_step};
pub use samples::samples;
pub use scaling::{ScalingPanel, scaling};
pub use schedules::{ScheduleCurves, schedules};
pub use sigmas::sigmas;
pub use solvers::solvers;
pub use trajectories::trajectories;
pub use variations::variations;

use crate::band::Band;
use crate::legible::INSIDE;
use crate::page::COLUMN_GAP;

/// Pixels of a panel when two of them share a line, and of one alone. More than two would be too small on a phone.
const HALF: (usize, usize) = ((INSIDE - COLUMN_GAP) / 2, 460);
const FULL: (usize, usize) = (INSIDE, 460);

/// One column per timestep, labelled with it.
fn time_columns(times: &[usize]) -> Vec<Band> {
    times.iter().map(|t| Band::new(t.to_string())).collect()
}
