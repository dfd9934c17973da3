//! The file that grows while a sampling saves an archive, `samples.partial-00000.npy`: its name, and what becomes of one that
//! a killed sampling left in the same folder.

use std::fs;
use std::path::Path;

use anyhow::Context;
use dataset::GrowingNpy;
use tracing::info;

use crate::inputs;

/// The file name for a sampling that begins with image `first`.
pub(crate) fn name(first: usize) -> String {
    format!("samples.partial-{first:05}.npy")
}

/// The first image of the sampling whose file has this name; `None` for any name that [`name`] does not give.
fn first_of(file: &str) -> Option<usize> {
    let first = file.strip_prefix("samples.partial-")?.strip_suffix(".npy")?.parse().ok()?;
    (name(first) == file).then_some(first)
}

/// Removes what earlier samplings left in a folder: the file of a sampling that began with image `first`, and with `all`
/// those of every other one too.
///
/// # Errors
/// A file that cannot be removed.
pub(crate) fn remove_leftovers(folder: &Path, first: usize, all: bool) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| first_of(name).is_some_and(|found| all || found == first)) {
        let path = folder.join(&name);
        if is_own(&path) {
            fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
            info!("removed {name} of an earlier sampling from {}", folder.display());
        }
    }
    Ok(())
}

/// Whether a file has images as a sampling writes them, and no flag names it as an input.
fn is_own(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && inputs::reader(path).is_none() && GrowingNpy::is_at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised() {
        for first in [0, 7, 99_999, 123_456] {
            assert_eq!(first_of(&name(first)), Some(first));
        }
        for other in ["grid.png", "samples.npz", "samples.partial-.npy"] {
            assert_eq!(first_of(other), None, "{other}");
        }
        for digits in ["1", "+0001", "000001", "0001 "] {
            assert_eq!(first_of(&format!("samples.partial-{digits}.npy")), None, "{digits}");
        }
    }

    #[test]
    fn leftovers_go_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |first| folder.path().join(name(first));
        let exist = || [0, 3, 4].map(|first| at(first).exists());
        for first in [0, 3] {
            let _ = GrowingNpy::create(&at(first), [2, 2, 1]).unwrap();
        }
        fs::write(at(4), "mine").unwrap();
        remove_leftovers(folder.path(), 4, false).unwrap();
        assert_eq!(exist(), [true; 3]);
        remove_leftovers(folder.path(), 3, false).unwrap();
        assert_eq!(exist(), [true, false, true]);
        remove_leftovers(folder.path(), 3, true).unwrap();
        assert_eq!(exist(), [false, false, true]);
        assert_eq!(fs::read(at(4)).unwrap(), b"mine");
        remove_leftovers(&folder.path().join("none"), 0, true).unwrap();
    }
}
