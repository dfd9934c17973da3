//! `cargo xtask parity`: the table of our samples beside those of diffusers, which the tests of `sampler` assert.

use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{process, setup};

/// The exit code is 1 when a row fails.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace)?;
    Ok(process::code_of(process::run(&mut table(workspace))?))
}

/// In the profile of the tests: after them there is little to build, and the table takes a second.
fn table(workspace: &Workspace) -> Command {
    let mut cargo = process::cargo(workspace);
    cargo.args(["run", "--package", "sampler", "--example", "parity"]).current_dir(workspace.root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_there() {
        let workspace = Workspace::find().unwrap();
        let words: Vec<_> = table(&workspace).get_args().map(|word| word.to_owned()).collect();
        assert_eq!(words, ["run", "--package", "sampler", "--example", "parity"]);
        assert!(workspace.root().join("crates/sampler/examples/parity/main.rs").is_file());
    }
}
