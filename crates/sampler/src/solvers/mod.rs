//! The solvers, one algorithm a file: a grid of noise levels in, a list of [`crate::Stage`]s out.

mod ancestral;
mod ddim;
mod ddpm;
mod deis;
mod dpmpp;
mod euler;
mod heun;
mod pndm;
mod unipc;

use crate::grid::Grid;

pub use ancestral::euler_ancestral;
pub use ddim::ddim;
pub use ddpm::{ddpm, ddpm_learned};
pub use deis::{Deis, deis};
pub use dpmpp::{Correction, DpmPp, dpmpp};
pub use euler::{ChurnSettings, euler};
pub use heun::heun;
pub use pndm::pndm;
pub use unipc::{BFunction, UniPc, unipc};

/// Chains shorter than this end with lower orders, where a solver is asked to.
const SHORT: usize = 15;

/// The order of step i of a multistep solver: no more than there are values, 1 in the step to the data itself, and falling
/// to 1 at the end of short chains where that is wanted.
fn multistep_order(grid: &Grid, i: usize, order: usize, lower_order_final: bool) -> usize {
    let order = order.min(i + 1);
    if grid.level(i + 1).is_data() {
        1
    } else if lower_order_final && grid.steps() < SHORT {
        order.min(grid.steps() - i)
    } else {
        order
    }
}
