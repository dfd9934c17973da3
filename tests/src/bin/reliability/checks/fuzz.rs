//! Fuzzing of every parser: the corpora on stable, or millions of inputs with libFuzzer.

use std::path::Path;

use ::tests::Place;
use anyhow::{Context as _, bail, ensure};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "fuzz",
    goal: "no input crashes a parser",
    meaning: "With `--quick` the tests of `fuzz-bodies` replay and mutate the committed corpus of every fuzz \
              target; the tests are counted. With `--full` libFuzzer runs every target for 2,000,000 inputs \
              or more within 512 MB, those of binary formats with AddressSanitizer; the inputs are counted.",
    run,
};

/// Inputs per target.
const RUNS: u64 = 2_000_000;
const MEMORY_MB: u64 = 512;

/// Targets of text. Their parsers have no unsafe code, so AddressSanitizer finds nothing there that is not a panic, and
/// it makes them ten times slower.
const TEXT: [&str; 7] =
    ["class_labels", "config_toml", "manifest", "overrides", "region", "source_spec", "state"];

/// The cargo-fuzz flags for a target. Each kind of build has its own folder; otherwise each would rebuild everything.
fn flags(context: &Context, target: &str) -> Vec<String> {
    if !TEXT.contains(&target) {
        return Vec::new();
    }
    let folder = context.workspace.join("fuzz/target/without-sanitizer");
    ["--sanitizer", "none", "--target-dir"]
        .map(str::to_owned)
        .into_iter()
        .chain([folder.display().to_string()])
        .collect()
}

fn run(context: &Context) -> anyhow::Result<Outcome> {
    if context.full { fuzz(context) } else { replay(context) }
}

fn replay(context: &Context) -> anyhow::Result<Outcome> {
    // Beside the program, whose dependencies are built.
    let mut cargo = context.cargo();
    cargo.args(["test", "--package", "fuzz-bodies", "--package", "cli", "--lib", "--test", "*"]);
    let output = cargo.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (mut passed, mut failed) = (0, 0);
    for line in said.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        passed += before(line, " passed").unwrap_or(0);
        failed += before(line, " failed").unwrap_or(0);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.trim().lines().last().unwrap_or_default();
    let complaint = format!("`cargo test -p fuzz-bodies` ended with {}: {last}", output.status);
    let corpus = context.workspace.join("fuzz/corpus");
    let targets = std::fs::read_dir(&corpus).map_or(0, Iterator::count);
    Ok(Outcome {
        tried: passed + failed,
        survived: passed,
        figure: format!("{passed} tests replay the corpora of {targets} targets, {} inputs", files(&corpus)),
        complaints: if output.status.success() { Vec::new() } else { vec![complaint] },
    })
}

fn fuzz(context: &Context) -> anyhow::Result<Outcome> {
    let mut list = context.cargo();
    let output = list.args(["+nightly", "fuzz", "list"]).output()?;
    ensure!(
        output.status.success(),
        "`cargo +nightly fuzz list` does not run; `rustup toolchain install nightly` and `cargo install cargo-fuzz` \
         install what it needs: {}",
        String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or_default()
    );
    let list = String::from_utf8_lossy(&output.stdout);
    let mut targets: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if let Some(unknown) = context.targets.iter().find(|name| !targets.contains(&name.as_str())) {
        bail!("--targets {unknown}: expected some of {}, found no such target", targets.join(", "));
    }
    targets.retain(|target| context.targets.is_empty() || context.targets.iter().any(|name| name == target));
    // One build for all targets of a kind, before they run in parallel.
    for kind in ["cifar", TEXT[0]] {
        let built =
            context.cargo().args(["+nightly", "fuzz", "build"]).args(flags(context, kind)).output()?;
        ensure!(built.status.success(), "`cargo +nightly fuzz build` ended with {}", built.status);
    }
    let tried = trials::run(context.jobs, targets.len() as u64, |number| {
        let target = targets[number as usize];
        fuzz_one(context, target).with_context(|| target.to_owned())
    });
    let executed: u64 = tried.held.iter().map(|(executed, _)| executed).sum();
    let peak = tried.held.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
    Ok(Outcome {
        // A failed target counts as one failed input.
        tried: executed + tried.complaints.len() as u64,
        survived: executed,
        figure: format!("{} of {} targets, {peak} MB at most", tried.held.len(), targets.len()),
        complaints: tried.complaints,
    })
}

