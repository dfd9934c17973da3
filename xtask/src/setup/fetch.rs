//! Fetches the pinned wheels with pip, which knows the user's mirrors, proxies and certificates.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::platform::Platform;
use super::tools::in_path;
use super::wheels::{Build, Wheel};
use super::{MANUAL, hash};
use crate::process;

/// A working pip.
#[derive(Debug)]
pub(crate) struct Pip {
    program: PathBuf,
    /// Arguments before pip's own.
    before: &'static [&'static str],
}

impl Pip {
    /// The pip of the active Python.
    ///
    /// # Errors
    /// When there is no Python, or it has no pip.
    pub(crate) fn find() -> anyhow::Result<Self> {
        // Isolated mode, or Python would load modules from the current folder, which may be untrusted.
        let of_python: &[&str] = &["-I", "-m", "pip"];
        let candidates = [("python3", of_python), ("python", of_python), ("pip3", &[]), ("pip", &[])];
        let mut python = None;
        for (name, before) in candidates {
            let Some(program) = in_path(name) else { continue };
            let pip = Self { program, before };
            if pip.command().arg("--version").output().is_ok_and(|output| output.status.success()) {
                return Ok(pip);
            }
            python.get_or_insert(pip.program);
        }
        let found = match python {
            Some(python) => format!("{} without pip", python.display()),
            None => String::from("no python3"),
        };
        bail!(
            "python3 with pip: expected `python3 -m pip` to fetch libtorch with, found {found}; install it \
             (Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip; macOS: brew install \
             python), or {MANUAL}"
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.before);
        command
    }

    /// Makes sure the wheel's file is in `folder` with the right hash; fetches it only if it is missing.
    ///
    /// # Errors
    /// When pip cannot fetch it, or the fetched file is not the pinned one (it is then deleted).
    pub(crate) fn fetch(&self, wheel: &Wheel, build: &Build, folder: &Path) -> anyhow::Result<PathBuf> {
        if let Some(file) = file_of(wheel, folder) {
            // A truncated file, or one of another build, is fetched again.
            if check(wheel, build, &file).is_ok() {
                return Ok(file);
            }
        }
        // pip writes to its temporary folder first, and a small /tmp cannot hold a wheel.
        let temporary = folder.join("tmp");
        fs::create_dir_all(&temporary).with_context(|| format!("{} cannot be made", temporary.display()))?;
        let mut command = self.command();
        command.args(download_args(wheel, build.platform)).arg("--dest").arg(folder);
        command.env("TMPDIR", &temporary).env("PIP_REQUIRE_VIRTUALENV", "0").stdin(Stdio::null());
        // On a terminal pip draws its own progress bar, on our standard error; elsewhere it stays quiet.
        if std::io::stderr().is_terminal() {
            command.stdout(std::io::stderr());
        } else {
            command.arg("--quiet");
        }
        let output = command
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let _ = fs::remove_dir_all(&temporary); // If it stays, the next call empties it.
        let (name, version) = (wheel.name, wheel.version);
        if !output.status.success() {
            bail!(
                "{name} {version}: expected pip to fetch it, found \"{}\"; check the network, the proxy and \
                 the disk space and try again, or {MANUAL}",
                reason(&output.stderr)
            );
        }
        let Some(file) = file_of(wheel, folder) else {
            bail!(
                "{name} {version}: expected a file {}*.whl from pip, found none; {MANUAL}",
                wheel.file_prefix()
            );
        };
        check(wheel, build, &file)?;
        Ok(file)
    }
}

fn download_args(wheel: &Wheel, platform: Platform) -> Vec<String> {
    let mut args: Vec<String> = [
        "download",
        "--disable-pip-version-check",
        "--no-input",
        // Do not fill pip's cache with half a gigabyte that is never needed again.
        "--no-cache-dir",
        "--no-deps",
        "--only-binary=:all:",
        // libtorch is the same for every Python; naming one gives always the same file.
        "--implementation=cp",
        "--python-version=3.12",
        "--abi=cp312",
    ]
    .map(String::from)
    .to_vec();
    args.extend(platform.pip_tags().iter().map(|tag| format!("--platform={tag}")));
    args.push(format!("{}=={}", wheel.name, wheel.version));
    args
}

