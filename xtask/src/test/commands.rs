//! The cargo commands of a test run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Args, END_TO_END, FUZZ_BODIES, GPU_TESTS, PROGRAM, XTASK};
use crate::examples::EXAMPLES;
use crate::process;
use crate::workspace::{LIBTORCH_FREE, Workspace, target_folder};

/// The crate of `ddpm`, which depends on all other crates. It has neither a library, nor test programs, nor examples.
const DDPM: &str = "cli";

/// The crate with a feature that nothing turns on by default.
const DATASET: &str = "dataset";
const WITH_PARQUET: [&str; 2] = ["--features", "parquet"];

/// The program in the member [`PROGRAM`].
const PROGRAM_OF_A_USER: &str = "own_data";

/// A folder that does not exist: anything that looks for libtorch with this fails.
const NOWHERE: &str = "/no-libtorch-on-this-machine";

/// Whether a crate must build without libtorch: xtask because it installs it, fuzzing to stay fast, and the crates in
/// the list that is promised to users.
pub(super) fn is_libtorch_free(name: &str) -> bool {
    [XTASK, FUZZ_BODIES].contains(&name) || LIBTORCH_FREE.contains(&name)
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

    /// Checks the library of a crate alone: with the features that it asks for itself, and without libtorch. Its tests are
    /// built beside `ddpm`, see [`Run::is_beside_ddpm`].
    pub(super) fn alone(&self, name: &str) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.args(["check", "--quiet"]).args(self.locked()).args(["-p", name, "--lib"]);
        cargo.current_dir(self.workspace.root());
        without_libtorch(&mut cargo);
        cargo
    }

    /// Builds all tests, examples and programs of a run of all crates in a few calls, each of which keeps all processors
    /// busy. The steps that run them then do not wait for each other.
    pub(super) fn builds(&self, packages: &[String]) -> Vec<Command> {
        if !self.is_whole() {
            return Vec::new();
        }
        // The tests of `dataset` have a feature that the others must not have.
        let is_joint = |name: &str| self.is_beside_ddpm(name) && name != DATASET;
        let joint: Vec<&str> = packages.iter().map(String::as_str).filter(|name| is_joint(name)).collect();
        let mut cargo = self.test(DDPM);
        cargo.args(joint.iter().flat_map(|name| ["-p", *name]));
        cargo.args(["--no-run", "--lib", "--bin", PROGRAM_OF_A_USER, "--test", "*"]);
        let examples = EXAMPLES.iter().filter(|row| joint.contains(&row.0));
        cargo.args(examples.flat_map(|row| ["--example", row.1]));
        let mut builds = vec![cargo];
        for (name, example, _) in EXAMPLES.iter().filter(|row| row.0 == DATASET) {
            builds.extend(self.build_of_example(name, example));
        }
        let only_tests: &[&str] = if self.args.fast { &[DATASET, XTASK, DDPM] } else { &[DATASET, XTASK] };
        for name in only_tests {
            let mut cargo = self.tests(name);
            cargo.arg("--no-run");
            builds.push(cargo);
        }
        if !self.args.fast {
            builds.push(self.build_of_ddpm());
        }
        builds
    }

    /// Builds `ddpm` with its tests, and the end-to-end tests, which run it.
    fn build_of_ddpm(&self) -> Command {
        let mut cargo = process::cargo(self.workspace);
        cargo.arg("build").args(self.locked()).args(["-p", DDPM, "-p", END_TO_END, "--bins", "--tests"]);
        cargo.current_dir(self.workspace.root());
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

    /// The end-to-end tests, with the dependencies that `ddpm` has. Which of them is chosen by the caller.
    pub(super) fn end_to_end(&self) -> Command {
        let mut cargo = self.test(END_TO_END);
        cargo.args(["-p", DDPM]);
        cargo
    }

    /// The same as [`Run::tests`] without tests in the documentation.
    pub(super) fn test_programs(&self, name: &str) -> Command {
        let mut cargo = self.tests(name);
        if !self.is_beside_ddpm(name) {
            cargo.arg("--tests");
        }
        cargo
    }

    /// The tests in the documentation that [`Run::tests`] leaves out, of the crates with or without libtorch; `None` if it
    /// leaves out none.
    pub(super) fn doc_tests(&self, packages: &[String], libtorch: bool) -> Option<Command> {
        let left_out = |name: &&String| self.is_beside_ddpm(name) && is_libtorch_free(name) != libtorch;
        let mut names = packages.iter().filter(left_out).peekable();
        names.peek()?;
        let mut cargo = self.test(DDPM);
        cargo.args(names.flat_map(|name| ["-p", name.as_str()])).arg("--doc");
        if !libtorch {
            without_libtorch(&mut cargo);
        }
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
    /// ones, so cargo would compile tch and much else again for each crate. A crate that was chosen by name is tested alone,
    /// and so is xtask, which runs already.
    fn is_beside_ddpm(&self, name: &str) -> bool {
        self.is_whole() && ![DDPM, XTASK, END_TO_END].contains(&name)
    }

    /// Adds `ddpm`, and chooses the tests of the crate alone.
    fn only_its_own(&self, name: &str, cargo: &mut Command) {
        cargo.args(["-p", DDPM]);
        if name == PROGRAM {
            cargo.args(["--bin", PROGRAM_OF_A_USER]);
        } else {
            cargo.arg("--lib");
        }
        // Without this folder cargo would refuse the pattern.
        if self.folder_of(name).join("tests").is_dir() {
            cargo.args(["--test", "*"]);
        }
    }

    fn folder_of(&self, name: &str) -> PathBuf {
        self.workspace.root().join(match name {
            PROGRAM | END_TO_END => PathBuf::from(name),
            FUZZ_BODIES => PathBuf::from("fuzz/bodies"),
            _ => Path::new("crates").join(name),
        })
    }
}

fn without_libtorch(command: &mut Command) {
    command.env("LIBTORCH", NOWHERE).env_remove("LIBTORCH_USE_PYTORCH");
}

#[cfg(test)]
mod tests;
