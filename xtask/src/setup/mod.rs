//! `cargo xtask setup`: provides libtorch 2.11.0 in `.libtorch/`, once, unless one is configured.
//!
//! ```text
//! .libtorch/stamp                what is installed, written last
//! .libtorch/contents             its libraries and their sizes
//! .libtorch/torch/{include,lib}  headers and the CPU part; LIBTORCH in .cargo/config.toml points here
//! .libtorch/torch/lib-cuda       the CUDA part, loaded at start, never linked
//! .libtorch/nvidia/*/lib         the CUDA libraries both need; libtorch finds them by its rpath
//! .libtorch/licences             licences of everything that a package may include
//! ```

mod configured;
mod contents;
mod fetch;
pub(crate) mod hash;
mod install;
pub(crate) mod platform;
mod stamp;
pub(crate) mod tools;
pub(crate) mod unpack;
mod wheels;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use self::configured::Configured;
use self::platform::Driver;
use self::stamp::Stamp;
use self::wheels::{LIBTORCH_VERSION, Parts};
use crate::workspace::Workspace;

/// Ways to get libtorch without pip or a known platform: the end of every error message.
const MANUAL: &str = "set LIBTORCH to the folder of an unpacked libtorch 2.11.0, or LIBTORCH_USE_PYTORCH=1 where \
                      python3 has torch 2.11.0 (README.md, section libtorch)";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also fetch the CUDA part (2 GB more), even without an NVIDIA driver.
    #[arg(long, conflicts_with = "cpu")]
    cuda: bool,
    /// Fetch only the CPU part, even with an NVIDIA driver.
    #[arg(long)]
    cpu: bool,
    /// Install in another folder than .libtorch.
    #[arg(long, hide = true, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// The command: provides libtorch if needed and prints where it is.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let chosen = match (args.cpu, args.cuda) {
        (true, _) => Some(Parts::Cpu),
        (_, true) => Some(Parts::CpuAndCuda),
        _ => None,
    };
    let home = args.into.clone().unwrap_or_else(|| workspace.libtorch());
    println!("{}", provide(workspace, &home, chosen)?);
    Ok(ExitCode::SUCCESS)
}

/// The first step of every other command. Prints nothing when there is nothing to do.
pub(crate) fn ensure(workspace: &Workspace) -> anyhow::Result<()> {
    provide(workspace, &workspace.libtorch(), None).map(|_| ())
}

/// The libtorch that the user's environment names, if any.
pub(crate) fn libtorch_of_the_user(workspace: &Workspace) -> Option<Configured> {
    Configured::from_env(&workspace.libtorch().join("torch"))
}

/// Describes the libtorch that was found, or provides one in `home`.
fn provide(workspace: &Workspace, home: &Path, chosen: Option<Parts>) -> anyhow::Result<String> {
    tools::check_compiler()?;
    if let Some(configured) = libtorch_of_the_user(workspace) {
        return configured.check();
    }
    if let Some(stamp) = Stamp::read(home).filter(|stamp| suffices(*stamp, chosen)) {
        return Ok(describe(home, stamp.parts));
    }

    if let Some(what) = Stamp::broken(home) {
        eprintln!("{}: {what}: setting up libtorch again", home.display());
    }
    fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
    let _lock = lock(home)?;
    // Another setup may have finished while this one was waiting.
    if let Some(stamp) = Stamp::read(home).filter(|stamp| suffices(*stamp, chosen)) {
        return Ok(describe(home, stamp.parts));
    }
    let parts = chosen.unwrap_or_else(parts_for_this_machine);
    let stamp = Stamp { parts, chosen: chosen.is_some() };
    match configured::system_install() {
        Some(root) => install::link(home, &root)?,
        None => install::wheels(home, parts)?,
    }
    stamp.write(home)?;
    Ok(describe(home, parts))
}

/// Whether the stamp covers what is wanted now.
fn suffices(stamp: Stamp, chosen: Option<Parts>) -> bool {
    if stamp.parts == Parts::CpuAndCuda {
        return true;
    }
    match chosen {
        Some(parts) => parts == Parts::Cpu,
        // A driver may have been installed in the meantime.
        None => stamp.chosen || Driver::detect() != Driver::Present,
    }
}

fn parts_for_this_machine() -> Parts {
    match Driver::detect() {
        Driver::Present => Parts::CpuAndCuda,
        Driver::None => Parts::Cpu,
        Driver::TooOld(major) => {
            eprintln!(
                "note: the NVIDIA driver is of series {major}, but CUDA 13 needs 580 or newer: libtorch for the CPU \
                 alone (`cargo xtask setup --cuda` fetches the CUDA part all the same)"
            );
            Parts::Cpu
        }
    }
}

fn describe(home: &Path, parts: Parts) -> String {
    let parts = match parts {
        Parts::Cpu => "for the CPU",
        Parts::CpuAndCuda => "for the CPU and CUDA",
    };
    format!("libtorch {LIBTORCH_VERSION} {parts} is in {}", home.display())
}

/// Keeps two setups from writing into one folder; held until the file is closed, even by a crash.
fn lock(home: &Path) -> anyhow::Result<File> {
    let path = home.join("lock");
    let cannot = || format!("{} cannot be locked", path.display());
    let file = File::create(&path).with_context(cannot)?;
    if file.try_lock().is_err() {
        eprintln!("another setup is running in {}, waiting for it to finish", home.display());
        file.lock().with_context(cannot)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cuda_part_is_asked_for_once_and_then_kept() {
        let cpu = Stamp { parts: Parts::Cpu, chosen: false };
        let both = Stamp { parts: Parts::CpuAndCuda, chosen: false };
        assert!(suffices(cpu, Some(Parts::Cpu)));
        assert!(!suffices(cpu, Some(Parts::CpuAndCuda)));
        for chosen in [None, Some(Parts::Cpu), Some(Parts::CpuAndCuda)] {
            assert!(suffices(both, chosen));
        }
    }

    #[test]
    fn a_cpu_part_that_was_asked_for_stays_enough_whatever_driver_turns_up() {
        assert!(suffices(Stamp { parts: Parts::Cpu, chosen: true }, None));
    }

    #[test]
    fn the_second_setup_waits_for_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = lock(home.path()).unwrap();
        let path = home.path().to_path_buf();
        let (send, receive) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let second = lock(&path).unwrap();
            // If it were sent before the first is dropped, this would fail.
            receive.try_recv().map(|()| drop(second))
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        send.send(()).unwrap();
        drop(first);
        assert!(second.join().unwrap().is_ok());
    }
}