/// The wheel's file in `folder`.
fn file_of(wheel: &Wheel, folder: &Path) -> Option<PathBuf> {
    let prefix = wheel.file_prefix();
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&prefix) && name.ends_with(".whl")
    })
}

/// Compares the file with the pinned hash, and deletes it if it differs.
fn check(wheel: &Wheel, build: &Build, file: &Path) -> anyhow::Result<()> {
    let found = hash::of_file(file)?;
    if found == build.sha256 {
        return Ok(());
    }
    fs::remove_file(file).with_context(|| format!("{} cannot be deleted", file.display()))?;
    bail!(
        "{} {}: expected sha256 {}, found {found}; the file is deleted: try again, look at what mirror pip is \
         set to (`pip config list`), or {MANUAL}",
        wheel.name,
        wheel.version,
        build.sha256
    )
}

/// pip's last error, or its last line.
fn reason(stderr: &[u8]) -> String {
    process::last_error(stderr).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BUILD: Build = Build { platform: Platform::LinuxX64, megabytes: 1, sha256: ABC };
    const WHEEL: Wheel = Wheel { name: "a-b", version: "1.0", builds: &[BUILD], cpu: &[], cuda: &[] };

    /// A pip that must not be called.
    fn no_pip() -> Pip {
        Pip { program: PathBuf::from("no-such-pip"), before: &[] }
    }

    #[test]
    fn a_file_with_the_right_hash_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a_b-1.0-py3-none-any.whl");
        fs::write(&file, "abc").unwrap();
        assert_eq!(no_pip().fetch(&WHEEL, &BUILD, folder.path()).unwrap(), file);
    }

    #[test]
    fn a_file_with_another_hash_is_deleted_and_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a_b-1.0-py3-none-any.whl");
        fs::write(&file, "ab").unwrap();
        let error = no_pip().fetch(&WHEEL, &BUILD, folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-pip"), "{error:#}");
        assert!(!file.exists());
    }

    #[test]
    fn a_mismatch_names_both_hashes_and_the_other_routes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a_b-1.0-py3-none-any.whl");
        fs::write(&file, "ab").unwrap();
        let error = check(&WHEEL, &BUILD, &file).unwrap_err().to_string();
        let of_ab = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603";
        for part in ["a-b 1.0", ABC, of_ab, "LIBTORCH", "LIBTORCH_USE_PYTORCH=1", "README.md"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn the_file_of_another_version_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a_b-1.0.1-py3-none-any.whl", "a_b-1.0-notes.txt", "a_b_c-1.0-py3-none-any.whl"] {
            fs::write(folder.path().join(name), "abc").unwrap();
        }
        assert_eq!(file_of(&WHEEL, folder.path()), None);
    }

    #[test]
    fn pip_is_asked_for_one_exact_file() {
        let args = download_args(&WHEEL, Platform::MacArm64).join(" ");
        assert!(args.contains("--no-deps --only-binary=:all:"), "{args}");
        assert!(args.ends_with("--platform=macosx_11_0_arm64 a-b==1.0"), "{args}");
    }

    #[test]
    fn the_reason_is_pips_last_error() {
        let text = b"WARNING: Retrying\nERROR: No matching distribution found for a-b\n\n[notice] new pip\n";
        assert_eq!(reason(text), "No matching distribution found for a-b");
        assert_eq!(reason(b"No module named pip\n"), "No module named pip");
        let full = b"ERROR: Exception:\nTraceback (most recent call last):\n  File \"a.py\", line 1, in b\nOSError: [Errno 28] No \
                     space left on device\n";
        assert_eq!(reason(full), "OSError: [Errno 28] No space left on device");
        assert_eq!(reason(b""), "no message");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_pip_is_reported_with_its_reason() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("pip");
        fs::write(&program, "#!/bin/sh\necho 'ERROR: offline' >&2\nexit 1\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let pip = Pip { program, before: &[] };
        let error = pip.fetch(&WHEEL, &BUILD, folder.path()).unwrap_err().to_string();
        assert!(error.contains("a-b 1.0") && error.contains("\"offline\""), "{error}");
        assert!(!folder.path().join("tmp").exists());
    }
}
