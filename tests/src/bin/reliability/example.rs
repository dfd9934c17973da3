//! Examples of other crates, which some checks run.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;

/// Builds an example of a crate and returns its path. With the program among the packages its dependencies are those that
/// the program is built with; for the crate alone cargo would compile them again.
pub(crate) fn build(context: &Context, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = context.cargo();
    cargo.args(["build", "--quiet", "--package", package, "--package", "cli", "--example", name]);
    let output = cargo.args(["--message-format", "json"]).output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the example `{name}` of {package} cannot be built: {}",
        String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or_default()
    );
    path_in(&String::from_utf8_lossy(&output.stdout), name)
        .with_context(|| format!("cargo does not say where the example `{name}` is"))
}

/// The path of the example in cargo's messages, one JSON object per line.
fn path_in(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str().filter(|_| message["target"]["name"] == name)?;
        Some(PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_found_among_the_messages() {
        let messages = "no JSON\n\
            {\"target\":{\"name\":\"trainer\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"ddpm\"},\"executable\":\"/b/ddpm\"}\n\
            {\"target\":{\"name\":\"damage\"},\"executable\":\"/b/examples/damage\"}\n";
        assert_eq!(path_in(messages, "damage"), Some(PathBuf::from("/b/examples/damage")));
        assert_eq!(path_in(messages, "bombs"), None);
        assert_eq!(path_in("{\"target\":{\"name\":\"damage\"},\"executable\":null}", "damage"), None);
    }
}
