//! Help texts on a screen of any width. clap breaks lines at spaces, so words that belong together are joined by a mark
//! until clap is done: `[default: 64]`, and a short last word with the one before it.

use clap::{Arg, Command};

use crate::screen;

/// Stands for a space at which no line is broken. No text of ours contains it.
const JOINT: char = '\u{a0}';
/// A longer bracket may be broken.
const BRACKET: usize = 28;
/// A last word with fewer letters and digits does not stand alone on a line.
const SHORT: usize = 4;

/// The commands with their texts prepared for wrapping.
pub(crate) fn prepared(command: Command) -> Command {
    let command = match screen::asked() {
        Some(columns) => command.term_width(columns),
        // The terminal decides.
        None => command.max_term_width(screen::WIDEST),
    };
    joined(command)
}

/// What clap has wrapped, with spaces in place of the joints.
pub(crate) fn finished(text: &str) -> String {
    text.replace(JOINT, " ")
}

fn joined(mut command: Command) -> Command {
    if let Some(about) = command.get_about().map(|text| joined_text(&text.to_string())) {
        command = command.about(about);
    }
    if let Some(text) = command.get_after_help().map(ToString::to_string) {
        let lines: Vec<String> = text.lines().map(joined_text).collect();
        command = command.after_help(lines.join("\n"));
    }
    command.mut_args(with_values).mut_subcommands(joined)
}

/// Writes default and possible values into the text of a flag, where their words can be joined.
fn with_values(arg: Arg) -> Arg {
    let Some(text) = arg.get_help().map(ToString::to_string) else { return arg };
    if !arg.get_action().takes_values() {
        return arg.help(joined_text(&text));
    }
    let text = joined_text(&(text + &values_of(&arg)));
    arg.hide_default_value(true).hide_possible_values(true).help(text)
}

/// Default and possible values as clap would write them.
fn values_of(arg: &Arg) -> String {
    let mut text = String::new();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() {
        text += &format!(" [default: {}]", defaults.join(" "));
    }
    let values = arg.get_possible_values();
    let values: Vec<_> =
        values.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    if !values.is_empty() && !arg.is_hide_possible_values_set() {
        text += &format!(" [possible values: {}]", values.join(", "));
    }
    text
}

/// Joins the words of short brackets, and a short last word with the one before it.
fn joined_text(text: &str) -> String {
    let (mut joined, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, after)) = after.split_once(']') else { break };
        let inside = match inside.chars().count() <= BRACKET {
            true => inside.replace(' ', &JOINT.to_string()),
            // Its first word is a name for the rest.
            false => inside.replacen(": ", &format!(":{JOINT}"), 1),
        };
        joined += &format!("{before}[{inside}]");
        rest = after;
    }
    joined += rest;
    match joined.rsplit_once(' ') {
        // The indentation of an example is no word.
        Some((before, last)) if letters(last) < SHORT && !before.trim().is_empty() => {
            format!("{before}{JOINT}{last}")
        }
        _ => joined,
    }
}

fn letters(word: &str) -> usize {
    word.chars().filter(|c| c.is_alphanumeric()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// clap wraps lines and does not join them, so a sentence that is broken in the source would be broken twice.
    #[test]
    fn paragraphs_are_whole_lines() {
        fn check(command: &Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for (line, next) in text.lines().zip(text.lines().skip(1)) {
                let listed = line.is_empty() || line.starts_with(' ') || line.ends_with(['.', ':']);
                let begins = next.is_empty() || next.starts_with(|c: char| c == ' ' || c.is_uppercase());
                assert!(listed || begins, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&crate::args::Cli::command());
    }

    #[test]
    fn words_that_belong_together_are_joined() {
        for (text, want) in [
            ("Batch size [default: 64]", "Batch size [default:~64]"),
            ("rho of --spacing karras [default: 7] [a b]", "rho of --spacing karras [default:~7]~[a~b]"),
            ("Steps, 1 to T", "Steps, 1 to~T"),
            ("One word", "One word"),
            ("Alone", "Alone"),
            ("x", "x"),
            ("  x", "  x"),
            ("  ddpm sample --out  o", "  ddpm sample --out ~o"),
            ("The class (or all).", "The class (or~all)."),
            ("[never closed it", "[never closed~it"),
            (
                "Steps [default: all T for ddpm, 15 to 50 for the others]",
                "Steps [default:~all T for ddpm, 15 to 50 for the others]",
            ),
        ] {
            assert_eq!(joined_text(text).replace(JOINT, "~"), want);
        }
    }

    /// Values that clap would print itself are in the texts, so nothing is lost.
    #[test]
    fn every_default_is_in_its_text() {
        fn look(command: &Command, seen: &mut usize) {
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                for value in arg.get_default_values() {
                    let value = value.to_string_lossy();
                    assert!(help.contains(&*value), "{} {}: {help}", command.get_name(), arg.get_id());
                    assert!(arg.is_hide_default_value_set());
                    *seen += 1;
                }
            }
            command.get_subcommands().for_each(|inner| look(inner, seen));
        }
        let mut seen = 0;
        look(&joined(crate::args::Cli::command()), &mut seen);
        assert!(seen > 60, "{seen}");
    }
}
