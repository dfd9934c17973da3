//! Small files that ask for much, and the cost of refusing each, measured in a separate process.
//!
//! A bomb is planted in a folder and opened the way the program would open it. It must be refused within
//! [`MAX_SECONDS`] and [`MAX_MIB`] above an idle process. The large part may be where nobody looks, or just below a
//! limit. Such a bomb has another fault as well, and the cost is that of finding it.

mod arrays;
mod folders;
mod measure;
mod pictures;
mod tables;
mod tars;
mod texts;

use std::io;
use std::path::Path;

pub use measure::{Cost, IDLE, measure, serve};

/// Time limit for a bomb, in seconds.
pub const MAX_SECONDS: f64 = 1.0;
/// Memory limit for a bomb above an idle process, in MiB.
pub const MAX_MIB: f64 = 64.0;

/// A bomb.
#[derive(Debug, Clone, Copy)]
pub struct Bomb {
    /// Its name.
    pub name: &'static str,
    /// Writes it into an empty folder.
    pub plant: fn(&Path) -> io::Result<()>,
    /// Opens it; the error comes from the crate that refused it.
    pub set_off: fn(&Path) -> Result<(), String>,
}

/// All bombs.
#[must_use]
pub fn all() -> Vec<Bomb> {
    [arrays::BOMBS, pictures::BOMBS, tars::BOMBS, tables::BOMBS, folders::BOMBS, texts::BOMBS].concat()
}

/// Opens a file or folder as data.
fn open_data(path: &Path) -> Result<(), String> {
    let spec = path.to_string_lossy();
    let source = dataset::Source::detect(&spec).map_err(|e| e.to_string())?;
    dataset::Dataset::open(&source, &dataset::OpenOptions::default()).map(drop).map_err(|e| e.to_string())
}
