//! Absurd values and other wrong calls, tried by an end-to-end test.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use tests::Place;

use crate::context::Context;
use crate::outcome::{Check, Outcome};

pub(crate) const CHECK: Check = Check {
    name: "values",
    goal: "absurd values are reported in one line",
    meaning: "Flags and configuration values of all kinds (0, negative, 2^63, NaN, infinite, empty, of the \
              wrong type, contradictory) must each end with exit code 2 and one line that names what is \
              wrong, without a panic and before anything is written. Wrong calls and bad files are tried in \
              the same way and counted separately.",
    run,
};

/// Minimum number of values.
const VALUES: u64 = 150;

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let here = Place::new()?;
    let (reports, mut complaints) = match &context.bad_input {
        Some(folder) => (folder.as_path(), Vec::new()),
        None => (here.path(), try_them(context, here.path())?),
    };
    let (values, good_values) = read(&reports.join("values.json"))?;
    let (calls, good_calls) = read(&reports.join("calls.json"))?;
    if values < VALUES {
        complaints.push(format!("{values} values are fewer than {VALUES}"));
    }
    Ok(Outcome {
        tried: values + calls,
        survived: good_values + good_calls,
        figure: format!(
            "{good_values} of {values} values, {good_calls} of {calls} wrong calls and bad files"
        ),
        complaints,
    })
}

/// Runs the test; returns what went wrong.
fn try_them(context: &Context, reports: &Path) -> anyhow::Result<Vec<String>> {
    let mut cargo = context.cargo();
    cargo.args(["test", "--quiet", "--package", "tests", "--package", "cli", "--test", "bad_input"]);
    let output = cargo.env("DDPM_BAD_INPUT_REPORT", reports).output()?;
    let mut complaints = Vec::new();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        complaints.extend(said.lines().filter(|line| line.contains("ddpm ")).take(5).map(ToOwned::to_owned));
        complaints.push(format!("`cargo test -p tests --test bad_input` ended with {}", output.status));
    }
    Ok(complaints)
}

/// How many were tried, and how many were reported in one line.
fn read(report: &Path) -> anyhow::Result<(u64, u64)> {
    let text = std::fs::read(report);
    let report: Value = serde_json::from_slice(&text.context("the test `bad_input` left no report")?)?;
    let number = |key: &str| report[key].as_u64().with_context(|| format!("no {key:?} in {report}"));
    Ok((number("tried")?, number("one_line")?))
}
