//! A libtorch that the user has configured or installed; it takes precedence over ours.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, bail, ensure};

use super::MANUAL;
use super::tools::in_path;
use super::wheels::LIBTORCH_VERSION;

/// The user's environment variables for libtorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Configured {
    /// LIBTORCH_USE_PYTORCH: that of the active Python.
    PyTorch,
    /// LIBTORCH: this folder.
    Folder(PathBuf),
    /// LIBTORCH_INCLUDE and LIBTORCH_LIB: two folders that have `include` and `lib`.
    Split { include: PathBuf, lib: PathBuf },
}

impl Configured {
    /// Reads the environment. `ours` is the value of LIBTORCH that `.cargo/config.toml` sets in every program that
    /// cargo starts, xtask included, so it is not a user's choice.
    pub(crate) fn from_env(ours: &Path) -> Option<Self> {
        Self::from_variables(|name| env::var_os(name), ours)
    }

    fn from_variables(var: impl Fn(&str) -> Option<OsString>, ours: &Path) -> Option<Self> {
        // The order of torch-sys, which also ignores the value of the first.
        if var("LIBTORCH_USE_PYTORCH").is_some() {
            return Some(Self::PyTorch);
        }
        if let (Some(include), Some(lib)) = (var("LIBTORCH_INCLUDE"), var("LIBTORCH_LIB")) {
            return Some(Self::Split { include: include.into(), lib: lib.into() });
        }
        var("LIBTORCH").filter(|value| !is_ours(value, ours)).map(|value| Self::Folder(value.into()))
    }

    /// Describes it, after checking that it is a libtorch we can use.
    ///
    /// # Errors
    /// When it does not exist, or has another version.
    pub(crate) fn check(&self) -> anyhow::Result<String> {
        let any_version = env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some();
        let (what, version) = match self {
            Self::PyTorch => (String::from("LIBTORCH_USE_PYTORCH"), version_of_pytorch()?),
            Self::Folder(folder) => {
                let what = format!("LIBTORCH={}", folder.display());
                let version = version_of(&what, folder, folder)?;
                (what, version)
            }
            Self::Split { include, lib } => {
                let what = format!("LIBTORCH_INCLUDE={}, LIBTORCH_LIB={}", include.display(), lib.display());
                let version = version_of(&what, include, lib)?;
                (what, version)
            }
        };
        ensure!(
            version == LIBTORCH_VERSION || any_version,
            "{what}: expected libtorch {LIBTORCH_VERSION}, found {version}; {MANUAL}"
        );
        Ok(format!("libtorch {version} of {what}"))
    }
}

fn is_ours(value: &OsStr, ours: &Path) -> bool {
    let value = Path::new(value);
    // Cargo may spell the workspace's folder differently, for example through a link.
    value == ours || matches!((value.canonicalize(), ours.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The root of a matching libtorch that a package manager has installed where torch-sys looks.
pub(crate) fn system_install() -> Option<PathBuf> {
    let usr = Path::new("/usr");
    let version = version_of("/usr/lib/libtorch.so", usr, usr).ok()?;
    (version == LIBTORCH_VERSION).then(|| usr.to_path_buf())
}

/// The version of a libtorch, from its headers: the only files that every distribution has.
fn version_of(what: &str, include: &Path, lib: &Path) -> anyhow::Result<String> {
    let libraries = ["lib/libtorch_cpu.so", "lib/libtorch_cpu.dylib"];
    ensure!(
        libraries.iter().any(|library| lib.join(library).exists()),
        "{what}: expected {} in it, found none; {MANUAL}",
        libraries[0]
    );
    // The version is in the first since 2.9, and in the second before.
    let headers = ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];
    let texts = headers.iter().filter_map(|header| fs::read_to_string(include.join(header)).ok());
    match texts.filter_map(|text| version_in(&text)).next() {
        Some(version) => Ok(version),
        None => bail!("{what}: expected the version in {}, found none; {MANUAL}", headers[0]),
    }
}

/// `MAJOR.MINOR.PATCH` from a header with `#define TORCH_VERSION_MAJOR 2` and so on.
fn version_in(header: &str) -> Option<String> {
    let number = |name: &str| {
        header.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let matches = words.next() == Some("#define") && words.next() == Some(name);
            words.next().filter(|_| matches)?.parse::<u32>().ok()
        })
    };
    let (major, minor) = (number("TORCH_VERSION_MAJOR")?, number("TORCH_VERSION_MINOR")?);
    Some(format!("{major}.{minor}.{}", number("TORCH_VERSION_PATCH")?))
}

