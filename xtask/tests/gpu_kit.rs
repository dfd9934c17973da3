//! End-to-end tests of `cargo xtask gpu-kit`, of the folder it makes and of `gpu-report`, with a fake `ddpm` that computes
//! nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const LIMIT: u64 = 48 << 20;
const STAGES: [&str; 6] = ["doctor", "tests", "compare", "robust", "speed", "training"];

struct Place {
    folder: TempDir,
}

impl Place {
    /// A place with the folder for a GPU in `moved/kit`, away from where it was made.
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.script("ddpm", include_str!("fake-gpu-ddpm.sh"));
        fs::create_dir_all(place.at("tests")).unwrap();
        place.script("tests/unet", "#!/bin/sh\n[ \"${FAKE_FAIL-}\" != unet ] || exit 1\necho 2 tests\n");
        // A libtorch for the search, which nothing loads.
        fs::create_dir_all(place.at("torch")).unwrap();
        fs::write(place.at("torch/libtorch_cpu.so"), "").unwrap();
        let made = place.kit("kit");
        assert!(made.status.success(), "{}", said(&made));
        fs::create_dir_all(place.at("moved")).unwrap();
        fs::rename(place.at("kit"), place.at("moved/kit")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn xtask(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(words).current_dir(self.folder.path()).output().unwrap()
    }

    fn kit(&self, out: &str) -> Output {
        self.xtask(&["gpu-kit", "--out", out, "--program", "ddpm", "--tests", "tests"])
    }

    /// Runs the folder with an environment that has a search path, libtorch and `extra` alone.
    fn run(&self, words: &str, extra: &[(&str, &str)]) -> Output {
        let mut command = Command::new(self.at("moved/kit/run"));
        command.args(words.split_whitespace()).env_clear().current_dir("/");
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("LD_LIBRARY_PATH", self.at("torch"));
        command.arg("--out").arg(self.at("results")).envs(extra.iter().copied());
        command.output().unwrap()
    }

    fn results(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.at("results/results.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines of the last run.
    fn last(&self) -> Vec<Value> {
        let mut all = self.results();
        let begin = all.iter().rposition(|line| line["kind"] == "head").unwrap();
        all.split_off(begin)
    }

    /// The stages of the last run and how they ended.
    fn ended(&self) -> Vec<(String, String)> {
        let last = self.last();
        let stages = last.iter().filter(|line| line["kind"] == "stage");
        stages.map(|line| (text(line, "stage"), text(line, "outcome"))).collect()
    }

    /// The checks that failed in the last run.
    fn failed(&self) -> Vec<String> {
        self.last().iter().filter(|line| line["ok"] == false).map(|line| text(line, "name")).collect()
    }

    /// Shortens what the stages go through.
    fn shorten(&self, presets: &[&str], objectives: &[&str], solvers: &[&str]) {
        let path = self.at("moved/kit/kit.json");
        let mut facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (key, names) in [("presets", presets), ("objectives", objectives), ("solvers", solvers)] {
            facts[key] = names.into();
        }
        fs::write(path, facts.to_string()).unwrap();
    }
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes_of(&path) } else { fs::metadata(&path).unwrap().len() }).sum()
}

#[test]
fn the_folder_has_all_it_needs_and_replaces_only_its_like() {
    let place = Place::new();
    let kit = place.at("moved/kit");
    for name in [
        "run",
        "README.txt",
        "kit.json",
        "ddpm",
        "bin/ddpm",
        "tests.zip",
        "scripts/bench_peers.py",
        "kit/main.py",
        "data/generated.bin",
        "licences/CRATES.txt",
    ] {
        assert!(kit.join(name).is_file(), "{name}");
    }
    assert!(bytes_of(&kit) <= LIMIT);
    // An older one is replaced, anything else is not.
    fs::rename(&kit, place.at("kit")).unwrap();
    assert!(place.kit("kit").status.success());
    fs::create_dir(place.at("photos")).unwrap();
    let refused = place.kit("photos");
    assert!(
        said(&refused).contains("--out photos: expected a new name or an older GPU folder"),
        "{}",
        said(&refused)
    );
    // Images that do not fit.
    let file = fs::File::create(place.at("large.npy")).unwrap();
    file.set_len(LIMIT).unwrap();
    let words = ["gpu-kit", "--out", "kit", "--program", "ddpm", "--tests", "tests", "--data", "large.npy"];
    let refused = place.xtask(&words);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.starts_with("error: --data large.npy: expected at most"), "{error}");
    assert_eq!((refused.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(place.at("kit/run").is_file());
}

#[test]
fn all_stages_run_and_a_planted_failure_does_not_stop_the_next() {
    let place = Place::new();
    let whole = place.run("--device cpu --minutes 2", &[]);
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    let ok: Vec<(String, String)> = STAGES.map(|stage| (stage.to_owned(), "ok".to_owned())).into();
    assert_eq!(place.ended(), ok, "{}", said(&whole));
    let table = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(table.lines().count() <= 26 && table.lines().all(|line| line.chars().count() <= 140), "{table}");
    assert!(STAGES.iter().all(|stage| place.at("results/logs").join(format!("{stage}.log")).is_file()));
    let names: Vec<String> =
        place.results().iter().filter_map(|line| line["name"].as_str().map(str::to_owned)).collect();
    for name in [
        "ddpm-cifar10, f32: norm of the first gradient",
        "ddpm-cifar10, f32: all gradients",
        "images, f32: worst gradient",
        "tiny-16 consistency, f32: 20 losses",
        "solver ddpm-learned, f32: pixels",
        "solver ddpm: other noise, other images",
        "killed and resumed",
        "a training that diverges, --on-nan stop",
        "a training that diverges, --on-nan skip",
        "a training that diverges, --on-nan rollback",
        "a batch of 2048",
        "unet starts",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    assert!(place.at("results/pieces/pieces.json").is_file());
    // What a CPU cannot show is skipped, with the reason.
    let skipped: Vec<(String, String)> = place
        .results()
        .iter()
        .filter(|line| line["kind"] == "check" && line["ok"].is_null())
        .map(|line| (text(line, "stage"), text(line, "why")))
        .collect();
    for (stage, why) in [
        ("tests", "they need a GPU"),
        ("compare", "a CPU is compared with itself in f32"),
        ("compare", "a CPU records nothing"),
        ("speed", "these are choices of a GPU"),
    ] {
        assert!(skipped.contains(&(stage.to_owned(), why.to_owned())), "{why}: {skipped:?}");
    }

    // A failure in each stage, with another stage that still runs.
    for (planted, only, broken) in [
        ("doctor --json", "doctor,tests", "doctor"),
        ("unet", "tests,speed", "tests"),
        ("check-device", "compare,speed", "compare"),
        ("predict", "compare,speed", "compare"),
        ("adam_eps", "robust,speed", "robust"),
        ("bench sample", "speed,training", "speed"),
        ("--preset ddpm-cifar10", "tests,training", "training"),
    ] {
        let words = format!("--device cpu --minutes 2 --only {only}");
        let output = place.run(&words, &[("FAKE_FAIL", planted)]);
        assert_eq!(output.status.code(), Some(1), "{planted}: {}", said(&output));
        let ended = place.ended();
        assert_eq!(ended.len(), 2, "{planted}: {ended:?}");
        for (stage, outcome) in ended {
            assert_eq!(outcome, if stage == broken { "FAILED" } else { "ok" }, "{planted}: {stage}");
        }
    }
    // The exit code of a training that gives up too early is the same.
    let output = place.run("--device cpu --minutes 2 --only robust", &[("FAKE_ROLLBACKS", "1 2")]);
    assert_eq!(place.ended(), [("robust".to_owned(), "FAILED".to_owned())], "{}", said(&output));
    assert_eq!(place.failed(), ["a training that diverges, --on-nan rollback"]);

    // A stage that takes too long is cut, and what it started ends.
    let output = place.run("--device cpu --minutes 0.1 --only compare,training", &[("FAKE_HANG", "predict")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ended = place.ended();
    assert_eq!((ended[0].1.as_str(), ended[1].1.as_str()), ("cut", "ok"), "{}", said(&output));

    // What was found becomes a page.
    let report = place.xtask(&["gpu-report", "results", "--out", "gpu.md"]);
    assert!(report.status.success(), "{}", said(&report));
    let page = fs::read_to_string(place.at("gpu.md")).unwrap();
    assert!(
        page.contains("the CPU alone, without a GPU")
            && page.contains("| doctor | FAILED: planted in doctor |"),
        "{page}"
    );
    assert!(page.contains("## Failed") && page.contains("planted in predict"), "{page}");
}

#[test]
fn on_a_gpu_precisions_recordings_and_layouts_are_compared() {
    let place = Place::new();
    place.shorten(&["tiny-16"], &["ddpm", "consistency"], &["ddim", "consistency"]);
    let run = |only: &str, extra: &[(&str, &str)]| {
        let extra = [&[("FAKE_DEVICE", "cuda:0")][..], extra].concat();
        place.run(&format!("--device cuda --minutes 4 --only {only}"), &extra)
    };
    let output = run("compare,speed", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let checks: Vec<String> = place
        .last()
        .iter()
        .filter(|line| line["kind"] == "check" && line["ok"] == true)
        .map(|line| text(line, "name"))
        .collect();
    for precision in ["f32", "tf32", "bf16"] {
        for what in ["all gradients", "worst gradient", "recorded steps", "recorded calls", "20 losses"] {
            let name = format!("tiny-16, {precision}: {what}");
            assert!(checks.contains(&name), "{name}: {checks:?}");
        }
        for solver in ["ddim", "consistency"] {
            let name = format!("solver {solver}, {precision}: pixels");
            assert!(checks.contains(&name), "{name}: {checks:?}");
        }
    }
    let speeds: Vec<(String, String)> = place
        .last()
        .iter()
        .filter(|line| line["kind"] == "speed")
        .map(|line| (text(line, "work"), text(line, "who")))
        .collect();
    let has = |work: &str, who: &str| speeds.contains(&(work.to_owned(), who.to_owned()));
    for work in ["train cifar10, 128 images", "sample cifar10, 16 images"] {
        for who in ["ours", "ours, not recorded", "ours, channels innermost"] {
            assert!(has(work, who), "{work}, {who}: {speeds:?}");
        }
    }
    assert!(has("sample small32, 64 images", "ours") && has("train cifar10, 512 images", "ours"));
    assert!(!has("train cifar10, 512 images", "ours, not recorded"), "{speeds:?}");

    // What should be recorded and is not is a failure. Training for consistency never is.
    let output = run("compare", &[("FAKE_RECORDS", "false")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let failed = place.failed();
    assert!(failed.contains(&"tiny-16, f32: recorded steps".to_owned()), "{failed:?}");
    let never = |line: &&Value| line["name"] == "tiny-16 consistency, bf16: recorded steps";
    assert!(place.last().iter().find(never).unwrap()["ok"].is_null());

    // A tensor that is off in f32 may be right in bf16. The table names it.
    let output = run("compare", &[("FAKE_WORST", "0.02")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected = ["tiny-16", "tiny-16 ddpm", "tiny-16 consistency"];
    assert_eq!(place.failed(), expected.map(|pair| format!("{pair}, f32: worst gradient")));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("tiny-16, f32: worst gradient: 0.02, at most 0.01"), "{table}");
}

#[test]
fn a_training_goes_on_from_its_pieces() {
    let place = Place::new();
    let train = || place.run("--device cpu --minutes 0.05 --only training", &[]);
    assert_eq!(train().status.code(), Some(0));
    let before = fs::read(place.at("results/training/checkpoints/step-00000007/model.safetensors")).unwrap();
    fs::remove_dir_all(place.at("results/training")).unwrap();
    let again = train();
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let path = place.at("results/training/checkpoints/step-00000007/model.safetensors");
    assert_eq!(fs::read(path).unwrap(), before);
    fs::remove_dir_all(place.at("results/training")).unwrap();
    let pieces = place.at("results/pieces/metrics.jsonl.000");
    fs::write(&pieces, "damaged").unwrap();
    let refused = train();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("metrics.jsonl is damaged"), "{}", said(&refused));
}

/// A folder with PyTorch of some version as pip leaves it, as far as anyone looks.
fn pytorch(place: &Place, version: &str) -> PathBuf {
    let folder = place.at(&format!("packages-{version}"));
    let facts = folder.join(format!("torch-{version}.dist-info"));
    fs::create_dir_all(folder.join("torch/lib")).unwrap();
    fs::create_dir_all(&facts).unwrap();
    fs::write(folder.join("torch/__init__.py"), "raise ImportError('nothing here needs it')\n").unwrap();
    fs::write(folder.join("torch/lib/libtorch_cpu.so"), "").unwrap();
    fs::write(facts.join("METADATA"), format!("Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"))
        .unwrap();
    folder
}

#[test]
fn the_pytorch_of_pip_is_used_if_it_is_2_11() {
    let place = Place::new();
    let run = |version: &str| {
        let packages = pytorch(&place, version);
        let extra = [("LD_LIBRARY_PATH", ""), ("PYTHONPATH", packages.to_str().unwrap())];
        place.run("--device cpu --minutes 0.5 --only doctor", &extra)
    };
    let found = run("2.11.0+cu130");
    assert_eq!(found.status.code(), Some(0), "{}", said(&found));
    for other in ["2.10.0", "2.110.0"] {
        let refused = run(other);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!((refused.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(
            error.contains("expected PyTorch 2.11 in") && error.contains(&format!("found {other};")),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let place = Place::new();
    let one_line = |output: &Output, expected: &str| {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", said(output));
        assert!(error.lines().count() == 1 && error.contains(expected), "{error}");
    };
    one_line(
        &place.run("--device cuda", &[]),
        "expected a GPU, found none: found 0 CUDA devices; try --device cpu",
    );
    assert!(!place.at("results/results.jsonl").exists());
    one_line(&place.run("--device cpu", &[("LD_LIBRARY_PATH", "/none")]), "expected PyTorch 2.11 in");
    one_line(
        &place.run("--device cpu", &[("PYTHON", "no-such-python")]),
        "expected `no-such-python` in PATH",
    );
    let usage = place.run("--device cpu --only news", &[]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(said(&usage).contains("--only news: expected some of doctor, tests"), "{}", said(&usage));
    let report = place.xtask(&["gpu-report", "results"]);
    one_line(&report, "found no results.jsonl");
}