/// Merges an earlier run of all targets with this rerun of exactly the targets that failed in it.
pub(crate) fn mended(earlier: Outcome, again: &Outcome, targets: &[String]) -> Outcome {
    let failed = |complaint: &String| {
        // `trial 7: mask: ended with ..`
        complaint.split(": ").nth(1).map(str::to_owned)
    };
    let all = earlier.complaints.iter().all(|one| failed(one).is_some_and(|name| targets.contains(&name)));
    if !all {
        return earlier;
    }
    Outcome {
        tried: earlier.survived + again.tried,
        survived: earlier.survived + again.survived,
        figure: format!("{}; again {}: {}", earlier.figure, targets.join(", "), again.figure),
        complaints: again.complaints.clone(),
    }
}

/// Executed inputs and peak MB.
fn fuzz_one(context: &Context, target: &str) -> anyhow::Result<(u64, u64)> {
    // New inputs go to the first folder, not to the committed corpus.
    let found = Place::new()?;
    let committed = context.workspace.join("fuzz/corpus").join(target);
    let mut cargo = context.cargo();
    cargo.args(["+nightly", "fuzz", "run"]).args(flags(context, target));
    cargo.arg(target).arg(found.path()).arg(&committed).arg("--");
    cargo.arg(format!("-runs={RUNS}")).arg(format!("-rss_limit_mb={MEMORY_MB}"));
    let output = cargo.args(["-print_final_stats=1", "-verbosity=0"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let line = said.lines().find(|line| line.contains("ERROR") || line.contains("panicked"));
        bail!("ended with {}: {}", output.status, line.unwrap_or_default());
    }
    let stat = |name: &str| -> anyhow::Result<u64> {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().parse().ok()).with_context(|| format!("no {name} in its output"))
    };
    let executed = stat("stat::number_of_executed_units")?;
    ensure!(executed >= RUNS, "only {executed} inputs");
    Ok((executed, stat("stat::peak_rss_mb")?))
}

/// The number before a word, as in `12 passed`.
fn before(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.0.rsplit(' ').next()?.parse().ok()
}

/// Counts the files in the subfolders of a folder.
fn files(folder: &Path) -> usize {
    let inner = std::fs::read_dir(folder).into_iter().flatten().flatten();
    inner.map(|entry| std::fs::read_dir(entry.path()).map_or(0, Iterator::count)).sum()
}

#[cfg(test)]
mod tests {
    use super::{before, mended};
    use crate::outcome::Outcome;

    #[test]
    fn every_target_of_text_is_there() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        for target in super::TEXT {
            assert!(folder.join(format!("{target}.rs")).is_file(), "{target}");
        }
    }

    #[test]
    fn what_failed_is_counted_again() {
        let outcome = |survived, figure: &str, complaints: &[&str]| Outcome {
            tried: survived + complaints.len() as u64,
            survived,
            figure: figure.to_owned(),
            complaints: complaints.iter().map(ToString::to_string).collect(),
        };
        let earlier = outcome(20, "10 of 12 targets", &["trial 1: a: ended", "trial 4: b: ended: x"]);
        let again = outcome(4, "2 of 2 targets", &[]);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = mended(earlier.clone(), &again, &names(&["a", "b"]));
        assert!(both.passed() && both.tried == 24);
        assert_eq!(both.figure, "10 of 12 targets; again a, b: 2 of 2 targets");
        // A rerun of only half of them is not enough, nor is a second failure.
        assert_eq!(mended(earlier.clone(), &again, &names(&["a"])).complaints.len(), 2);
        let failed = outcome(2, "1 of 2 targets", &["trial 0: a: ended"]);
        assert!(!mended(earlier, &failed, &names(&["a", "b"])).passed());
    }

    #[test]
    fn counts_of_a_test_run_are_read() {
        let line = "ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!((before(line, " passed"), before(line, " failed")), (Some(12), Some(3)));
        assert_eq!(before(line, " skipped"), None);
    }
}
