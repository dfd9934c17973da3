//! Small files that ask for much: what refusing each costs, measured in a process of its own.
//!
//! A bomb is planted in a folder and set off the way the program would meet it. It has to be refused, or to be harmless,
//! within [`MAX_SECONDS`] and [`MAX_MIB`] above an idle process.

mod arrays;
mod folders;
mod measure;
mod pictures;

use std::io;
use std::path::Path;

pub use measure::{Cost, IDLE, measure, serve};

/// A bomb takes less time than this, in seconds.
pub const MAX_SECONDS: f64 = 1.0;
/// A bomb takes less memory than this above an idle process, in MiB.
pub const MAX_MIB: f64 = 64.0;

/// What should come of a bomb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An error.
    Refused,
    /// Either; when it is read, what is large is skipped, or is as much as any small file is granted.
    Harmless,
}

/// A bomb.
#[derive(Debug, Clone, Copy)]
pub struct Bomb {
    /// Its name.
    pub name: &'static str,
    /// What should come of it.
    pub outcome: Outcome,
    /// Writes it into an empty folder.
    pub plant: fn(&Path) -> io::Result<()>,
    /// Opens it; the error is that of the crate that refused.
    pub set_off: fn(&Path) -> Result<(), String>,
}

/// All bombs.
#[must_use]
pub fn all() -> Vec<Bomb> {
    [arrays::BOMBS, pictures::BOMBS, folders::BOMBS].concat()
}

/// Opens a file or folder as data.
fn open_data(path: &Path) -> Result<(), String> {
    let spec = path.to_string_lossy();
    let source = dataset::Source::detect(&spec).map_err(|e| e.to_string())?;
    dataset::Dataset::open(&source, &dataset::OpenOptions::default()).map(drop).map_err(|e| e.to_string())
}
