//! Wrong calls, wrong configurations and bad files: each is one line that says what, where, expected, found
//! and what to do; the exit code tells usage (2) from failure (1); nothing is left half-written.
//!
//! The messages are in one snapshot, to be read as a user would. `INSTA_UPDATE=always` writes it anew.

mod calls;
mod files;

use std::fmt::Write;
use std::path::Path;

use anyhow::ensure;
use calls::{CALLS, Call};
use tests::{Place, trained};

/// The folder of a test is another one on every machine.
fn redacted(text: &str, place: &Place) -> String {
    text.replace(&place.path().display().to_string(), "[dir]")
}

/// Everything below a folder, with sizes.
fn listing(folder: &Path) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let (path, meta) = {
                let entry = entry?;
                (entry.path(), entry.metadata()?)
            };
            lines.push(format!("{} {}", path.display(), if meta.is_dir() { 0 } else { meta.len() }));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    Ok(lines.join("\n"))
}

fn new_lines<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
    let known: Vec<&str> = before.lines().collect();
    after.lines().filter(|line| !known.contains(line)).collect()
}

/// Runs a call; returns its message and what is wrong with it.
fn answer(place: &Place, call: &Call, before: &str) -> anyhow::Result<(String, Vec<String>)> {
    // A GPU, or a driver without one, would have its own log lines.
    let device = if call.line.contains("--device") { "" } else { "--device cpu" };
    let output = place.run(&format!("{} {device}", call.line))?;
    let errors = output.errors();
    let first = errors.first().copied().unwrap_or_default();
    // clap's own errors go on with a tip and the usage.
    let by_clap = output.stderr.contains("\nUsage: ddpm") || output.stderr.contains("For more information");
    let after = listing(place.path())?;
    let traces = ["panicked", "RUST_BACKTRACE", "stack backtrace", "frame #", "unexpected: "];
    let complaints = [
        (output.code != Some(call.code), format!("exit code {:?}, not {}", output.code, call.code)),
        (!output.stdout.is_empty(), format!("on standard output {:?}", output.stdout)),
        (!first.starts_with("error: ") || first.len() < 30, "no error that says something".to_owned()),
        (!by_clap && errors.len() != 1, format!("{} lines", errors.len())),
        (
            traces.iter().any(|trace| output.stderr.contains(trace)),
            "a trace of the program's inside".to_owned(),
        ),
        (after != before, format!("something is left: {:?}", new_lines(before, &after))),
    ];
    let complain = |(wrong, what): (bool, String)| wrong.then(|| format!("ddpm {}: {what}", call.line));
    let complaints = complaints.into_iter().filter_map(complain).collect();
    Ok((redacted(output.stderr.trim_end(), place), complaints))
}

#[test]
fn every_mistake_is_one_line() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad_input"));
    files::make_files(&place)?;
    let before = listing(place.path())?;
    let (mut shown, mut wrong) = (String::new(), Vec::new());
    // The program starts once for each; two at a time, the answers in order.
    let run = |calls: &[Call]| calls.iter().map(|call| answer(&place, call, &before)).collect::<Vec<_>>();
    let (first, second) = CALLS.split_at(CALLS.len() / 2);
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(second));
        answers.extend(run(first));
        answers.extend(other.join().into_iter().flatten());
    });
    ensure!(answers.len() == CALLS.len(), "a thread of this test panicked");
    for (call, answer) in CALLS.iter().zip(answers) {
        let (message, complaints) = answer?;
        write!(shown, "ddpm {}\n[{}] {message}\n\n", call.line, call.code)?;
        wrong.extend(complaints);
    }
    insta::assert_snapshot!("messages", shown);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
