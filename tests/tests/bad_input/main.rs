//! Wrong calls, wrong configurations and bad files. Each gives one line that says what, where, expected, found and what
//! to do. The exit code distinguishes usage (2) from failure (1), and nothing is left half-written.
//!
//! The messages are in one snapshot, to be read as a user would. Update it with `INSTA_UPDATE=always`.

mod calls;
mod files;
mod values;

use std::fmt::Write;
use std::path::Path;

use anyhow::ensure;
use calls::{CALLS, Call};
use serde_json::json;
use tests::{Place, trained};

/// Replaces the test folder, which differs on every machine.
fn redacted(text: &str, place: &Place) -> String {
    text.replace(&place.path().display().to_string(), "[dir]")
}

/// Everything below a folder, with sizes, except that of a lock: it is the length of a process id.
fn listing(folder: &Path) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A parallel call may have removed its trial files by now.
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry?;
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            let has_size = !meta.is_dir() && !path.ends_with("run.lock");
            lines.push(format!("{} {}", path.display(), if has_size { meta.len() } else { 0 }));
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
fn answer(place: &Place, call: &Call<'_>, before: &str) -> anyhow::Result<(String, Vec<String>)> {
    // A GPU, or a driver without one, would add log lines.
    let device = if call.line.contains("--device") { "" } else { "--device cpu" };
    let output = place.run(&format!("{} {device}", call.line))?;
    let errors = output.errors();
    let first = errors.first().copied().unwrap_or_default();
    // clap's own errors add a tip and the usage.
    let by_clap = output.stderr.contains("\nUsage: ddpm") || output.stderr.contains("For more information");
    // A parallel call may be testing its outputs; wait until its trial files are gone.
    let mut after = listing(place.path())?;
    for _ in 0..50 {
        if after == before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        after = listing(place.path())?;
    }
    let traces = ["panicked", "RUST_BACKTRACE", "stack backtrace", "frame #", "unexpected: "];
    let complaints = [
        (output.code != Some(call.code), format!("exit code {:?}, not {}", output.code, call.code)),
        (!output.stdout.is_empty(), format!("on standard output {:?}", output.stdout)),
        (!first.starts_with("error: ") || first.len() < 30, "no useful error message".to_owned()),
        (!by_clap && errors.len() != 1, format!("{} lines", errors.len())),
        (traces.iter().any(|trace| output.stderr.contains(trace)), "a panic or a backtrace".to_owned()),
        (after != before, format!("files left behind: {:?}", new_lines(before, &after))),
    ];
    let complain = |(wrong, what): (bool, String)| wrong.then(|| format!("ddpm {}: {what}", call.line));
    let complaints = complaints.into_iter().filter_map(complain).collect();
    Ok((redacted(output.stderr.trim_end(), place), complaints))
}

/// Tries all calls; returns the message of each, and all complaints.
fn try_all(place: &Place, calls: &[Call<'_>]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let before = listing(place.path())?;
    let (mut messages, mut wrong) = (Vec::new(), Vec::new());
    // The program starts once per call, two at a time; the answers are in order.
    let run = |calls: &[Call<'_>]| calls.iter().map(|call| answer(place, call, &before)).collect::<Vec<_>>();
    let (first, second) = calls.split_at(calls.len() / 2);
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(second));
        answers.extend(run(first));
        answers.extend(other.join().into_iter().flatten());
    });
    ensure!(answers.len() == calls.len(), "a thread of this test panicked");
    for answer in answers {
        let (message, complaints) = answer?;
        messages.push(message);
        wrong.extend(complaints);
    }
    Ok((messages, wrong))
}

/// Reports to `cargo xtask reliability`, if it names a folder, how many calls were tried and how many gave one line.
fn report(name: &str, calls: &[Call<'_>], wrong: &[String]) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("DDPM_BAD_INPUT_REPORT") else { return Ok(()) };
    let bad =
        calls.iter().filter(|call| wrong.iter().any(|w| w.starts_with(&format!("ddpm {}: ", call.line))));
    let report = json!({ "tried": calls.len(), "one_line": calls.len() - bad.count() });
    std::fs::write(Path::new(&folder).join(name), report.to_string())?;
    Ok(())
}

#[test]
fn every_mistake_is_one_line() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad_input"));
    files::make_files(&place)?;
    let (messages, wrong) = try_all(&place, CALLS)?;
    let mut shown = String::new();
    for (call, message) in CALLS.iter().zip(messages) {
        write!(shown, "ddpm {}\n[{}] {message}\n\n", call.line, call.code)?;
    }
    report("calls.json", CALLS, &wrong)?;
    insta::assert_snapshot!("messages", shown);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The command to which a value is added: a run that ends soon, should the value be accepted.
const SHORT: &str =
    "train --preset tiny-16 --run new --set data.limit=30 --set train.steps=2 --set sample.steps=2";

/// These messages are not in a snapshot: there are too many to read one by one, and `messages` has one of each kind.
#[test]
fn every_absurd_value_is_one_line_that_names_it() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("absurd_values"));
    let keys = values::KEYS.iter().flat_map(|(key, values)| {
        values.iter().map(move |value| (*key, format!("{SHORT} --set {key}={value}")))
    });
    let flags = values::SAMPLE_FLAGS.iter().flat_map(|(flag, values)| {
        let name = flag.rsplit(' ').next().unwrap_or(flag);
        values.iter().map(move |value| (name, format!("sample --run run --out out {flag}={value}")))
    });
    let (names, lines): (Vec<&str>, Vec<String>) = keys.chain(flags).unzip();
    let calls: Vec<Call<'_>> = lines.iter().map(|line| Call { line, code: 2 }).collect();
    let (messages, mut wrong) = try_all(&place, &calls)?;
    for ((name, line), message) in names.iter().zip(&lines).zip(messages) {
        // A TOML message shows only the last part of the key, or its group.
        let (group, last) = name.rsplit_once('.').unwrap_or((name, name));
        if !message.contains(last) && !message.contains(group) {
            wrong.push(format!("ddpm {line}: not named in: {message}"));
        }
    }
    report("values.json", &calls, &wrong)?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
