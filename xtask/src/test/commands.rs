//! The cargo commands of a test run.

use std::env;
use std::process::Command;

use super::{Args, END_TO_END, FUZZ_BODIES, GPU_TESTS, PROGRAM};
use crate::process;
use crate::workspace::{LIBTORCH_FREE, Workspace, target_folder};

/// The crate of `ddpm`, which depends on all other crates. It has neither a library, nor test programs, nor examples.
const DDPM: &str = "cli";

/// The crate with a feature that nothing turns on by default.
const DATASET: &str = "dataset";
const WITH_PARQUET: [&str; 2] = ["--features", "parquet"];

/// A folder that does not exist: anything that looks for libtorch with this fails.
const NOWHERE: &str = "/no-libtorch-on-this-machine";

/// Whether a crate must build without libtorch: xtask because it installs it, fuzzing to stay fast, and the crates in
/// the list that is promised to users.
pub(super) fn is_libtorch_free(name: &str) -> bool {
    ["xtask", FUZZ_BODIES].contains(&name) || LIBTORCH_FREE.contains(&name)
}

/// The commands of one test run.
pub(super) struct Run<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) args: &'a Args,
}

impl Run<'_> {
    /// `cargo COMMAND`, for the chosen crates or for all.
    fn cargo(&self, command: &str, all: &str) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg(command);
        if self.is_whole() {
            cargo.arg(all);
        }
        for name in &self.args.package {
            cargo.args(["-p", name]);
        }
        cargo.current_dir(self.workspace.root());
        cargo
    }

    pub(super) fn is_whole(&self) -> bool {
        self.args.package.is_empty()
    }

    pub(super) fn locked(&self) -> &'static [&'static str] {
        if self.args.locked { &["--locked"] } else { &[] }
    }

    pub(super) fn format(&self) -> Command {
        let mut cargo = self.cargo("fmt", "--all");
        cargo.arg("--check");
        cargo
    }

    pub(super) fn lints(&self) -> Command {
        let mut cargo = self.cargo("clippy", "--workspace");
        cargo.args(self.locked()).args(["--all-targets", "--", "-D", "warnings"]);
        cargo
    }

    pub(super) fn docs(&self) -> Command {
        let mut cargo = self.cargo("doc", "--workspace");
        cargo.args(self.locked()).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
        cargo
    }

    /// One crate's tests. A crate that promises to work without libtorch is tested without it.
    pub(super) fn tests(&self, name: &str) -> Command {
        let mut cargo = self.test(name);
        if is_libtorch_free(name) {
            without_libtorch(&mut cargo);
        }
        if self.is_beside_ddpm(name) {
            self.only_its_own(name, &mut cargo);
        }
        if self.is_whole() && name == DATASET {
            cargo.args(WITH_PARQUET);
        }
        cargo
    }

    /// The same without tests in the documentation.
    pub(super) fn test_programs(&self, name: &str) -> Command {
        let mut cargo = self.tests(name);
        if !self.is_beside_ddpm(name) {
            cargo.arg("--tests");
        }
        cargo
    }

    /// The tests in the documentation that [`Run::tests`] leaves out; `None` if it leaves out none.
    pub(super) fn doc_tests(&self, packages: &[String]) -> Option<Command> {
        let mut names = packages.iter().filter(|name| self.is_beside_ddpm(name)).peekable();
        names.peek()?;
        let mut cargo = self.test(DDPM);
        cargo.args(names.flat_map(|name| ["-p", name.as_str()])).arg("--doc");
        Some(cargo)
    }

    /// A crate's example, in the environment of its tests. If [`Run::build_of_example`] builds it, only that program.
    pub(super) fn example(&self, name: &str, example: &str) -> anyhow::Result<Command> {
        let mut command = if self.is_beside_ddpm(name) {
            Command::new(
                target_folder()?.join(format!("debug/examples/{example}{}", env::consts::EXE_SUFFIX)),
            )
        } else {
            let mut cargo = process::cargo(self.workspace);
            cargo.args(["run", "--quiet"]).args(self.locked()).args(["-p", name, "--example", example]);
            cargo
        };
        if is_libtorch_free(name) {
            without_libtorch(&mut command);
        }
        command.current_dir(self.workspace.root());
        Ok(command)
    }

    /// Builds an example beside `ddpm`, which `cargo run` cannot, as it takes a single crate; `None` for other crates.
    pub(super) fn build_of_example(&self, name: &str, example: &str) -> Option<Command> {
        self.is_beside_ddpm(name).then(|| {
            let mut cargo = process::cargo(self.workspace);
            cargo.args(["build", "--quiet"]).args(self.locked()).args(["-p", name, "-p", DDPM]);
            cargo.args(["--example", example]).current_dir(self.workspace.root());
            cargo
        })
    }

    /// Only the tests of some crates that need a GPU.
    pub(super) fn on_gpu(&self, names: &[&str]) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg("test").args(self.locked()).current_dir(self.workspace.root());
        for name in names {
            cargo.args(["-p", name]);
        }
        if self.is_whole() {
            cargo.args(["-p", DDPM]);
        }
        cargo.args(["--test", GPU_TESTS, "--", "--ignored"]);
        cargo
    }

    /// Lints and tests of what the feature `parquet` of `dataset` adds. In a run of all crates, the tests of `dataset` have the
    /// feature, and the built program does not.
    pub(super) fn of_parquet(&self) -> Vec<(&'static str, Command)> {
        let of = |words: &[&str], last: &[&str]| {
            let mut cargo = process::cargo(self.workspace);
            cargo.args(words).args(self.locked()).args(["-p", DATASET]).args(WITH_PARQUET).args(last);
            cargo.current_dir(self.workspace.root());
            without_libtorch(&mut cargo);
            cargo
        };
        let mut steps =
            vec![("lints of Parquet", of(&["clippy"], &["--all-targets", "--", "-D", "warnings"]))];
        if !self.is_whole() {
            steps.push(("tests of Parquet", of(&["test"], &["--lib", "--test", "tables"])));
        }
        steps
    }

    fn test(&self, name: &str) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg("test").args(self.locked()).args(["-p", name]).current_dir(self.workspace.root());
        cargo
    }

    /// Whether a crate is built with the features that `ddpm` gives to the dependencies. Alone, each crate gives them other
    /// ones, so cargo would compile tch and much else again for each crate. A crate that was chosen by name is tested alone.
    fn is_beside_ddpm(&self, name: &str) -> bool {
        self.is_whole() && !is_libtorch_free(name) && ![DDPM, END_TO_END].contains(&name)
    }

    /// Adds `ddpm`, and chooses the tests of the crate alone.
    fn only_its_own(&self, name: &str, cargo: &mut Command) {
        cargo.args(["-p", DDPM]);
        let folder = if name == PROGRAM {
            cargo.args(["--bin", "own_data"]);
            self.workspace.root().join(name)
        } else {
            cargo.arg("--lib");
            self.workspace.root().join("crates").join(name)
        };
        // Without this folder cargo would refuse the pattern.
        if folder.join("tests").is_dir() {
            cargo.args(["--test", "*"]);
        }
    }
}

