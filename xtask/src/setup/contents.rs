//! The libraries that setup installed, with their sizes, since the stamp alone does not show that they still exist.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

const FILE: &str = "contents";

/// The library folders; those that a setup does not have are skipped.
const FOLDERS: [&str; 3] = ["torch/lib", "torch/lib-cuda", "nvidia"];

/// Every setup has one of these. libtorch_cpu.dylib is for macOS.
const ALWAYS: [&[&str]; 1] = [&["torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cpu.dylib"]];

/// Writes the list of the current content of `home`.
pub(crate) fn note(home: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for folder in FOLDERS {
        list(home, Path::new(folder), &mut lines);
    }
    lines.sort();
    let path = home.join(FILE);
    fs::write(&path, lines.concat()).with_context(|| format!("{} cannot be written", path.display()))
}

/// What has changed since: the first file that is missing or has another size.
pub(crate) fn changed(home: &Path) -> Option<String> {
    for names in ALWAYS {
        if !names.iter().any(|name| home.join(name).is_file()) {
            return Some(format!("{} is missing", names[0]));
        }
    }
    // Setups of earlier versions wrote no list.
    let text = fs::read_to_string(home.join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(' ')).find_map(|(size, name)| {
        match home.join(name).metadata() {
            Err(_) => Some(format!("{name} is missing")),
            Ok(found) if found.len().to_string() != size => {
                Some(format!("{name} has {}, not {size}", files::counted(found.len(), "byte")))
            }
            Ok(_) => None,
        }
    })
}

/// Lists the files below a folder, one per line: size, space, name.
fn list(home: &Path, folder: &Path, lines: &mut Vec<String>) {
    let entries = fs::read_dir(home.join(folder)).into_iter().flatten().flatten();
    for entry in entries {
        let name: PathBuf = folder.join(entry.file_name());
        match home.join(&name).metadata() {
            // A link may lead anywhere, even up.
            Ok(found) if found.is_dir() && !entry.path().is_symlink() => list(home, &name, lines),
            Ok(found) if found.is_file() => lines.push(format!("{} {}\n", found.len(), name.display())),
            _ => {}
        }
    }
}

/// Removes the list.
#[cfg(test)]
pub(crate) fn forget(home: &Path) {
    fs::remove_file(home.join(FILE)).unwrap();
}
