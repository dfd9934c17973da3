//! `cargo xtask parity`: the table of our samples beside those of diffusers, which the tests of `sampler` assert; with `--metrics`
//! that of our metrics beside those of Python packages, which the tests of `metrics` assert; with `--models` that of our networks
//! beside those of diffusers, which the tests of `unet` assert.

use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{process, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Metrics of given features beside those of pytorch-fid, torch-fidelity and prdc, instead of samples.
    #[arg(long)]
    metrics: bool,
    /// Predictions of networks beside those of diffusers' UNet2DModel, instead of samples.
    #[arg(long, conflicts_with = "metrics")]
    models: bool,
}

/// The exit code is 1 when a row fails.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    // The metrics need no libtorch.
    if !args.metrics {
        setup::ensure(workspace)?;
    }
    Ok(process::code_of(process::run(&mut table(workspace, args))?))
}

/// In the profile of the tests: after them there is little to build, and the table takes a second.
fn table(workspace: &Workspace, args: &Args) -> Command {
    let mut cargo = process::cargo(workspace);
    // The build folder has one place for the examples of all packages, so their names differ.
    let (package, example) = match args {
        Args { metrics: true, .. } => ("metrics", "peers"),
        Args { models: true, .. } => ("unet", "architectures"),
        _ => ("sampler", "parity"),
    };
    cargo.args(["run", "--package", package, "--example", example]).current_dir(workspace.root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_there() {
        let workspace = Workspace::find().unwrap();
        for (args, package, example) in [
            (Args::default(), "sampler", "parity"),
            (Args { metrics: true, ..Args::default() }, "metrics", "peers"),
            (Args { models: true, ..Args::default() }, "unet", "architectures"),
        ] {
            let table = table(&workspace, &args);
            let words: Vec<_> = table.get_args().map(|word| word.to_owned()).collect();
            assert_eq!(words, ["run", "--package", package, "--example", example]);
            let example = format!("crates/{package}/examples/{example}/main.rs");
            assert!(workspace.root().join(example).is_file());
        }
    }
}
