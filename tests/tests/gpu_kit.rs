//! The folder of `cargo xtask gpu-kit` with a copy of the built program: packed, unpacked elsewhere, and run there on the CPU
//! without any of the caller's environment. Its lists are shortened, so that every stage comes to its end.
//!
//! PyTorch is too large to install in each test, so there is a folder that looks like what pip leaves, with the tested
//! libtorch in it. With a real one: `PYTHON=/path/to/python cargo test -p tests --test gpu_kit -- --ignored`.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::packages::{path_with_pytorch, succeed, xtask};
use tests::{Place, program};
use zip::ZipWriter;
use zip::write::FileOptions;

/// The crates with tests for a GPU.
const CRATES: [&str; 4] = ["sampler", "torch-ext", "trainer", "unet"];
const STAGES: [&str; 6] = ["doctor", "tests", "compare", "robust", "speed", "training"];
/// Far more than the short lists need: a stage must not be cut.
const MINUTES: &str = "12";

/// Stands for the program: the calls of the stages in PLANTED fail.
const WRAPPER: &str = r#"#!/bin/sh
for stage in ${PLANTED-}; do
    case $stage in
    doctor) calls='doctor --json' ;;
    compare) calls=/work/compare/ ;;
    robust) calls=/work/robust/ ;;
    speed) calls='bench ' ;;
    training) calls='/training --quiet' ;;
    *) continue ;;
    esac
    case "$*" in
    *"$calls"*)
        echo "error: planted in $stage" >&2
        exit 1
        ;;
    esac
done
exec "$(dirname "$0")/whole" "$@"
"#;

/// A folder for a GPU, away from where it was made.
struct Kit {
    place: Place,
    /// What it finds: PATH, and PYTHON if a test asks for one.
    env: Vec<(&'static str, OsString)>,
    /// The test programs in it.
    tests: Vec<String>,
}

/// What a run said and wrote.
struct Ran {
    code: Option<i32>,
    said: String,
    lines: Vec<Value>,
}

impl Kit {
    fn new(place: Place, env: Vec<(&'static str, OsString)>) -> anyhow::Result<Self> {
        fs::create_dir(place.at("gpu-tests"))?;
        let tests = test_programs(&place.at("gpu-tests"))?;
        let program = program()?;
        let program = program.to_str().context("the program's path is no text")?;
        xtask(&place, &["gpu-kit", "--out", "kit", "--program", program, "--tests", "gpu-tests"])?;
        fs::create_dir(place.at("elsewhere"))?;
        succeed(Command::new("tar").args(["-cf", "kit.tar", "kit"]).current_dir(place.path()))?;
        fs::remove_dir_all(place.at("kit"))?;
        succeed(Command::new("tar").args(["-xf", "../kit.tar"]).current_dir(place.at("elsewhere")))?;
        let kit = Self { place, env, tests };
        kit.shorten()?;
        Ok(kit)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.at("elsewhere/kit").join(name)
    }

    /// One small network, with two objectives and two solvers.
    fn shorten(&self) -> anyhow::Result<()> {
        let path = self.at("kit.json");
        let mut facts: Value = serde_json::from_slice(&fs::read(&path)?)?;
        facts["presets"] = json!(["tiny-16"]);
        facts["objectives"] = json!(["ddpm", "learned"]);
        facts["solvers"] = json!(["ddim", "ddpm-learned"]);
        facts["speed"] =
            json!([["train", "tiny-16", 1, false, false], ["sample", "tiny-16", 1, false, false]]);
        facts["training"] = json!("tiny-16");
        Ok(fs::write(path, facts.to_string())?)
    }

    /// A call of the folder with nothing else in its environment.
    fn command(&self, device: &str, out: &str) -> Command {
        let mut run = Command::new(self.at("run"));
        run.args(["--device", device, "--out"]).arg(self.place.at(out)).current_dir("/");
        run.env_clear().envs(self.env.iter().map(|(name, value)| (name, value))).env("OMP_NUM_THREADS", "1");
        run
    }

    /// Runs some stages, with failures planted in some of them.
    fn run(&self, out: &str, only: &str, planted: &str) -> anyhow::Result<Ran> {
        let mut run = self.command("cpu", out);
        run.args(["--minutes", MINUTES, "--only", only]).env("PLANTED", planted);
        let output = run.output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let text = fs::read_to_string(self.place.at(out).join("results.jsonl")).context(said.clone())?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(Ran { code: output.status.code(), said, lines })
    }

    /// Puts [`WRAPPER`] in the place of the program.
    fn wrap(&self) -> anyhow::Result<()> {
        fs::rename(self.at("bin/ddpm"), self.at("bin/whole"))?;
        fs::write(self.at("bin/ddpm"), WRAPPER)?;
        Ok(fs::set_permissions(self.at("bin/ddpm"), fs::Permissions::from_mode(0o755))?)
    }

    /// Adds a test program that fails.
    fn break_tests(&self) -> anyhow::Result<()> {
        let archive = File::options().read(true).write(true).open(self.at("tests.zip"))?;
        let mut writer = ZipWriter::new_append(archive)?;
        writer.start_file("broken", FileOptions::default())?;
        writer.write_all(b"#!/bin/sh\necho planted in tests >&2\nexit 1\n")?;
        let _archive = writer.finish()?;
        Ok(())
    }
}

impl Ran {
    /// The stages, and how they ended.
    fn ended(&self) -> Vec<(&str, &str)> {
        let stages = self.lines.iter().filter(|line| line["kind"] == "stage");
        stages
            .map(|line| {
                (line["stage"].as_str().unwrap_or_default(), line["outcome"].as_str().unwrap_or_default())
            })
            .collect()
    }

