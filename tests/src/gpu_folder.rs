//! The folder of `cargo xtask gpu-kit` with a copy of the built program: made, packed, unpacked elsewhere and run there.

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
use zip::ZipWriter;
use zip::write::FileOptions;

use crate::packages::{succeed, xtask};
use crate::place::{Place, program};

/// The crates with tests for a GPU.
const CRATES: [&str; 4] = ["sampler", "torch-ext", "trainer", "unet"];
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
pub struct Kit {
    /// Where it is, and where its results go.
    pub place: Place,
    /// The names of the test programs in it.
    pub tests: Vec<String>,
    env: Vec<(&'static str, OsString)>,
}

/// What a run said and wrote.
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output, then standard error.
    pub said: String,
    /// The lines of its results.
    pub lines: Vec<Value>,
}

impl Kit {
    /// Makes the folder with a copy of the built program and moves it. It will find only `env`. Its lists are shortened: one
    /// small network, with two objectives and two solvers.
    ///
    /// # Errors
    /// When something is not built, or xtask fails.
    pub fn new(place: Place, env: Vec<(&'static str, OsString)>) -> anyhow::Result<Self> {
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
    #[must_use]
    pub fn command(&self, device: &str, out: &str) -> Command {
        let mut run = Command::new(self.at("run"));
        run.args(["--device", device, "--out"]).arg(self.place.at(out)).current_dir("/");
        run.env_clear().envs(self.env.iter().map(|(name, value)| (name, value))).env("OMP_NUM_THREADS", "1");
        run
    }

    /// Runs some stages, with failures planted in some of them if the program is wrapped.
    ///
    /// # Errors
    /// When it cannot be started, or leaves no results.
    pub fn run(&self, out: &str, only: &str, planted: &str) -> anyhow::Result<Ran> {
        let mut run = self.command("cpu", out);
        run.args(["--minutes", MINUTES, "--only", only]).env("PLANTED", planted);
        let output = run.output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let text = fs::read_to_string(self.place.at(out).join("results.jsonl")).context(said.clone())?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(Ran { code: output.status.code(), said, lines })
    }

    /// Puts a script in the place of the program, for planted failures.
    ///
    /// # Errors
    /// File system errors.
    pub fn wrap(&self) -> anyhow::Result<()> {
        fs::rename(self.at("bin/ddpm"), self.at("bin/whole"))?;
        fs::write(self.at("bin/ddpm"), WRAPPER)?;
        Ok(fs::set_permissions(self.at("bin/ddpm"), fs::Permissions::from_mode(0o755))?)
    }

    /// Adds a test program that fails.
    ///
    /// # Errors
    /// File system errors.
    pub fn break_tests(&self) -> anyhow::Result<()> {
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
    #[must_use]
    pub fn ended(&self) -> Vec<(&str, &str)> {
        let stages = self.lines.iter().filter(|line| line["kind"] == "stage");
        stages
            .map(|line| {
                (line["stage"].as_str().unwrap_or_default(), line["outcome"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// A check of a stage.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn check(&self, stage: &str, name: &str) -> anyhow::Result<&Value> {
        let is_it = |line: &&Value| line["kind"] == "check" && line["stage"] == stage && line["name"] == name;
        self.lines.iter().find(is_it).with_context(|| format!("{stage}: no check {name}: {}", self.said))
    }

    /// What a check found, which must have passed.
    ///
    /// # Errors
    /// When it failed, was skipped, or does not exist.
    pub fn passed(&self, stage: &str, name: &str) -> anyhow::Result<&str> {
        let check = self.check(stage, name)?;
        ensure!(check["ok"] == true, "{check}");
        Ok(check["why"].as_str().unwrap_or_default())
    }

    /// What the last table says of a stage.
    ///
    /// # Errors
    /// When the stage is not in it.
    pub fn row(&self, stage: &str) -> anyhow::Result<&str> {
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
