//! `ddpm completions`: a script for the shell.

mod values;

use std::io::Write;

use clap::{Arg, Args, Command, ValueHint};
use clap_complete::Shell;

use crate::commands::{flags, launch};
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
    pub(crate) fn run(&self, program: &Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut with_launched(completed(program)), "ddpm", &mut script);
        output::printed(std::io::stdout().write_all(&script).and_then(|()| std::io::stdout().flush()))
    }
}

/// The commands and flags that help shows, with the values of each flag. Scripts list hidden ones too, so they are not
/// copied.
fn completed(command: &Command) -> Command {
    let mut copy = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned()).propagate_version(true);
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned().map(with_values);
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).map(completed);
    copy.args(args).subcommands(commands)
}

/// The program in which `launch` has the commands that it starts, so that a shell completes them and their flags after `--`.
fn with_launched(program: Command) -> Command {
    let started = launch::COMMANDS.iter().filter_map(|name| program.find_subcommand(name));
    let started: Vec<Command> = started.cloned().collect();
    program.mut_subcommand("launch", |launch| {
        let flags: Vec<Arg> = launch.get_arguments().filter(|arg| !arg.is_positional()).cloned().collect();
        let about = launch.get_about().cloned().unwrap_or_default();
        Command::new("launch").about(about).args(flags).subcommands(started)
    })
}

/// Says what a shell may offer for a flag: its values, files or folders. Without a hint shells offer files.
fn with_values(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() || !arg.get_possible_values().is_empty() {
        return arg;
    }
    if let Some(values) = values::of(&arg) {
        return arg.value_parser(values);
    }
    let hint = match flags::kind(&arg) {
        Some("output folder") => ValueHint::DirPath,
        Some("output file") => ValueHint::FilePath,
        Some(_) => ValueHint::AnyPath,
        None => ValueHint::Other,
    };
    arg.value_hint(hint)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn all<'a>(command: &'a Command, found: &mut Vec<(&'a Command, &'a Arg)>) {
        found.extend(command.get_arguments().map(|arg| (command, arg)));
        command.get_subcommands().for_each(|inner| all(inner, found));
    }

    #[test]
    fn what_is_hidden_is_left_out_and_nothing_else() {
        let (program, mut copy) = (Cli::command(), completed(&Cli::command()));
        // Checks conflicts between flags, and defaults against values.
        copy.build();
        let copy = completed(&program);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        all(&program, &mut before);
        all(&copy, &mut after);
        assert!(after.iter().all(|(command, arg)| !command.is_hide_set() && !arg.is_hide_set()));
        let shown = |(command, arg): &&(&Command, &Arg)| !command.is_hide_set() && !arg.is_hide_set();
        assert_eq!(before.iter().filter(shown).count(), after.len());
        assert!(before.len() > after.len() + 10 && after.len() > 200, "{} {}", before.len(), after.len());
    }

    #[test]
    fn launch_completes_the_commands_that_it_starts() {
        let mut program = with_launched(completed(&Cli::command()));
        let launch = program.find_subcommand("launch").unwrap();
        assert!(launch::COMMANDS.iter().all(|name| launch.find_subcommand(name).is_some()));
        assert!(launch.find_subcommand("evaluate").is_none());
        let has = |command: &Command, flag: &str| command.get_arguments().any(|a| a.get_long() == Some(flag));
        assert!(has(launch, "nproc") && has(launch.find_subcommand("train").unwrap(), "resume"));
        assert!(launch.get_arguments().all(|arg| !arg.is_positional()));
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut program, "ddpm", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("launch,train)"));
    }
}
