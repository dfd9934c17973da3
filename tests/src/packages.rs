//! Folders that `cargo xtask` makes for other machines: making them, and what they find there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::place::Place;

/// Runs `cargo xtask` with these words in the folder. It must succeed.
///
/// # Errors
/// When xtask is not built, or fails.
pub fn xtask(place: &Place, words: &[&str]) -> anyhow::Result<()> {
    let test = std::env::current_exe()?;
    // A test is in target/debug/deps.
    let folder = test.ancestors().nth(2).context("the test is not in a build folder")?;
    let path = folder.join(format!("xtask{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        path.is_file(),
        "{}: expected xtask, found none; build it with `cargo build -p xtask`",
        path.display()
    );
    let mut command = Command::new(path);
    // It looks for the workspace in the folder above this one.
    command.args(words).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR")).current_dir(place.path());
    succeed(&mut command)
}

/// A value of PATH whose `python3` has the tested libtorch as its PyTorch 2.11, where pip puts it. If the tested
/// libtorch is that of this machine's `python3` already, it is our own PATH.
///
/// # Errors
/// When there is no `python3`.
pub fn path_with_pytorch(place: &Place) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let Some(libtorch) = libtorch.filter(|home| home.join("lib/libtorch_cpu.so").is_file()) else {
        return Ok(path);
    };
    let mut with = python_with(&libtorch, place)?.into_os_string();
    with.push(":");
    with.push(path);
    Ok(with)
}

/// A virtual environment with PyTorch as pip leaves it, as far as anyone looks: what the package is called, and its
/// libraries. Returns its folder of programs.
fn python_with(libtorch: &Path, place: &Place) -> anyhow::Result<PathBuf> {
    let mut python = Command::new("python3");
    succeed(python.args(["-m", "venv", "--without-pip"]).arg(place.at("venv")))?;
    let versions = place.names("venv/lib");
    let version =
        versions.iter().find(|name| name.starts_with("python3")).context("no python3 in venv/lib")?;
    let packages = format!("venv/lib/{version}/site-packages");
    place.write(&format!("{packages}/torch/__init__.py"), "raise ImportError('nothing here needs it')\n")?;
    let facts = "Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0+cpu\n";
    place.write(&format!("{packages}/torch-2.11.0+cpu.dist-info/METADATA"), facts)?;
    link(&libtorch.join("lib"), &place.at(&format!("{packages}/torch/lib")))?;
    // The CUDA libraries, which these libraries expect beside their package.
    let cuda = libtorch.join("../nvidia");
    if cuda.is_dir() {
        link(&cuda, &place.at(&format!("{packages}/nvidia")))?;
    }
    Ok(place.at("venv/bin"))
}

/// A link in a test's own folder.
fn link(to: &Path, at: &Path) -> anyhow::Result<()> {
    succeed(Command::new("ln").arg("-s").arg(to).arg(at))
}

/// Runs a program, which must succeed.
///
/// # Errors
/// When it does not start, or fails.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