fn without_libtorch(command: &mut Command) {
    command.env("LIBTORCH", NOWHERE).env_remove("LIBTORCH_USE_PYTORCH");
}

#[cfg(test)]
mod tests {
    use super::super::{ON_GPU, packages};
    use super::*;
    use std::fs;

    fn words(command: &Command) -> String {
        let line = process::line_of(command);
        line.split_once(' ').map(|(_, args)| args.to_owned()).unwrap_or_default()
    }

    fn env_of(command: &Command, name: &str) -> Option<String> {
        let (_, value) = command.get_envs().find(|(key, _)| *key == name)?;
        Some(value?.to_str().unwrap().to_owned())
    }

    #[test]
    fn parquet_has_steps_of_its_own() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, package: vec![DATASET.to_owned()], ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        let steps = run.of_parquet();
        let want = "clippy --locked -p dataset --features parquet --all-targets -- -D warnings";
        assert_eq!(words(&steps[0].1), want);
        assert_eq!(words(&steps[1].1), "test --locked -p dataset --features parquet --lib --test tables");
        assert_eq!(env_of(&steps[1].1, "LIBTORCH").as_deref(), Some(NOWHERE));
        assert_eq!(words(&run.tests(DATASET)), "test --locked -p dataset");

        let args = Args { locked: true, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(run.of_parquet().len(), 1);
        assert_eq!(words(&run.tests(DATASET)), "test --locked -p dataset --features parquet");
    }

