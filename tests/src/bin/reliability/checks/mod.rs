//! The checks, in the order of the table.

mod bombs;
mod damage;
mod diagnostics;
mod disk;
mod exports;
mod faults;
pub(crate) mod fuzz;
#[cfg(unix)]
mod hostile;
mod hosts;
mod images;
mod keys;
mod kills;
mod memory;
mod nan;
mod order;
mod outputs;
mod pairs;
mod ranks;
mod resume;
mod signals;
mod values;

use crate::outcome::Check;

/// All checks.
pub(crate) const CHECKS: &[&Check] = &[
    &kills::CHECK,
    &resume::CHECK,
    &ranks::CHECK,
    &hosts::CHECK,
    &faults::CHECK,
    &damage::CHECK,
    &disk::CHECK,
    &exports::CHECK,
    &fuzz::CHECK,
    &bombs::CHECK,
    #[cfg(unix)]
    &hostile::CHECK,
    &values::CHECK,
    &keys::CHECK,
    &images::CHECK,
    &pairs::CHECK,
    &signals::CHECK,
    &nan::CHECK,
    &memory::CHECK,
    &diagnostics::CHECK,
    &outputs::CHECK,
];
