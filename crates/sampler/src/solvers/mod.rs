//! The solvers, one algorithm a file: a grid of noise levels in, a list of [`crate::Stage`]s out.

mod ancestral;
mod consistency;
mod ddim;
mod ddpm;
mod deis;
mod dpmpp;
mod euler;
mod heun;
mod pndm;
mod unipc;

use crate::grid::Grid;
use crate::stage::{Stage, Sum, transfer};

pub use ancestral::euler_ancestral;
pub use consistency::consistency;
pub use ddim::ddim;
pub use ddpm::{ddpm, ddpm_learned};
pub use deis::{Deis, deis};
pub use dpmpp::{Correction, DpmPp, dpmpp};
pub use euler::{ChurnSettings, euler};
pub use heun::heun;
pub use pndm::pndm;
pub use unipc::{BFunction, UniPc, unipc};

/// Chains shorter than this end with lower orders, if the solver's settings say so.
const SHORT: usize = 15;

/// The first step from a level without any signal, for the solvers that remember eps. There eps does not determine
/// `x_0`, so only this step has no form in eps, and nothing of it is remembered.
fn out_of_nothing(grid: &Grid) -> Option<Stage> {
    let (from, to) = (grid.level(0), grid.level(1));
    let (x, x_0) = transfer(from, to);
    (from.alpha == 0.0).then(|| Stage { forget: 1, ..Stage::new(from, Sum::of_x(x, &[x_0])) })
}

/// The order of step i of a multistep solver. It is at most `known`, the number of values available including that of
/// step i. It is 1 in the step to the data itself, and with `lower_order_final` it falls to 1 at the end of short
/// chains.
fn multistep_order(grid: &Grid, i: usize, known: usize, order: usize, lower_order_final: bool) -> usize {
    let order = order.min(known);
    if grid.level(i + 1).is_data() {
        1
    } else if lower_order_final && grid.steps() < SHORT {
        order.min(grid.steps() - i)
    } else {
        order
    }
}
