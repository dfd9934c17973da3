//! One program for CPU and GPU: it is linked to libtorch's CPU part, and this module loads the CUDA part into the
//! running process if there is a driver. Loading it registers its kernels with the dispatcher; after that
//! `tch::Cuda::is_available()` tells whether the machine has a usable GPU.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// How the CUDA part of libtorch got into the process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CudaPart {
    /// The program was linked to it.
    Linked,
    /// It was loaded from this path.
    Loaded(PathBuf),
    /// There is no NVIDIA driver, so nothing was searched.
    NoDriver,
    /// There is a driver but no CUDA part of libtorch; these places were searched.
    NotFound(Vec<PathBuf>),
}

/// The CUDA part exists but cannot be loaded.
#[derive(Debug, Error)]
#[error("cannot load {}: {reason}", path.display())]
pub struct CudaError {
    /// The library.
    pub path: PathBuf,
    /// The message of the dynamic linker.
    pub reason: String,
}

#[cfg(target_os = "linux")]
const LIBRARY: &str = "libtorch_cuda.so";

/// Loads libtorch's CUDA kernels if the machine has a driver. Call it before any other function of libtorch, from the
/// main thread.
///
/// Searches `LD_LIBRARY_PATH`, the folder of the loaded `libtorch_cpu.so`, and the folder `lib-cuda` next to that one.
///
/// # Errors
/// [`CudaError`] when the library is found but cannot be loaded, for example because a library it needs is missing or
/// has another version.
#[cfg(target_os = "linux")]
pub fn load_cuda_part() -> Result<CudaPart, CudaError> {
    if tch::Cuda::device_count() > 0 || is_mapped(LIBRARY) {
        return Ok(CudaPart::Linked);
    }
    if !has_driver() {
        return Ok(CudaPart::NoDriver);
    }
    let candidates = candidates();
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        return Ok(CudaPart::NotFound(candidates));
    };
    open_global(path).map_err(|reason| CudaError { path: path.clone(), reason })?;
    Ok(CudaPart::Loaded(path.clone()))
}

/// Does nothing: only Linux has a CUDA part to load.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn load_cuda_part() -> Result<CudaPart, CudaError> {
    Ok(CudaPart::NoDriver)
}

/// Folders that may contain the library, in order of precedence.
#[cfg(target_os = "linux")]
fn candidates() -> Vec<PathBuf> {
    let from_environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&from_environment).filter(|folder| !folder.as_os_str().is_empty()).collect();
    if let Some(cpu_part) = mapped_path("libtorch_cpu.so")
        && let Some(folder) = cpu_part.parent()
    {
        folders.push(folder.to_owned());
        folders.extend(folder.parent().map(|torch| torch.join("lib-cuda")));
    }
    folders.into_iter().map(|folder| folder.join(LIBRARY)).collect()
}

#[cfg(target_os = "linux")]
fn is_mapped(library: &str) -> bool {
    mapped_path(library).is_some()
}

/// Where a library of this process was loaded from.
#[cfg(target_os = "linux")]
fn mapped_path(library: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    // The path is the sixth column, and may contain spaces.
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    paths.into_iter().find(|path| path.file_name().is_some_and(|name| name == library)).map(Path::to_owned)
}

#[cfg(target_os = "linux")]
fn has_driver() -> bool {
    use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
    // SAFETY: the driver's library has no initialisers that touch this program's state; libtorch's CUDA part loads the
    // same library.
    let driver = unsafe { Library::open(Some("libcuda.so.1"), RTLD_LAZY | RTLD_LOCAL) };
    driver.is_ok()
}

#[cfg(target_os = "linux")]
fn open_global(path: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initialisers register kernels with the dispatcher of the already loaded libtorch_cpu, which
    // guards the registration with its own lock. The library is never unloaded: see `forget`.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    // Unloading would leave dangling kernels in the dispatcher.
    library.map(std::mem::forget).map_err(|e| e.to_string())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_part_is_found_and_names_the_search_path() {
        assert_eq!(tch::Tensor::from_slice(&[1_i64]).numel(), 1);
        let cpu_part = mapped_path("libtorch_cpu.so").unwrap();
        assert!(cpu_part.is_file());
        assert!(candidates().contains(&cpu_part.with_file_name(LIBRARY)));
        assert_eq!(mapped_path("libtorch_no_such_part.so"), None);
    }

    /// On a machine without a driver nothing is loaded; with one, CUDA must work afterwards.
    #[test]
    fn the_answer_agrees_with_the_machine() {
        let part = load_cuda_part().unwrap();
        match part {
            CudaPart::NoDriver => assert!(!has_driver() && !tch::Cuda::is_available()),
            CudaPart::NotFound(places) => assert!(has_driver() && !places.is_empty()),
            CudaPart::Linked | CudaPart::Loaded(_) => assert!(is_mapped(LIBRARY)),
        }
    }

    #[test]
    fn a_library_that_does_not_load_is_an_error() {
        let reason = open_global(Path::new("/no/such/libtorch_cuda.so")).unwrap_err();
        assert!(reason.contains("libtorch_cuda.so"), "{reason}");
    }
}
