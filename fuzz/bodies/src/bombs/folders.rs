//! Endless folders.

use std::fs;
use std::io;
use std::path::Path;

use super::{Bomb, open_data};
use crate::png::{png, zlib};

#[cfg(unix)]
pub(super) const BOMBS: &[Bomb] = &[
    Bomb { name: "folder-linked-to-itself", plant: plant_loop, set_off: open_data },
    Bomb { name: "folders-linked-to-each-other", plant: plant_net, set_off: open_data },
];
#[cfg(not(unix))]
pub(super) const BOMBS: &[Bomb] = &[];

#[cfg(unix)]
fn plant_image(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("a.png"), png((1, 1), [8, 0], &[], &zlib(&[0, 9][..])))
}

#[cfg(unix)]
fn plant_loop(path: &Path) -> io::Result<()> {
    plant_image(&path.join("a"))?;
    // The loop is skipped; this file is refused.
    fs::write(path.join("a/broken.png"), [])?;
    std::os::unix::fs::symlink(path, path.join("a/up"))
}

/// Sixteen folders, each with links to all others: 16! paths lead through them.
#[cfg(unix)]
fn plant_net(path: &Path) -> io::Result<()> {
    for from in 0..16 {
        let folder = path.join(from.to_string());
        plant_image(&folder)?;
        for to in (0..16).filter(|&to| to != from) {
            std::os::unix::fs::symlink(path.join(to.to_string()), folder.join(format!("to-{to}")))?;
        }
    }
    Ok(())
}
