//! End-to-end tests of `cargo xtask ablate`, with a fake `ddpm` that computes nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const STUDY: &str = r#"
[base]
preset = "tiny-16"
set = ["train.ema_sigma_rels=[0.1]"]
ema = ["own", "sigma_rel=0.1"]
[budget]
seconds = 30
[evaluate]
n = 9
metrics = ["fd"]
samplings = [{ sampler = "ddim", steps = 4 }, { sampler = "ddpm", steps = 8, ema = ["own"] }]
[best]
count = 2
seeds = [0, 1, 2]
[[row]]
name = "poor"
[[row]]
name = "good"
objective = "flow"
[[row]]
name = "wild"
set = ["train.lr=9"]
[[row]]
name = "fair"
objective = "v"
seeds = [0, 1]
"#;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(study: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let program = place.at("ddpm");
        fs::write(&program, include_str!("fake-ddpm.sh")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.at("s.toml"), study).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    fn xtask(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("ablate").args(words.split_whitespace()).arg("--program").arg(self.at("ddpm"));
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Calls since the last check that start with `start`; clears the log.
    fn calls(&self, all: &[&str]) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.at("calls"));
        // Checks before the work do not count.
        let is_check = |line: &&str| line.contains("--dump-config") || line.contains("/no-run ");
        let of = |start: &&str| {
            let lines = text.lines().filter(|line| line.starts_with(*start) && !is_check(line));
            lines.map(str::to_owned).collect()
        };
        all.iter().map(of).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_study_that_was_killed_goes_on_where_it_was() {
    let place = Place::new(STUDY);
    let plan = place.xtask("s.toml --dry-run");
    assert!(plan.status.success(), "{}", said(&plan));
    let text = said(&plan);
    assert!(text.contains("5 trainings of 30 s and 15 evaluations of 9 images are left"), "{text}");
    // Two of four rows: half of the 2 + 2 + 2 + 1 further trainings.
    assert!(text.contains("further seeds of the best 2 rows: 4 trainings and 10 evaluations"), "{text}");
    assert!(text.contains("predicted here: 6 min") && !place.at("runs").exists(), "{text}");
    place.calls(&[]);

    // `good` is the second row.
    fs::write(place.at("kill-good"), "").unwrap();
    let killed = place.xtask("s.toml --out docs --json all.json");
    assert_eq!(killed.status.signal(), Some(9), "{}", said(&killed));
    let calls = place.calls(&["train", "evaluate", "ema"]);
    // Two rows with two warm-ups and one training each.
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [6, 3, 1]);
    assert!(calls[0][2].contains("train.steps=600"), "{:?}", calls[0]);
    assert!(!place.at("docs/s.md").exists());
    let begun = said(&place.xtask("s.toml --dry-run"));
    assert!(begun.lines().any(|line| line.starts_with("good ") && line.ends_with("begun")), "{begun}");
    assert!(begun.lines().any(|line| line.starts_with("poor ") && line.ends_with("done")), "{begun}");
    place.calls(&[]);

    // One row diverges; the others finish, and the exit code is 1.
    let output = place.xtask("s.toml --out docs --json all.json");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let calls = place.calls(&["train", "evaluate", "ema", "draw-ablation"]);
    let (resumed, begun): (Vec<&String>, Vec<&String>) =
        calls[0].iter().partition(|line| line.starts_with("train --resume"));
    assert!(resumed.len() == 1 && resumed[0].contains("good/seed-0/run"), "{resumed:?}");
    // wild and fair with their warm-ups, fair's own second seed, then those of the best: two of good, one of fair.
    assert_eq!(begun.len(), 2 * 3 + 1 + 3, "{begun:?}");
    assert!(begun.iter().all(|line| !line.contains("poor")), "{begun:?}");
    for further in ["good/seed-1", "good/seed-2", "fair/seed-1", "fair/seed-2"] {
        assert!(
            begun.iter().any(|line| line.contains(further) && line.contains("train.steps=600")),
            "{further}"
        );
    }
    assert_eq!((calls[1].len(), calls[2].len(), calls[3].len()), (6 * 3, 6, 1));
    assert!(calls[1].iter().all(|line| !line.contains("poor")), "{:?}", calls[1]);
    // Model folders are removed.
    assert!(!place.at("runs/ablations/s/good/seed-0/average").exists());
    assert!(!place.at("runs/ablations/s/good/warm-up").exists());

    let page = place.text("docs/s.md");
    for part in [
        "# Ablation: s\n",
        "as many steps as take 30 s here",
        // Three seeds: 10, 12 and 14.
        "| good | own | ddim 4 | 12.00 | 8.000 to 16.00 | 2.000 (3) | 600 | 30 | objective flow |",
        "| fair | own | ddim 4 | 20.00 | 18.00 to 22.00 | 0 (3) | 600 | 30 | objective v |",
        "| poor | own | ddim 4 | 30.00 | 28.00 to 32.00 |  | 600 | 30 | - |",
        "- wild, seed 0: training: diverged: the loss is not finite at step 3",
        "- good, seed 0: the average sigma_rel=0.1 is off by 7 %",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let picture: Value = serde_json::from_str(&place.text("docs/s.png")).unwrap();
    assert_eq!(picture["groups"].as_array().unwrap().len(), 3);
    assert_eq!(picture["groups"][0]["heading"], "good: objective flow");
    assert_eq!(place.text("all.json").trim(), place.text("runs/ablations/s/ablation.json").trim());

    // Everything exists: only the failed row is tried again.
    let output = place.xtask("s.toml --out docs");
    assert_eq!(output.status.code(), Some(1));
    let calls = place.calls(&["train", "evaluate", "ema"]);
    assert_eq!((calls[0].len(), calls[1].len(), calls[2].len()), (1, 0, 0), "{calls:?}");
    assert_eq!(place.text("docs/s.md"), page);

    // Page and picture from the numbers only.
    let again = place.xtask("--from all.json --out elsewhere");
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(
        (place.text("elsewhere/s.md"), place.text("elsewhere/s.png")),
        (page, place.text("docs/s.png"))
    );
}

