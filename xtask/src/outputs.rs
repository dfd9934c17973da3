//! Output files that a user names for xtask.

use std::path::Path;

use anyhow::Context;

use crate::process::Exit;

/// Refuses outputs that cannot be written, each with its flag, before the minutes or hours of work for them.
pub(crate) fn try_all(named: &[(&str, Option<&Path>)]) -> anyhow::Result<()> {
    for (flag, path) in named {
        let Some(path) = path else { continue };
        files::try_output(path)
            .map_err(|error| Exit::usage(format!("{flag} {}: cannot be written: {error}", path.display())))?;
    }
    Ok(())
}

/// Writes one of them.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    files::write_output(path, text.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_a_usage_error_with_its_flag() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("new/file"), "text").unwrap();
        try_all(&[("--out", Some(&at("new/file"))), ("--json", None)]).unwrap();
        assert_eq!(std::fs::read_to_string(at("new/file")).unwrap(), "text");
        let error = try_all(&[("--out", None), ("--json", Some(&at("new/file/below")))]).unwrap_err();
        assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
        assert!(
            error.to_string().starts_with("--json ") && error.to_string().lines().count() == 1,
            "{error}"
        );
    }
}
