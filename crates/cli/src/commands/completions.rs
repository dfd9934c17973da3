//! `ddpm completions`: a script for the shell.

use clap::{Args, Command};
use clap_complete::Shell;

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
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        Ok(())
    }
}
