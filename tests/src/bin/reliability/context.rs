//! What all checks share: the programs, the amount of trials, and the seed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use tests::Place;

use crate::draws::Draws;

/// One call of the harness.
#[derive(Debug)]
pub(crate) struct Context {
    /// The program.
    pub(crate) ddpm: PathBuf,
    /// The program with the feature `faults`.
    pub(crate) faulty: Option<PathBuf>,
    /// The root of the workspace.
    pub(crate) workspace: PathBuf,
    /// The folder of the report that the test `bad_input` has just written, if it has run.
    pub(crate) bad_input: Option<PathBuf>,
    /// Full counts.
    pub(crate) full: bool,
    /// Seed of all random choices.
    pub(crate) seed: u64,
    /// The fuzz targets of a full run; empty for all.
    pub(crate) targets: Vec<String>,
    /// Number of parallel trials.
    pub(crate) jobs: usize,
}

impl Context {
    /// How often to try something in this mode.
    pub(crate) fn count(&self, quick: u64, full: u64) -> u64 {
        if self.full { full } else { quick }
    }

    /// A folder with the program in it.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        Ok(Place::new()?.with_program(&self.ddpm))
    }

    /// The program with faults.
    pub(crate) fn faulty(&self) -> anyhow::Result<&PathBuf> {
        self.faulty.as_ref().context(
            "expected --faulty, a program built with the feature `faults`, found none; \
             `cargo xtask reliability` builds it",
        )
    }

    /// The random choices of one trial of one check.
    pub(crate) fn draws(&self, check: &str, trial: u64) -> Draws {
        Draws::new(self.seed, check, trial)
    }

    /// A cargo command in the workspace, for checks that are programs of other crates.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.workspace).env("DDPM_PROGRAM", &self.ddpm);
        cargo
    }
}

#[cfg(test)]
impl Context {
    /// A context with paths that do not exist.
    pub(crate) fn example() -> Self {
        Self {
            ddpm: "/p".into(),
            faulty: None,
            workspace: "/w".into(),
            bad_input: None,
            full: true,
            seed: 7,
            targets: Vec::new(),
            jobs: 1,
        }
    }
}