    fn check(&self, stage: &str, name: &str) -> anyhow::Result<&Value> {
        let is_it = |line: &&Value| line["kind"] == "check" && line["stage"] == stage && line["name"] == name;
        self.lines.iter().find(is_it).with_context(|| format!("{stage}: no check {name}: {}", self.said))
    }

    /// A check that passed, and what it found.
    fn passed(&self, stage: &str, name: &str) -> anyhow::Result<&str> {
        let check = self.check(stage, name)?;
        ensure!(check["ok"] == true, "{check}");
        Ok(check["why"].as_str().unwrap_or_default())
    }

    /// What the last table says of a stage.
    fn row(&self, stage: &str) -> anyhow::Result<&str> {
        let begins = |line: &&str| line.split_whitespace().next() == Some(stage);
        self.said.lines().find(begins).with_context(|| format!("{stage} is not in the table: {}", self.said))
    }
}

/// Copies test programs to a folder and returns their names: those of the crates for a GPU, as far as they are built, and
/// this one, which has an ignored test as well.
fn test_programs(to: &Path) -> anyhow::Result<Vec<String>> {
    let own = std::env::current_exe()?;
    let mut newest: BTreeMap<&str, (SystemTime, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(own.parent().context("the test is not in a folder")?)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some() || !entry.file_name().to_string_lossy().starts_with("gpu-") {
            continue;
        }
        // Beside each program cargo leaves the list of its sources.
        let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
        let is_its = |name: &&str| sources.contains(&format!("crates/{name}/tests/gpu.rs"));
        if let Some(name) = CRATES.into_iter().find(is_its) {
            let changed = entry.metadata()?.modified()?;
            if newest.get(name).is_none_or(|(before, _)| *before < changed) {
                let _older = newest.insert(name, (changed, path));
            }
        }
    }
    let mut names = vec!["tests".to_owned()];
    let _bytes = fs::copy(&own, to.join("tests"))?;
    for (name, (_, path)) in newest {
        let _bytes = fs::copy(path, to.join(name))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Runs all stages. None may be cut, and each must have found what it is there for.
fn every_stage_reaches_its_end(kit: &Kit) -> anyhow::Result<Ran> {
    let ran = kit.run("results", &STAGES.join(","), "")?;
    ensure!(ran.code == Some(0), "{}", ran.said);
    assert_eq!(ran.ended(), STAGES.map(|stage| (stage, "ok")), "{}", ran.said);
    for stage in STAGES {
        let row = ran.row(stage)?;
        ensure!(row.split_whitespace().nth(1) == Some("ok"), "{row}");
    }
    assert!(ran.lines.iter().all(|line| line["ok"] != false), "{}", ran.said);

    for name in ["libtorch", "convolution", "gradient"] {
        ran.passed("doctor", name)?;
    }
    for name in &kit.tests {
        let found = ran.passed("tests", &format!("{name} starts"))?;
        let tests: u32 = found.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        ensure!(tests > 0 && found.ends_with("benchmarks"), "{name}: {found}");
        ensure!(ran.check("tests", &format!("the tests of {name}"))?["why"] == "they need a GPU");
    }
    for pair in ["tiny-16", "tiny-16 ddpm", "tiny-16 learned"] {
        for what in ["output", "all gradients", "worst gradient", "norm of the first gradient", "20 losses"] {
            let name = format!("{pair}, f32: {what}");
            let found = ran.passed("compare", &name)?;
            let check = ran.check("compare", &name)?;
            ensure!(
                check["value"].as_f64() <= check["limit"].as_f64() && !check["value"].is_null(),
                "{check}"
            );
            // All tensors were compared, whose names are in it.
            ensure!(what != "worst gradient" || found.ends_with(" tensors"), "{check}");
        }
    }
    for name in [
        "solver ddim, f32: pixels",
        "solver ddpm-learned, f32: pixels",
        "solver ddim: other noise, other images",
    ] {
        ran.passed("compare", name)?;
    }
    for (name, why) in [
        ("tf32 and bf16", "a CPU is compared with itself in f32"),
        ("with and without recordings", "a CPU records nothing"),
    ] {
        ensure!(ran.check("compare", name)?["why"] == why);
    }
    for (name, found) in [
        ("a run is stopped", "exit code 130"),
        ("stopped and resumed", "the same bytes"),
        ("a run is killed", "exit code -9"),
        ("killed and resumed", "the same bytes"),
        ("a training that diverges, --on-nan stop", "exit code 3, expected 3; training diverged"),
        ("a training that diverges, --on-nan skip", "'skipping step' 10 times, expected 10"),
        ("a training that diverges, --on-nan rollback", "'back to step 0' 5 times, expected 5"),
        ("a batch of 2048", "exit code 6"),
        ("a batch of 2048 in parts, --batch auto", "exit code 0"),
    ] {
        let why = ran.passed("robust", name)?;
        ensure!(why.contains(found), "{name}: {why}");
    }
    let speeds: Vec<&Value> = ran.lines.iter().filter(|line| line["kind"] == "speed").collect();
    let works: Vec<&str> = speeds.iter().filter_map(|line| line["work"].as_str()).collect();
    assert_eq!(works, ["train tiny-16, 1 image", "sample tiny-16, 1 image"]);
    for speed in speeds {
        let number = |key: &str| speed[key].as_f64().unwrap_or_default();
        ensure!(number("images_per_s") > 0.0 && number("share_of_peak") > 0.0, "{speed}");
    }
    let training = ran.lines.iter().find(|line| line["kind"] == "training").context("no training")?;
    ensure!(
        training["steps"] == 200 && training["loss"].as_f64().is_some_and(|loss| loss > 0.0),
        "{training}"
    );
    let pieces: Vec<Value> = serde_json::from_slice(&kit.place.read("results/pieces/pieces.json")?)?;
    ensure!(pieces.iter().any(|piece| piece["name"] == "config.toml"), "{pieces:?}");
    Ok(ran)
}

/// The stages in `planted` fail, the others of `only` pass, and the table says what failed.
fn planted_failures_stop_nothing(kit: &Kit, only: &str, planted: &str) -> anyhow::Result<()> {
    let ran = kit.run(&format!("planted in {planted}"), only, planted)?;
    ensure!(ran.code == Some(1), "{}", ran.said);
    let fails = |stage: &str| planted.split(' ').any(|name| name == stage);
    let expected: Vec<(&str, &str)> =
        only.split(',').map(|stage| (stage, if fails(stage) { "FAILED" } else { "ok" })).collect();
    assert_eq!(ran.ended(), expected, "{}", ran.said);
    for stage in only.split(',') {
        let (row, why) = (ran.row(stage)?, format!("planted in {stage}"));
        ensure!(row.contains(&why) == fails(stage), "{row}");
    }
    Ok(())
}

#[test]
fn the_folder_runs_elsewhere_and_reports() -> anyhow::Result<()> {
    let place = Place::new()?;
    let path = path_with_pytorch(&place)?;
    let kit = Kit::new(place, vec![("PATH", path)])?;
    every_stage_reaches_its_end(&kit)?;

    let place = &kit.place;
    xtask(place, &["gpu-report", "results", "--out", "gpu.md"])?;
    let page = String::from_utf8(place.read("gpu.md")?)?;
    assert!(page.starts_with("# On a GPU\n") && page.contains("| doctor | ok | "), "{page}");
    assert!(page.contains("tiny-16 learned, f32: worst gradient (") && !page.contains("## Failed"), "{page}");

    // No GPU is visible, even if there is one.
    let output = kit.command("cuda", "no results").env("CUDA_VISIBLE_DEVICES", "").output()?;
    let error = String::from_utf8(output.stderr)?;
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with("run: expected a GPU, found none: "), "{error}");

    kit.wrap()?;
    planted_failures_stop_nothing(&kit, "doctor,tests,compare,speed,training", "doctor compare")?;
    planted_failures_stop_nothing(&kit, "speed,training", "speed")?;
    kit.break_tests()?;
    planted_failures_stop_nothing(&kit, "tests,robust,speed,training", "tests robust training")
}

#[test]
#[ignore = "needs PYTHON, which has PyTorch 2.11 from pip"]
fn the_folder_runs_with_the_pytorch_of_pip() -> anyhow::Result<()> {
    let python = std::env::var_os("PYTHON").context("expected PYTHON, the path of a Python with PyTorch")?;
    let script =
        "import os, torch; print(torch.__version__, os.path.dirname(os.path.realpath(torch.__file__)))";
    let output = Command::new(&python).args(["-c", script]).output()?;
    let said = String::from_utf8(output.stdout)?;
    let (version, folder) = said.trim().split_once(' ').context("PYTHON cannot import torch")?;
    ensure!(version.starts_with("2.11."), "expected PyTorch 2.11, found {version}");

    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let kit = Kit::new(Place::new()?, vec![("PATH", path), ("PYTHON", python)])?;
    let ran = every_stage_reaches_its_end(&kit)?;
    let libtorch = ran.passed("doctor", "libtorch")?;
    ensure!(libtorch.contains(folder), "expected the libtorch of {folder}, found {libtorch}");
    Ok(())
}