/// The version of the torch package of the Python that torch-sys will use, without importing it (seconds).
fn version_of_pytorch() -> anyhow::Result<String> {
    let program = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let Some(python) = in_path(program) else {
        bail!("LIBTORCH_USE_PYTORCH: expected `{program}` in PATH, found none; {MANUAL}");
    };
    let code = "import importlib.metadata as m; print(m.version('torch'))";
    let output = Command::new(&python)
        .args(["-c", code])
        // Not in the current folder, whose modules Python would load. Isolated mode would miss what torch-sys finds.
        .current_dir("/")
        .output()
        .with_context(|| format!("{} cannot be started", python.display()))?;
    ensure!(
        output.status.success(),
        "LIBTORCH_USE_PYTORCH: expected a torch package in {}, found none; {MANUAL}",
        python.display()
    );
    let version = String::from_utf8_lossy(&output.stdout);
    // 2.11.0+cu130 is 2.11.0.
    Ok(version.trim().split('+').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "/clone/.libtorch/torch";

    fn configured(set: &[(&str, &str)]) -> Option<Configured> {
        let var = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Configured::from_variables(var, Path::new(OURS))
    }

    #[test]
    fn what_cargo_sets_is_not_the_users_choice() {
        assert_eq!(configured(&[]), None);
        assert_eq!(configured(&[("LIBTORCH", OURS)]), None);
        assert_eq!(configured(&[("LIBTORCH", "/clone/.libtorch/torch/")]), None);
    }

    #[test]
    fn what_the_user_sets_wins() {
        assert_eq!(configured(&[("LIBTORCH", "/opt/t")]), Some(Configured::Folder("/opt/t".into())));
        let both = [("LIBTORCH", "/opt/t"), ("LIBTORCH_USE_PYTORCH", "1")];
        assert_eq!(configured(&both), Some(Configured::PyTorch));
        let split = [("LIBTORCH", OURS), ("LIBTORCH_INCLUDE", "/i"), ("LIBTORCH_LIB", "/l")];
        assert_eq!(configured(&split), Some(Configured::Split { include: "/i".into(), lib: "/l".into() }));
        assert_eq!(configured(&split[..2]), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_our_folder_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, link) = (folder.path().join("torch"), folder.path().join("link"));
        fs::create_dir(&ours).unwrap();
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        assert!(is_ours(link.as_os_str(), &ours));
        assert!(!is_ours(folder.path().as_os_str(), &ours));
    }

    /// A folder that looks like libtorch of version 2.`minor`.0.
    fn libtorch(minor: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let header = folder.path().join("include/torch/headeronly/version.h");
        fs::create_dir_all(header.parent().unwrap()).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libtorch_cpu.so"), "").unwrap();
        let line = |name, value| format!("#define TORCH_VERSION_{name} {value}\n");
        fs::write(header, line("MAJOR", 2) + &line("MINOR", minor) + &line("PATCH", 0)).unwrap();
        folder
    }

    #[test]
    fn another_version_is_refused_with_both_named() {
        let right = libtorch(11);
        assert!(Configured::Folder(right.path().into()).check().unwrap().contains("libtorch 2.11.0"));
        let wrong = libtorch(13);
        let error = Configured::Folder(wrong.path().into()).check().unwrap_err().to_string();
        assert!(error.contains("expected libtorch 2.11.0, found 2.13.0"), "{error}");
    }

    #[test]
    fn a_folder_without_libtorch_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let error = Configured::Folder(empty.path().into()).check().unwrap_err().to_string();
        assert!(error.contains("libtorch_cpu") && error.contains("LIBTORCH_USE_PYTORCH=1"), "{error}");
        let headerless = libtorch(11);
        fs::remove_dir_all(headerless.path().join("include")).unwrap();
        let error = Configured::Folder(headerless.path().into()).check().unwrap_err().to_string();
        assert!(error.contains("version.h"), "{error}");
    }
}
