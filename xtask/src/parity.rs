//! `cargo xtask parity`: prints how our samples differ from those of diffusers, as the tests of `sampler` assert; with
//! `--metrics` how our metrics differ from those of Python packages, as the tests of `metrics` assert; with `--models`
//! how our networks and whole pipelines differ from those of diffusers, as the tests of `unet` and `tests` assert.

use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{ddpm, process, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Compare metrics of given features with pytorch-fid, torch-fidelity and prdc, instead of samples.
    #[arg(long)]
    metrics: bool,
    /// Compare predictions of networks and images of pipelines with diffusers, instead of samples.
    #[arg(long, conflicts_with = "metrics")]
    models: bool,
}

/// The exit code is 1 when a row fails.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    // The metrics need no libtorch.
    if !args.metrics {
        setup::ensure(workspace)?;
    }
    for (package, example) in tables(args) {
        if *package == PROGRAMS {
            process::run_to_success(&mut ddpm::of_tests(workspace, &[]))?;
        }
        let status = process::run(&mut table(workspace, package, example))?;
        if !status.success() {
            return Ok(process::code_of(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The member whose examples run the built program.
const PROGRAMS: &str = "tests";

/// Packages and examples that print tables. The build folder has one place for the examples of all packages, so their
/// names differ.
fn tables(args: &Args) -> &'static [(&'static str, &'static str)] {
    match args {
        Args { metrics: true, .. } => &[("metrics", "peers")],
        Args { models: true, .. } => &[("unet", "architectures"), (PROGRAMS, "pipelines")],
        _ => &[("sampler", "parity")],
    }
}

/// Runs in the test profile: after the tests there is little to build, and a table takes seconds.
fn table(workspace: &Workspace, package: &str, example: &str) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.args(["run", "--package", package, "--example", example]).current_dir(workspace.root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_there() {
        let workspace = Workspace::find().unwrap();
        for args in [
            Args::default(),
            Args { metrics: true, ..Args::default() },
            Args { models: true, ..Args::default() },
        ] {
            for (package, example) in tables(&args) {
                let table = table(&workspace, package, example);
                let words: Vec<_> = table.get_args().map(|word| word.to_owned()).collect();
                assert_eq!(words, ["run", "--package", package, "--example", example]);
                let folder = if *package == PROGRAMS { "tests".into() } else { format!("crates/{package}") };
                let folder = workspace.root().join(folder).join("examples");
                let is_there = [format!("{example}.rs"), format!("{example}/main.rs")];
                assert!(is_there.iter().any(|name| folder.join(name).is_file()), "{package}: {example}");
            }
        }
    }
}
