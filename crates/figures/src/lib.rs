//! Draws what a diffusion model makes and how it was trained: grids, strips, animations and plots as PNG, and a report
//! in HTML. Arrays in, bytes out. `cargo run -p figures --example side_by_side -- out.png` draws a grid.
//!
//! Nothing here draws random numbers, reads the clock or uses libtorch: the same arrays give the same bytes. Images
//! are u8, `[.., h, w, c]` with `c` 1 (grey) or 3 (RGB); t runs over `0..T` as everywhere in this workspace (the
//! paper's 1..=T).
//!
//! - [`grid`] lays out plain images side by side, [`Sheet`] adds labels.
//! - [`Animation`] shows pictures one after another, and [`grid_frames`] makes grids for it; [`denoising_strip`] is
//!   one picture of the reverse process.
//! - One function per figure, numbered as in the report: [`schedules`] (1), [`forward_strips`] (2),
//!   [`one_step`] (3), [`histograms`] (4), [`embedding`] (5), [`loss`] (6), [`samples`] (7),
//!   [`trajectories`] (8), [`sigmas`] (9), [`variations`] (10), [`fewer_steps`] (11), [`solvers`] (12),
//!   [`fast_and_slow`] (13), [`convergence`] (14), [`guidance`] (15), [`interpolation`]
//!   (16), [`inpainting`] (17), [`encoding`] (18), [`upscaling`] (19), [`bits`] (20).
//! - [`loss_curves`] and [`sample_grids`] show several runs side by side.
//! - Two figures are not part of the report: [`scaling`] shows how time and memory of a training step grow,
//!   [`ablation`] the metric of many trainings.
//! - [`Report`] combines [`Section`]s, which can be made from [`Figure`]s, into one self-contained HTML file; a
//!   [`Slider`] steps through images there.

mod animation;
mod axis;
mod band;
mod canvas;
mod check;
mod dark;
mod denoising;
mod equation;
mod error;
mod figure;
mod gallery;
mod grid;
mod heat_map;
mod legible;
mod page;
mod plot;
mod report;
mod rows;
mod sheet;
mod shrink;
mod text;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use ndarray;

pub use animation::{Animation, grid_frames};
pub use band::Band;
pub use canvas::Canvas;
pub use denoising::denoising_strip;
pub use equation::equation_html;
pub use error::FiguresError;
pub use figure::{Figure, Table};
pub use gallery::{
    AblationGroup, AblationLine, Bits, ClassBlocks, EditRows, LossBucket, LossCurve, LossText, Moments,
    OneStep, PixelValues, SamplerBlocks, ScalingPanel, ScheduleCurves, SolverErrors, Strip, ablation, bits,
    convergence, embedding, encoding, fast_and_slow, fewer_steps, forward_strips, guidance, histograms,
    inpainting, interpolation, loss, loss_curves, one_step, sample_grids, samples, scaling, schedules,
    sigmas, solvers, trajectories, upscaling, variations,
};
pub use grid::{grid, square_columns};
pub use report::{Block, Frame, Report, Section, Slider, SliderRoom, SliderText};
pub use sheet::{Sheet, SheetLayout};
