//! `ddpm completions`: a script for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;

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
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ddpm", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        Ok(())
    }
}
