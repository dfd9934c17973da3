//! Damaged checkpoints, made by an example of `trainer`.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::example;
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
    let mut example = Command::new(example::build(context, "trainer", "damage")?);
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
