//! `ddpm completions`: a script for the shell.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output;

/// A completion script.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ddpm completions bash > ~/.local/share/bash-completion/completions/ddpm")]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut program: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "ddpm", &mut script);
        output::printed(std::io::stdout().write_all(&script).and_then(|()| std::io::stdout().flush()))
    }
}
