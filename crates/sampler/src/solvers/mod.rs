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

pub use ancestral::euler_ancestral;
pub use ddim::ddim;
pub use ddpm::{ddpm, ddpm_learned};
pub use deis::{Deis, deis};
pub use dpmpp::{Correction, DpmPp, dpmpp};
pub use euler::{ChurnSettings, euler};
pub use heun::heun;
pub use pndm::pndm;
pub use unipc::{BFunction, UniPc, unipc};
