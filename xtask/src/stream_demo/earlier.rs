//! The runs of an earlier call, which this one replaces.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::process::Exit;
use crate::runs;

/// The runs of a call.
pub(super) const STREAMED: &str = "streamed";
pub(super) const IN_MEMORY: &str = "in-memory";
pub(super) const KILLED: &str = "killed";
const NAMES: [&str; 3] = [STREAMED, IN_MEMORY, KILLED];

/// Fails before any work if a run would replace what is no run.
///
/// # Errors
/// A usage error that names it.
pub(super) fn check(runs: &Path) -> anyhow::Result<()> {
    NAMES.iter().try_for_each(|name| check_one(&runs.join(name)))
}

/// Removes the run of an earlier call, if there is one.
///
/// # Errors
/// A usage error if something else is there.
pub(super) fn remove(run: &Path) -> anyhow::Result<()> {
    check_one(run)?;
    if run.exists() {
        fs::remove_dir_all(run).with_context(|| run.display().to_string())?;
    }
    Ok(())
}

fn check_one(run: &Path) -> anyhow::Result<()> {
    let Ok(meta) = fs::symlink_metadata(run) else { return Ok(()) };
    // A training that was killed early has left its lock, or an empty folder.
    let is_run = runs::changed(run).is_some() || run.join("run.lock").is_file() || is_empty(run);
    let found = match (meta.is_dir(), is_run) {
        (true, true) => return Ok(()),
        (true, false) => "a folder that is not a run",
        (false, _) => "no folder",
    };
    let text = format!(
        "--runs: {}: expected the run of an earlier call or nothing, found {found}; name another folder",
        run.display()
    );
    Err(Exit::usage(text).into())
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::tests::run_of_age;

    #[test]
    fn runs_are_replaced() {
        let runs = tempfile::tempdir().unwrap();
        let at = |name: &str| runs.path().join(name);
        run_of_age(&at("streamed"), 5);
        fs::create_dir(at("in-memory")).unwrap();
        fs::create_dir(at("killed")).unwrap();
        fs::write(at("killed/run.lock"), "1").unwrap();
        check(runs.path()).unwrap();
        for name in NAMES {
            remove(&at(name)).unwrap();
            assert!(!at(name).exists(), "{name}");
            // Nothing is left to remove.
            remove(&at(name)).unwrap();
        }
    }

    #[test]
    fn anything_else_stays() {
        let files: [(&str, &str, &str); 3] = [
            ("streamed", "streamed/photo.png", "a folder that is not a run"),
            ("in-memory", "in-memory/config.toml", "a folder that is not a run"),
            ("killed", "killed", "no folder"),
        ];
        for (name, file, found) in files {
            let runs = tempfile::tempdir().unwrap();
            let file = runs.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "mine").unwrap();
            for error in [check(runs.path()).unwrap_err(), remove(&runs.path().join(name)).unwrap_err()] {
                assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
                let text = error.to_string();
                assert!(text.starts_with("--runs: ") && text.contains(&format!("found {found};")), "{text}");
                assert_eq!(text.lines().count(), 1, "{text}");
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_run_stays() {
        let runs = tempfile::tempdir().unwrap();
        let (run, link) = (runs.path().join("mine"), runs.path().join("killed"));
        run_of_age(&run, 5);
        std::os::unix::fs::symlink(&run, &link).unwrap();
        assert!(remove(&link).unwrap_err().to_string().contains("found no folder"));
        assert!(link.is_symlink() && run.join("config.toml").is_file());
    }
}
