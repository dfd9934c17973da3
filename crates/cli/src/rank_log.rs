//! The log of a rank above 0: a file in the run folder, since one log on the screen is enough.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context;

static LOG: OnceLock<File> = OnceLock::new();

/// From here on this process logs to `ranks/rank-N.log` in the run folder, behind what is there.
pub(crate) fn open(run: &Path, rank: usize) -> anyhow::Result<()> {
    let folder = run.join("ranks");
    files::make_folder(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(format!("rank-{rank}.log"));
    let file = files::open_own(&path, OpenOptions::new().create(true).append(true));
    // A second call would be a bug in this program; there is only one.
    let _ = LOG.set(file.with_context(|| path.display().to_string())?);
    Ok(())
}

/// Writes to the log, if there is one; returns whether there is. As for standard error, a failure costs the line and no
/// more.
pub(crate) fn write(bytes: &[u8]) -> bool {
    let Some(mut file) = LOG.get() else { return false };
    let _ = file.write_all(bytes);
    true
}
