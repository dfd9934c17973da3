//! What the program runs on: libtorch, processor, threads, GPU.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;
use torch_ext::{CudaError, CudaPart};

use super::report::Check;
use crate::device::{self, Precision};

/// The libtorch version this program is written for; the patch number may differ.
const LIBTORCH: &str = "2.11.0";

pub(super) fn program() -> Check {
    let found =
        format!("ddpm {} for {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    if cfg!(debug_assertions) {
        Check::note("program", format!("{found}, a debug build"), "for speed: cargo build --release")
    } else {
        Check::ok("program", found)
    }
}

pub(super) fn libtorch() -> Check {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(library) = mapped_libtorch(&maps) else {
        let advice = format!("expected {LIBTORCH}; the build takes it from LIBTORCH or `cargo xtask setup`");
        return Check::note("libtorch", "loaded, but its location is unknown on this system", advice);
    };
    let root = library.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    match version(root) {
        Some(version) if same_release(&version) => {
            Check::ok("libtorch", format!("{version} in {}", root.display()))
        }
        Some(version) => {
            let advice = format!(
                "expected {LIBTORCH}: point LIBTORCH to one, or run `cargo xtask setup`, and build again"
            );
            Check::fail("libtorch", format!("{version} in {}", root.display()), advice)
        }
        None => {
            let advice = format!("its version is not recorded; expected {LIBTORCH}");
            Check::note("libtorch", library.display().to_string(), advice)
        }
    }
}

/// Where `/proc/self/maps` says the CPU part of libtorch was loaded from.
fn mapped_libtorch(maps: &str) -> Option<PathBuf> {
    let mut paths = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    paths.find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so")).map(Path::to_owned)
}

/// The version recorded in a libtorch folder: in `build-version` (downloads from pytorch.org) or in `version.py`
/// (Python wheels).
fn version(root: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(root.join("version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

/// Whether the first two numbers agree: `2.11.1+cpu` passes, `2.12.0` does not.
fn same_release(version: &str) -> bool {
    let release = |text: &str| text.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    release(version) == release(LIBTORCH)
}

pub(super) fn processor() -> Check {
    let features = torch_ext::cpu_features();
    let list = if features.is_empty() { "no known extensions".to_owned() } else { features.join(" ") };
    Check::ok("processor", list)
}

pub(super) fn bf16() -> Check {
    if torch_ext::cpu_has_bf16() {
        Check::ok("bf16", "the processor multiplies bf16 matrices in hardware")
    } else {
        Check::ok("bf16", "no hardware support; f32 is faster on this processor")
    }
}

pub(super) fn threads() -> Check {
    let used = tch::get_num_threads().max(0) as usize;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = format!("{}, {}", files::counted(used, "thread"), files::counted(cores, "core"));
    match used {
        _ if used > cores => {
            Check::note("threads", found, "more threads than cores slow each other down: see --threads")
        }
        _ if used < cores => {
            Check::note("threads", found, "some cores stay idle: see --threads and OMP_NUM_THREADS")
        }
        _ => Check::ok("threads", found),
    }
}

pub(super) fn precision(device: Device) -> Check {
    Check::attempt("precision", || {
        let auto = Precision::settle("auto", device)?;
        Ok(Check::ok("precision", format!("auto is {} on {}", auto.name(), device::name(device))))
    })
}

/// Reports whether libtorch's CUDA part was loaded.
pub(super) fn cuda_part(part: &Result<CudaPart, CudaError>) -> Check {
    let name = "CUDA part";
    match part {
        Ok(CudaPart::NoDriver) => Check::ok(name, "not needed: no NVIDIA driver, so the CPU is used"),
        Ok(CudaPart::Loaded(path)) => Check::ok(name, path.display().to_string()),
        Ok(CudaPart::NotFound(places)) => {
            let searched: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            let advice = "an NVIDIA driver is installed: get the CUDA part with `cargo xtask setup --cuda`";
            Check::note(name, format!("not found in {}", searched.join(", ")), advice)
        }
        Ok(_) => Check::ok(name, "linked"),
        Err(error) => {
            Check::fail(name, error.to_string(), "CUDA libraries are missing: run `cargo xtask setup --cuda`")
        }
    }
}

/// Reports the GPUs, if the CUDA part is loaded.
pub(super) fn gpus(part: &Result<CudaPart, CudaError>) -> Option<Check> {
    if !matches!(part, Ok(CudaPart::Linked | CudaPart::Loaded(_))) {
        return None;
    }
    let count = tch::Cuda::device_count();
    Some(if count < 1 || !tch::Cuda::is_available() {
        let advice =
            "check with `nvidia-smi` that the driver is new enough for this CUDA and the GPU is visible";
        Check::fail("GPU", "libtorch's CUDA part finds no device", advice)
    } else if !tch::Cuda::cudnn_is_available() {
        Check::fail(
            "GPU",
            format!("{count} devices, no cuDNN"),
            "cuDNN is missing: run `cargo xtask setup --cuda`",
        )
    } else {
        let cudnn = tch::utils::version_cudnn();
        Check::ok(
            "GPU",
            format!("{count} devices, cuDNN {}.{}.{}", cudnn / 10_000, cudnn / 100 % 100, cudnn % 100),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_among_the_mappings() {
        let maps = "7f00-7f01 r-xp 0000 08:01 42   /usr/lib/libc.so.6\n7f02-7f03 rw-p 0 00:00 0\n\
                    7f04-7f05 r--p 0000 08:01 43   /opt/my torch/lib/libtorch_cpu.so\n";
        assert_eq!(mapped_libtorch(maps), Some(PathBuf::from("/opt/my torch/lib/libtorch_cpu.so")));
        assert_eq!(mapped_libtorch("7f00-7f01 r-xp 0000 08:01 42   /usr/lib/libc.so.6"), None);
    }

    #[test]
    fn the_version_is_read_from_either_file() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(version(folder.path()), None);
        fs::write(folder.path().join("version.py"), "x = 1\n__version__ = '2.11.0+cu130'\n").unwrap();
        assert_eq!(version(folder.path()).as_deref(), Some("2.11.0+cu130"));
        fs::write(folder.path().join("build-version"), "2.11.1+cpu\n").unwrap();
        assert_eq!(version(folder.path()).as_deref(), Some("2.11.1+cpu"));
        assert!(
            same_release("2.11.1+cpu")
                && !same_release("2.1.0")
                && !same_release("2.12.0")
                && !same_release("")
        );
    }

    #[test]
    fn a_missing_cuda_part_is_no_failure_and_a_broken_one_is() {
        let place = PathBuf::from("/x/libtorch_cuda.so");
        let broken = Err(CudaError { path: place.clone(), reason: "libcudnn.so.9 is missing".into() });
        let failed = |part| {
            let mut report = super::super::report::Report::default();
            report.push(cuda_part(&part));
            report.failed().len()
        };
        assert_eq!(failed(Ok(CudaPart::NoDriver)), 0);
        assert_eq!(failed(Ok(CudaPart::NotFound(vec![place]))), 0);
        assert_eq!(failed(broken), 1);
        assert_eq!(gpus(&Ok(CudaPart::NoDriver)), None);
    }
}
