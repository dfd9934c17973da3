//! A Python with the peers: our own virtual environment, or one that the user names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::process;
use crate::setup::tools::in_path;
use crate::workspace::Workspace;

/// Installed in this order: the earlier ones would move torch to another version.
const PINNED: [&str; 4] =
    ["diffusers==0.42.1", "denoising-diffusion-pytorch==2.3.4", "torch==2.11.0", "torchvision==0.26.0"];

/// Written last, with the list of installed packages.
const STAMP: &str = "peers.txt";

/// The Python to run peers with: `--python`, or that of `out/peers-venv`, which is created where needed.
///
/// # Errors
/// When a package is missing or cannot be installed, in one line that says which and why.
pub(super) fn python(workspace: &Workspace, named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(python) = named {
        check(python)?;
        return Ok(python.to_owned());
    }
    let venv = workspace.root().join("out/peers-venv");
    let python = venv.join("bin/python");
    // The stamp says what was installed; the check verifies that it is still there.
    if fs::read_to_string(venv.join(STAMP)).is_ok_and(|text| text == stamp()) && check(&python).is_ok() {
        return Ok(python);
    }
    let Some(system) = in_path("python3") else {
        bail!(
            "python3: expected it in PATH to run the peers with, found none; --python names one that has them"
        );
    };
    eprintln!("installing {} into {} (5 GB)", PINNED.join(" "), venv.display());
    succeed(Command::new(&system).args(["-I", "-m", "venv", "--clear"]).arg(&venv), "a virtual environment")?;
    let mut pip = Command::new(&python);
    pip.args(["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(PINNED);
    succeed(&mut pip, "the peers, by pip")?;
    check(&python)?;
    fs::write(venv.join(STAMP), stamp()).with_context(|| format!("{} cannot be written", venv.display()))?;
    Ok(python)
}

fn stamp() -> String {
    PINNED.join("\n") + "\n"
}

/// Looks for the packages without importing them, which would take seconds.
fn check(python: &Path) -> anyhow::Result<()> {
    let names: Vec<&str> = PINNED.iter().filter_map(|pin| pin.split("==").next()).collect();
    let code = "import sys, importlib.metadata as m\nfor name in sys.argv[1:]: m.version(name)";
    let output = Command::new(python)
        .args(["-I", "-c", code])
        .args(names)
        .output()
        .with_context(|| format!("{} cannot be started", python.display()))?;
    ensure!(
        output.status.success(),
        "{}: expected {} in it, found \"{}\"",
        python.display(),
        PINNED.join(", "),
        reason(&output.stderr)
    );
    Ok(())
}

/// Runs a command to its end; the error is one line, however much it printed.
fn succeed(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be started", command.get_program().to_string_lossy()))?;
    ensure!(
        output.status.success(),
        "{what}: expected it to be installed, found \"{}\"; check network and disk space, or name a Python that has {} \
         with --python",
        reason(&output.stderr),
        PINNED.join(", ")
    );
    Ok(())
}

/// The last non-empty line of an error text; lines that pip marks as errors come first.
pub(super) fn reason(stderr: &[u8]) -> String {
    process::last_error(stderr).unwrap_or_else(|| "nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_line() {
        let pip = b"WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for x==1\n\nhint: y\n";
        assert_eq!(reason(pip), "No matching distribution found for x==1");
        assert_eq!(
            reason(b"Traceback\nModuleNotFoundError: No module named 'x'\n"),
            "ModuleNotFoundError: No module named 'x'"
        );
        assert_eq!(reason(b""), "nothing");
    }

    #[cfg(unix)]
    #[test]
    fn a_python_without_the_peers_is_refused_in_one_line() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        fs::write(&python, "#!/bin/sh\necho 'PackageNotFoundError: diffusers' >&2\nexit 1\n").unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let workspace = Workspace::find().unwrap();
        let error = format!("{:#}", super::python(&workspace, Some(&python)).unwrap_err());
        assert!(error.contains("PackageNotFoundError: diffusers") && error.lines().count() == 1, "{error}");
        let none = super::python(&workspace, Some(Path::new("/no/such/python"))).unwrap_err();
        assert!(none.to_string().contains("/no/such/python"), "{none}");
    }

    #[test]
    fn torch_comes_after_what_would_move_it() {
        let place = |name: &str| PINNED.iter().position(|pin| pin.starts_with(name)).unwrap();
        assert!(place("torch==") > place("diffusers") && place("torch==") > place("denoising"));
        let script = include_str!("../../../scripts/bench_peers.py");
        assert!(script.contains(&PINNED.join(" ")), "the script lists other versions");
    }
}
