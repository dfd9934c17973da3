//! Small files that ask for much: what refusing each costs, measured in a process of its own.
//!
//! A bomb is planted in a folder and set off the way the program would meet it. It has to be refused within [`MAX_SECONDS`]
//! and [`MAX_MIB`] above an idle process. What is large may lie where nobody looks, or just below a limit: such a bomb has
//! another fault as well, and the cost is that of finding it.

mod arrays;
mod folders;
mod measure;
mod pictures;
mod texts;

use std::io;
use std::path::Path;

pub use measure::{Cost, IDLE, measure, serve};

/// A bomb takes less time than this, in seconds.
pub const MAX_SECONDS: f64 = 1.0;
/// A bomb takes less memory than this above an idle process, in MiB.
pub const MAX_MIB: f64 = 64.0;

/// A bomb.
#[derive(Debug, Clone, Copy)]
pub struct Bomb {
    /// Its name.
    pub name: &'static str,
    /// Writes it into an empty folder.
    pub plant: fn(&Path) -> io::Result<()>,
    /// Opens it; the error is that of the crate that refused.
    pub set_off: fn(&Path) -> Result<(), String>,
}

/// All bombs.
#[must_use]
pub fn all() -> Vec<Bomb> {
    [arrays::BOMBS, pictures::BOMBS, folders::BOMBS, texts::BOMBS].concat()
}

/// Opens a file or folder as data.
fn open_data(path: &Path) -> Result<(), String> {
    let spec = path.to_string_lossy();
    let source = dataset::Source::detect(&spec).map_err(|e| e.to_string())?;
    dataset::Dataset::open(&source, &dataset::OpenOptions::default()).map(drop).map_err(|e| e.to_string())
}
