//! `cargo xtask test --sanitize`: the tests of `torch-ext` with its C++ under AddressSanitizer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process;
use crate::workspace::Workspace;

const CRATE: &str = "torch-ext";

/// Builds the tests with the sanitizer in a separate target folder and runs them. libtorch and Rust are not
/// instrumented: only memory accesses of this project's C++ are checked.
pub(crate) fn run(workspace: &Workspace, flags: &[&str]) -> anyhow::Result<()> {
    let library = library()?;
    for build_only in [true, false] {
        let mut cargo = command(workspace, flags, &library);
        if build_only {
            cargo.arg("--no-run");
        }
        println!("    {}", process::line_of(&cargo));
        let status = process::run(&mut cargo)?;
        ensure!(status.success(), "{CRATE} under AddressSanitizer: expected exit code 0, found {status}");
    }
    Ok(())
}

fn command(workspace: &Workspace, flags: &[&str], library: &Path) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.arg("test").args(flags).args(["-p", CRATE, "--tests"]).current_dir(workspace.root());
    cargo.env("CARGO_TARGET_DIR", workspace.root().join("target/sanitize"));
    // The build script of torch-ext reads it.
    cargo.env("TORCH_EXT_SANITIZE", "address");
    // Cargo and the compiler run without the sanitizer. The test programs do not link it first, so it is preloaded.
    // libtorch keeps much memory until the end, so leaks are not reported. Freed memory is quarantined to detect its
    // use; tests that measure memory allow for 16 MiB of it, not for the default 256.
    let options = "detect_leaks=0:abort_on_error=1:quarantine_size_mb=16";
    let runner = format!("env LD_PRELOAD={} ASAN_OPTIONS={options}", library.display());
    let target = format!("CARGO_TARGET_{}_RUNNER", triple().to_uppercase().replace('-', "_"));
    cargo.env(target, runner);
    cargo
}

/// cargo's default target.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The sanitizer's library, which comes with the C++ compiler.
fn library() -> anyhow::Result<PathBuf> {
    let output = Command::new("c++").arg("-print-file-name=libasan.so").output();
    let output = output.context("--sanitize: c++, which builds with AddressSanitizer, does not start")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(
        path.is_absolute() && path.exists(),
        "--sanitize: expected c++ to have libasan.so, found none: install GCC's libasan"
    );
    Ok(path.canonicalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_programs_alone_run_with_the_library() {
        let workspace = Workspace::find().unwrap();
        let cargo = command(&workspace, &["--locked"], Path::new("/lib/libasan.so.8"));
        let env = |name: &str| {
            let (_, value) = cargo.get_envs().find(|(key, _)| *key == name)?;
            Some(value?.to_str().unwrap().to_owned())
        };
        assert!(process::line_of(&cargo).ends_with("test --locked -p torch-ext --tests"));
        assert_eq!(env("LD_PRELOAD"), None);
        let runner =
            env(&format!("CARGO_TARGET_{}_RUNNER", triple().to_uppercase().replace('-', "_"))).unwrap();
        assert!(runner.contains("LD_PRELOAD=/lib/libasan.so.8"), "{runner}");
        assert!(env("CARGO_TARGET_DIR").unwrap().ends_with("target/sanitize"));
    }
}
