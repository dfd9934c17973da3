//! Damaged checkpoints, made by an example of `trainer`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::outcome::{Check, Outcome};

pub(crate) const CHECK: Check = Check {
    name: "damage",
    goal: "a damaged checkpoint is refused",
    meaning: "A checkpoint is damaged in one place: bytes flipped, files cut, swapped or taken from another \
              checkpoint, tensors of another shape, type or name with a matching manifest. It must be \
              refused with a message that names the file, without a panic and without a change to the \
              network. The previous checkpoint must be found.",
    run,
};

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let count = context.count(200, 2000).to_string();
    let mut example = Command::new(example(context)?);
    example.args(["--count", &count]).current_dir(&context.workspace);
    let output = example.output().context("cannot start the example `damage` of trainer")?;
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = said.lines().rev().find(|line| line.starts_with('{')).with_context(|| {
        format!(
            "no output from the example `damage` of trainer: {}",
            told.trim().lines().last().unwrap_or("")
        )
    })?;
    let found: Value = serde_json::from_str(line)?;
    let number = |key: &str| found[key].as_u64().with_context(|| format!("no {key:?} in {line}"));
    let (tried, refused, panics) = (number("tried")?, number("refused")?, number("panics")?);
    ensure!(tried >= context.count(200, 2000), "{tried} damages, fewer than requested");
    let kinds = found["by_kind"].as_object().map_or(0, serde_json::Map::len);
    let failed = !output.status.success() || panics > 0;
    Ok(Outcome {
        tried,
        survived: refused,
        figure: format!("{kinds} kinds of damage, {panics} panics"),
        complaints: if failed { vec![line.to_owned()] } else { Vec::new() },
    })
}

/// Builds the example and returns its path. With the program among the packages its dependencies are those that the
/// program is built with; for `trainer` alone cargo would compile them again.
fn example(context: &Context) -> anyhow::Result<PathBuf> {
    let mut cargo = context.cargo();
    cargo.args(["build", "--quiet", "--package", "trainer", "--package", "cli", "--example", "damage"]);
    let output = cargo.args(["--message-format", "json"]).output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the example `damage` of trainer cannot be built: {}",
        String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or_default()
    );
    path_in(&String::from_utf8_lossy(&output.stdout))
        .context("cargo does not say where the example `damage` is")
}

/// The path of the example in cargo's messages, one JSON object per line.
fn path_in(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str().filter(|_| message["target"]["name"] == "damage")?;
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
        assert_eq!(path_in(messages), Some(PathBuf::from("/b/examples/damage")));
        assert_eq!(path_in("{\"target\":{\"name\":\"damage\"},\"executable\":null}"), None);
    }
}
