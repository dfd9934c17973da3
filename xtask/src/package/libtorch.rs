//! The CPU part of libtorch, as provided by setup, and the two CUDA libraries it is linked against.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::{copy, copy_files, make};
use crate::setup;
use crate::setup::unpack::LICENCES;
use crate::workspace::Workspace;

/// A file beside `lib/`, for `ddpm doctor`.
const VERSION: &str = "build-version";

/// What to copy.
#[derive(Debug)]
pub(super) struct Files {
    libraries: Vec<PathBuf>,
    version: PathBuf,
    /// Licences of these libraries: a folder for each package they came in.
    licences: Vec<PathBuf>,
}

/// Collects the libraries, after checking that they come from `cargo xtask setup`.
///
/// # Errors
/// When the user has a libtorch of their own, whose dependencies are unknown.
pub(super) fn files(workspace: &Workspace) -> anyhow::Result<Files> {
    setup::ensure(workspace)?;
    let home = workspace.libtorch();
    let is_link = fs::symlink_metadata(home.join("torch")).is_ok_and(|meta| meta.is_symlink());
    if setup::libtorch_of_the_user(workspace).is_some() || is_link {
        bail!(
            "--with-libtorch: expected the libtorch of `cargo xtask setup`, found one of your own; leave it out"
        );
    }
    of(&home)
}

fn of(home: &Path) -> anyhow::Result<Files> {
    let mut libraries = shared_objects(&home.join("torch/lib"))?;
    // A linker script, useless without the linker.
    libraries.retain(|path| path.file_name() != Some(OsStr::new("libtorch.so")));
    ensure!(
        libraries.iter().any(|path| path.ends_with("libtorch_cpu.so")),
        "{}: expected torch/lib/libtorch_cpu.so in it, found none; `cargo xtask setup` provides it",
        home.display()
    );
    for toolkit in fs::read_dir(home.join("nvidia")).into_iter().flatten().flatten() {
        // With a GPU the other CUDA libraries are there too: gigabytes that the CPU part does not need.
        let needed = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libcudart.") || name.starts_with("libcupti.")
        };
        libraries.extend(shared_objects(&toolkit.path().join("lib"))?.into_iter().filter(needed));
    }
    let licences = licences(&home.join(LICENCES))?;
    Ok(Files { libraries, version: home.join("torch").join(VERSION), licences })
}

/// One folder for each package with these libraries; all must exist.
fn licences(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        found.push(entry?.path());
    }
    found.sort();
    let has = |package: &str| {
        let begins =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(package));
        found.iter().any(begins)
    };
    for package in ["torch-", "nvidia_cuda_runtime-", "nvidia_cuda_cupti-"] {
        ensure!(has(package), "{}: expected the licences of {package}..., found none", folder.display());
    }
    Ok(found)
}

fn shared_objects(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && (name.ends_with(".so") || name.contains(".so.")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Copies into `lib/` of a package: one folder, since LD_LIBRARY_PATH names one.
pub(super) fn copy_to(files: &Files, package: &Path) -> anyhow::Result<()> {
    let lib = package.join("lib");
    make(&lib)?;
    for path in &files.libraries {
        copy(path, &lib.join(path.file_name().unwrap_or_default()))?;
    }
    for folder in &files.licences {
        copy_files(folder, &package.join("licences/libtorch").join(folder.file_name().unwrap_or_default()))?;
    }
    copy(&files.version, &package.join(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_part_and_what_it_is_linked_to_are_taken() {
        let (home, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = |name: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        assert!(of(home.path()).is_err());
        for name in
            ["torch/lib/libtorch.so", "torch/lib/libc10.so", "torch/lib/notes.txt", "torch/build-version"]
        {
            file(name);
        }
        assert!(of(home.path()).unwrap_err().to_string().contains("libtorch_cpu.so"));
        for name in ["torch/lib/libtorch_cpu.so", "torch/lib/libgomp.so.1", "torch/lib-cuda/libtorch_cuda.so"]
        {
            file(name);
        }
        for name in ["nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcublas.so.13"] {
            file(name);
        }
        for name in ["torch-2.11.0/NOTICE", "nvidia_cuda_runtime-13.0.96/License.txt"] {
            file(&format!("licences/{name}"));
        }
        let error = of(home.path()).unwrap_err().to_string();
        assert!(error.contains("the licences of nvidia_cuda_cupti-"), "{error}");
        file("licences/nvidia_cuda_cupti-13.0.85/License.txt");
        copy_to(&of(home.path()).unwrap(), package.path()).unwrap();
        assert!(package.path().join("licences/libtorch/torch-2.11.0/NOTICE").is_file());
        let mut names: Vec<_> = fs::read_dir(package.path().join("lib"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["libc10.so", "libcudart.so.13", "libgomp.so.1", "libtorch_cpu.so"]);
        assert!(package.path().join("build-version").is_file());
    }
}
