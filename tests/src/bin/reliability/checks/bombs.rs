//! Small files that claim, or unpack to, very much. An example of `fuzz-bodies` opens them.

use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::context::Context;
use crate::example;
use crate::outcome::{Check, Outcome};

pub(crate) const CHECK: Check = Check {
    name: "bombs",
    goal: "a small file cannot exhaust memory",
    meaning: "Archives that unpack to gigabytes, headers that claim 2^32 images, pictures of 50,000 x 50,000 \
              pixels, endlessly nested texts: each is opened in a separate process and must be refused \
              within 1 s and 64 MiB above an idle process.",
    run,
};

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let mut example = Command::new(example::build(context, "fuzz-bodies", "bombs")?);
    let output = example.current_dir(&context.workspace).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let bombs = said.lines().filter(|line| line.starts_with('{')).map(|line| {
        serde_json::from_str::<Value>(line)
            .with_context(|| format!("unexpected output of the example `bombs`: {line:?}"))
    });
    let bombs = bombs.collect::<anyhow::Result<Vec<_>>>()?;
    let number = |bomb: &Value, key: &str| bomb[key].as_f64().unwrap_or(f64::INFINITY);
    let most = |key: &str| bombs.iter().map(|bomb| number(bomb, key)).fold(0.0, f64::max);
    let held = |bomb: &&Value| {
        let refused = bomb["error"].as_str().is_some_and(|error| !error.is_empty());
        refused && number(bomb, "seconds") < 1.0 && number(bomb, "peak_mib_above_idle") < 64.0
    };
    let survived = bombs.iter().filter(held).count() as u64;
    let mut complaints: Vec<String> =
        bombs.iter().filter(|bomb| !held(bomb)).map(ToString::to_string).collect();
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let last = told.trim().lines().last().unwrap_or_default();
        complaints.push(format!("the example `bombs` ended with {}: {last}", output.status));
    }
    Ok(Outcome {
        tried: bombs.len() as u64,
        survived,
        figure: format!("at most {:.0} MiB and {:.2} s", most("peak_mib_above_idle"), most("seconds")),
        complaints,
    })
}
