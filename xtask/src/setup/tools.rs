//! Programs that setup and the build need on the machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// The program `name` in PATH, using only absolute entries: others lead into the current folder, which may be
/// untrusted.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    in_folders(name, &env::var_os("PATH")?)
}

fn in_folders(name: &str, path: &OsString) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// `torch-sys` compiles C++: with `$CXX` if set, otherwise `c++`.
///
/// # Errors
/// When that compiler does not exist.
pub(crate) fn check_compiler() -> anyhow::Result<()> {
    let wanted = env::var("CXX").unwrap_or_default();
    // CXX may carry flags, as in `ccache g++`.
    let program = wanted.split_whitespace().next().unwrap_or("c++");
    if in_path(program).is_none() && !Path::new(program).is_file() {
        bail!(
            "C++ compiler: expected `{program}` in PATH to build against libtorch, found none; install one \
             (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install) or set CXX"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_the_program_wins() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(b.path().join("tool"), "").unwrap();
        std::fs::create_dir(a.path().join("tool")).unwrap();
        let path = env::join_paths([a.path(), b.path()]).unwrap();
        assert_eq!(in_folders("tool", &path), Some(b.path().join("tool")));
        assert_eq!(in_folders("other", &path), None);
        assert_eq!(in_folders("Cargo.toml", &OsString::from(":.:src/..")), None);
    }
}
