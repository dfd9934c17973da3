//! `ddpm flags`: every flag that takes a path, for the tests of path handling.

use std::any::TypeId;

use clap::{Arg, Args, Command};
use serde_json::{Value, json};

use crate::output;
use crate::paths::{DataSource, InputPath, OutputFile, OutputFolder};

/// Prints a JSON array with the command, the flag and the kind of each path.
#[derive(Debug, Args)]
pub(crate) struct Flags {}

impl Flags {
    #[expect(clippy::unused_self, reason = "every command is run this way")]
    pub(crate) fn run(&self, mut program: Command) -> anyhow::Result<()> {
        program.build();
        let mut all = Vec::new();
        collect(&program, "", &mut all);
        output::print(&Value::from(all).to_string())
    }
}

fn collect(command: &Command, name: &str, all: &mut Vec<Value>) {
    for arg in command.get_arguments() {
        if let Some(kind) = kind(arg) {
            let flag = arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"));
            all.push(json!({ "command": name, "flag": flag, "kind": kind }));
        }
    }
    for inner in command.get_subcommands() {
        collect(inner, format!("{name} {}", inner.get_name()).trim_start(), all);
    }
}

pub(crate) fn kind(arg: &Arg) -> Option<&'static str> {
    let found = arg.get_value_parser().type_id();
    let kinds = [
        (TypeId::of::<InputPath>(), "input"),
        (TypeId::of::<DataSource>(), "input"),
        (TypeId::of::<OutputFile>(), "output file"),
        (TypeId::of::<OutputFolder>(), "output folder"),
    ];
    kinds.iter().find(|(id, _)| found == *id).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// Every flag with a path value has one of the types of `paths`, so that it is listed, expanded and tried.
    #[test]
    fn no_path_goes_unlisted() {
        fn look(command: &Command, seen: &mut usize) {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let (found, name) = (arg.get_value_parser().type_id(), arg.get_id());
                for bare in [TypeId::of::<PathBuf>(), TypeId::of::<OsString>()] {
                    assert!(found != bare, "{}: {name}", command.get_name());
                }
                let names = arg.get_value_names().unwrap_or_default();
                let is_path = names
                    .iter()
                    .any(|name| ["FILE", "FILE.png", "DIR", "SRC", "PATH"].contains(&name.as_str()));
                assert!(
                    !is_path || kind(arg).is_some(),
                    "{}: {name} is a path without a kind",
                    command.get_name()
                );
                *seen += usize::from(kind(arg).is_some());
            }
            command.get_subcommands().for_each(|inner| look(inner, seen));
        }
        let (mut program, mut seen) = (Cli::command(), 0);
        program.build();
        look(&program, &mut seen);
        assert!(seen > 40, "{seen}");
    }
}
