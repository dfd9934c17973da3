//! The cargo commands of a test run.

use std::process::Command;

use super::{Args, END_TO_END, FUZZ_BODIES, GPU_TESTS};
use crate::process;
use crate::workspace::{LIBTORCH_FREE, Workspace};

/// The program, which depends on all other crates. It has neither a library nor test programs.
const PROGRAM: &str = "cli";

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
            cargo.env("LIBTORCH", NOWHERE).env_remove("LIBTORCH_USE_PYTORCH");
        }
        if self.is_beside_the_program(name) {
            self.beside_the_program(name, &mut cargo);
        }
        cargo
    }

    /// The same without tests in the documentation.
    pub(super) fn test_programs(&self, name: &str) -> Command {
        let mut cargo = self.tests(name);
        if !self.is_beside_the_program(name) {
            cargo.arg("--tests");
        }
        cargo
    }

    /// The tests in the documentation that [`Run::tests`] leaves out; `None` if it leaves out none.
    pub(super) fn doc_tests(&self, packages: &[String]) -> Option<Command> {
        let mut names = packages.iter().filter(|name| self.is_beside_the_program(name)).peekable();
        names.peek()?;
        let mut cargo = self.test(PROGRAM);
        cargo.args(names.flat_map(|name| ["-p", name.as_str()])).arg("--doc");
        Some(cargo)
    }

    /// Only the tests of some crates that need a GPU.
    pub(super) fn on_gpu(&self, names: &[&str]) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg("test").args(self.locked()).current_dir(self.workspace.root());
        for name in names {
            cargo.args(["-p", name]);
        }
        if self.is_whole() {
            cargo.args(["-p", PROGRAM]);
        }
        cargo.args(["--test", GPU_TESTS, "--", "--ignored"]);
        cargo
    }

    fn test(&self, name: &str) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg("test").args(self.locked()).args(["-p", name]).current_dir(self.workspace.root());
        cargo
    }

    /// Whether a crate is built with the features that the program gives to the dependencies. Alone, each crate gives
    /// them other ones, so cargo would compile tch and much else again for each crate. A crate that was chosen by name
    /// is tested alone.
    fn is_beside_the_program(&self, name: &str) -> bool {
        self.is_whole() && !is_libtorch_free(name) && ![PROGRAM, END_TO_END].contains(&name)
    }

    /// Adds the program, of which no test is chosen.
    fn beside_the_program(&self, name: &str, cargo: &mut Command) {
        cargo.args(["-p", PROGRAM, "--lib"]);
        // Without this folder cargo would refuse the pattern.
        if self.workspace.root().join("crates").join(name).join("tests").is_dir() {
            cargo.args(["--test", "*"]);
        }
    }
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
        assert!(run.doc_tests(&args.package).is_none());
        assert_eq!(words(&run.on_gpu(&["unet"])), "test -p unet --test gpu -- --ignored");
    }

    #[test]
    fn in_a_run_of_all_crates_the_dependencies_have_the_features_of_the_program() {
        let workspace = Workspace::find().unwrap();
        let args = Args { locked: true, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        assert_eq!(words(&run.lints()), "clippy --workspace --locked --all-targets -- -D warnings");
        let line = "test --locked -p unet -p cli --lib --test *";
        assert_eq!(words(&run.tests("unet")), line);
        assert_eq!(words(&run.test_programs("unet")), line);
        assert_eq!(words(&run.tests("denoiser")), "test --locked -p denoiser -p cli --lib");
        for name in ["cli", "tests", "schedule", "xtask"] {
            assert_eq!(words(&run.tests(name)), format!("test --locked -p {name}"));
        }
        let all = packages(&workspace, &args).unwrap();
        let documented = words(&run.doc_tests(&all).unwrap());
        assert!(documented.starts_with("test --locked -p cli -p ") && documented.ends_with(" --doc"));
        assert!(documented.contains(" -p unet ") && !documented.contains(" -p schedule "), "{documented}");
    }

    /// With these, tests of the program would run with every crate's.
    #[test]
    fn the_program_has_neither_a_library_nor_test_programs() {
        let folder = Workspace::find().unwrap().root().join("crates").join(PROGRAM);
        assert!(folder.join("src/main.rs").is_file());
        assert!(!folder.join("src/lib.rs").exists() && !folder.join("tests").exists());
    }

    /// Otherwise a crate might work only beside the program, which turns on what the crate forgot to ask for.
    #[test]
    fn crates_with_libtorch_take_their_dependencies_as_the_workspace_has_them() {
        let workspace = Workspace::find().unwrap();
        for name in workspace.crates_bottom_up().unwrap() {
            let path = workspace.root().join("crates").join(&name).join("Cargo.toml");
            let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
            let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
            let listed = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten();
            for (dependency, how) in listed.filter(|_| !is_libtorch_free(&name)) {
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
