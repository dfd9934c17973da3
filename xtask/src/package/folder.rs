//! Folders made aside and put in place, and what they are made of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// The hidden name of a folder under construction.
pub(crate) fn beside(out: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = out.file_name().and_then(|name| name.to_str()) else {
        bail!("--out {}: expected the name of a folder to make", out.display());
    };
    Ok(out.with_file_name(format!(".{name}.partial")))
}

/// Replaces an older folder of the same kind, known by some of its files; refuses to replace anything else.
pub(crate) fn replace(out: &Path, partial: &Path, kind: &str, marks: &[&str]) -> anyhow::Result<()> {
    if out.exists() {
        ensure!(
            marks.iter().all(|name| out.join(name).is_file()),
            "--out {}: expected a new name or an older {kind}, found something else",
            out.display()
        );
        remove(out)?;
    }
    fs::rename(partial, out).with_context(|| format!("{} cannot be made", out.display()))
}

pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Copies a file with its permissions.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = fs::copy(from, to).map(|_| ());
    copied.with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))
}

/// Copies the files of a folder, not its subfolders.
pub(crate) fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

pub(crate) fn make_executable(path: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, permissions)
            .with_context(|| format!("{} cannot be made executable", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_package_is_replaced() {
        let marks = ["bin/ddpm", "ddpm"];
        let (home, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(&old.path().join("bin")).unwrap();
        marks.iter().for_each(|name| write(&old.path().join(name), "").unwrap());
        let out = home.path().join("out");
        let partial = beside(&out).unwrap();
        make(&partial).unwrap();
        make(&out).unwrap();
        write(&out.join("photo.png"), "").unwrap();
        assert!(
            replace(&out, &partial, "package", &marks)
                .unwrap_err()
                .to_string()
                .contains("found something else")
        );
        assert!(out.join("photo.png").exists());
        replace(old.path(), &partial, "package", &marks).unwrap();
        assert!(!old.path().join("bin").exists() && !partial.exists());
        assert!(beside(Path::new("/")).is_err());
    }
}