#[test]
fn more_evaluations_are_added_and_a_changed_training_is_refused() {
    let rows = STUDY.find("[[row]]").unwrap();
    let small = format!("{}[[row]]\nname = 'good'\n", STUDY[..rows].replace("seconds = 30", "steps = 6"));
    let small = small.replace("count = 2", "count = 1").replace("[0, 1, 2]", "[0]");
    let place = Place::new(&small);
    assert!(place.xtask("s.toml").status.success());
    let calls = place.calls(&["train", "evaluate"]);
    assert_eq!((calls[0].len(), calls[1].len()), (1, 3), "{calls:?}");

    fs::write(place.at("s.toml"), small.replace("steps = 8", "steps = 9")).unwrap();
    assert!(place.xtask("s.toml").status.success());
    let calls = place.calls(&["train", "evaluate"]);
    assert_eq!((calls[0].len(), calls[1].len()), (0, 1), "{calls:?}");
    assert!(place.text("runs/ablations/s/s.md").contains("| ddpm 9 |"));

    // A failed evaluation is reported, and the others stay.
    fs::write(place.at("s.toml"), small.replace("\"ddpm\"", "\"heun\"")).unwrap();
    let output = place.xtask("s.toml");
    assert_eq!(output.status.code(), Some(1));
    let failed = "failed: good, seed 0, own, heun 8: --sampler heun: not of this network";
    assert!(said(&output).contains(failed) && said(&output).contains("10.00"), "{}", said(&output));

    for (from, to, expected) in [
        (
            "train.ema_sigma_rels=[0.1]",
            "train.ema_sigma_rels=[0.2]",
            "s.toml: row `good`: set is [train.ema_sigma_rels=[0.2]] and was",
        ),
        ("steps = 6", "steps = 7", "s.toml: row `good`: [budget] is 7 steps and was 6 steps"),
        (
            "name = 'good'",
            "name = 'new'\nset = ['train.no_such=1']",
            "s.toml: row `new`: configuration: train: unknown field",
        ),
        (
            "name = 'good'",
            "name = 'good'\n[[row]]\nname = 'same'",
            "s.toml: row `same`: set: the same training as row `good`",
        ),
        (
            "\"ddim\"",
            "\"ddmi\"",
            "s.toml: row `good`: the evaluation by ddmi 4: --sampler: unknown sampler \"ddmi\"",
        ),
        ("[best]", "[bust]", "s.toml: unknown key `bust`"),
    ] {
        fs::write(place.at("s.toml"), small.replace(from, to)).unwrap();
        place.calls(&[]);
        let output = place.xtask("s.toml");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.starts_with(&format!("error: {expected}")), "{errors}");
        assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
        assert_eq!(place.calls(&["train", "evaluate"]), [Vec::<String>::new(), Vec::new()]);
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_the_work() {
    let place = Place::new(STUDY);
    for (words, expected) in [
        ("none.toml", "error: none.toml: "),
        ("s.toml --out s.toml", "error: --out s.toml/s.md: cannot be written"),
        ("s.toml --json s.toml/x", "error: --json s.toml/x: cannot be written"),
        ("--from s.toml", "error: s.toml: "),
        ("", "error: the following required arguments"),
        ("s.toml --from x.json", "error: the argument"),
    ] {
        let output = place.xtask(words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.starts_with(expected), "{words}: {errors}");
        assert_eq!(place.calls(&["train"]), [Vec::<String>::new()], "{words}");
    }
}