    #[test]
    fn a_named_crate_limits_every_step() {
        let workspace = Workspace::find().unwrap();
        let args = Args { package: vec![String::from("schedule")], ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(words(&run.format()), "fmt -p schedule --check");
        assert_eq!(words(&run.lints()), "clippy -p schedule --all-targets -- -D warnings");
        assert_eq!(words(&run.docs()), "doc -p schedule --no-deps");
        assert_eq!(packages(&workspace, &args).unwrap(), ["schedule"]);
    }

    #[test]
    fn a_named_crate_is_tested_alone() {
        let workspace = Workspace::find().unwrap();
        let args = Args { package: vec![String::from("unet")], ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(words(&run.tests("unet")), "test -p unet");
        assert_eq!(words(&run.test_programs("unet")), "test -p unet --tests");
        assert!(run.doc_tests(&args.package).is_none() && run.build_of_example("unet", "predict").is_none());
        let example = run.example("unet", "predict").unwrap();
        assert_eq!(words(&example), "run --quiet -p unet --example predict");
        assert_eq!(words(&run.on_gpu(&["unet"])), "test -p unet --test gpu -- --ignored");
    }

    #[test]
    fn in_a_run_of_all_crates_the_dependencies_have_the_features_of_ddpm() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(words(&run.lints()), "clippy --workspace --locked --all-targets -- -D warnings");
        let line = "test --locked -p unet -p cli --lib --test *";
        assert_eq!(words(&run.tests("unet")), line);
        assert_eq!(words(&run.test_programs("unet")), line);
        assert_eq!(words(&run.tests("denoiser")), "test --locked -p denoiser -p cli --lib");
        assert_eq!(words(&run.tests(PROGRAM)), "test --locked -p examples -p cli --bin own_data --test *");
        let build = run.build_of_example("unet", "predict").unwrap();
        assert_eq!(words(&build), "build --quiet --locked -p unet -p cli --example predict");
        let example = run.example("unet", "predict").unwrap();
        assert!(example.get_program().to_string_lossy().contains("debug/examples/predict"));
        let example = run.example("schedule", "tables").unwrap();
        assert_eq!(words(&example), "run --quiet --locked -p schedule --example tables");
        for name in ["cli", "tests", "schedule", "xtask"] {
            assert_eq!(words(&run.tests(name)), format!("test --locked -p {name}"));
        }
        let all = packages(&workspace, &args).unwrap();
        let documented = words(&run.doc_tests(&all).unwrap());
        assert!(documented.starts_with("test --locked -p cli -p ") && documented.ends_with(" --doc"));
        assert!(documented.contains(" -p unet ") && !documented.contains(" -p schedule "), "{documented}");
    }

    /// With these, tests of `ddpm` would run with every crate's.
    #[test]
    fn ddpm_has_neither_a_library_nor_test_programs_nor_examples() {
        let folder = Workspace::find().unwrap().root().join("crates").join(DDPM);
        assert!(folder.join("src/main.rs").is_file());
        for absent in ["src/lib.rs", "tests", "examples"] {
            assert!(!folder.join(absent).exists(), "{absent}");
        }
    }

    /// Otherwise a crate might work only beside `ddpm`, which turns on what the crate forgot to ask for.
    #[test]
    fn crates_with_libtorch_take_their_dependencies_as_the_workspace_has_them() {
        let workspace = Workspace::find().unwrap();
        for name in workspace.crates_bottom_up().unwrap().iter().filter(|name| *name != DDPM) {
            let path = workspace.root().join("crates").join(name).join("Cargo.toml");
            let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
            let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
            let listed = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten();
            for (dependency, how) in listed.filter(|_| !is_libtorch_free(name)) {
                let as_in_workspace = toml::Table::from_iter([("workspace".to_owned(), true.into())]);
                assert_eq!(how.as_table(), Some(&as_in_workspace), "{name}: {dependency}");
            }
        }
    }

    #[test]
    fn crates_without_libtorch_are_tested_without_it() {
        let workspace = Workspace::find().unwrap();
        let args = Args::default();
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(env_of(&run.tests("schedule"), "LIBTORCH").as_deref(), Some(NOWHERE));
        let example = run.example("schedule", "tables").unwrap();
        assert_eq!(env_of(&example, "LIBTORCH").as_deref(), Some(NOWHERE));
        assert_eq!(env_of(&run.tests("unet"), "LIBTORCH").as_deref(), None);
    }

    /// Every test that needs a GPU is in this target, and nothing else is.
    #[test]
    fn tests_on_a_gpu_are_those_of_the_targets_of_that_name() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        let expected =
            "test --locked -p torch-ext -p unet -p trainer -p sampler -p cli --test gpu -- --ignored";
        assert_eq!(words(&run.on_gpu(&ON_GPU)), expected);
        for name in workspace.crates_bottom_up().unwrap() {
            let path = workspace.root().join("crates").join(&name).join("tests/gpu.rs");
            assert_eq!(path.is_file(), ON_GPU.contains(&name.as_str()), "{}", path.display());
            if let Ok(text) = fs::read_to_string(&path) {
                let (tests, ignored) = (text.matches("#[test]").count(), text.matches("#[ignore =").count());
                assert!(tests > 0 && tests == ignored, "{}", path.display());
            }
        }
    }
}
