//! Help and completions: every command explains itself on one screen.

use std::sync::OnceLock;

use anyhow::{Context, ensure};
use tests::Place;

/// All commands; add new ones here, as the test of the lists demands.
const COMMANDS: &[&str] = &[
    "",
    "train",
    "launch",
    "distill",
    "sample",
    "edit",
    "edit vary",
    "edit interpolate",
    "edit inpaint",
    "edit outpaint",
    "edit upscale",
    "edit encode",
    "edit decode",
    "figures",
    "compare",
    "predict",
    "import",
    "export",
    "config",
    "config reference",
    "config presets",
    "inspect",
    "inspect schedule",
    "inspect embedding",
    "inspect model",
    "inspect work",
    "inspect checkpoint",
    "inspect data",
    "bench",
    "bench train",
    "bench sample",
    "bench solvers",
    "bench sums",
    "doctor",
    "ema",
    "mixture",
    "evaluate",
    "train-features",
    "completions",
];

/// Line limit of a screen, and of one that also lists solver and class flags.
const SCREEN: usize = 60;
const LONG_SCREEN: usize = 88;
/// Line limit of the longest help: it also explains each metric.
const LONGEST: usize = 104;
/// Line width limit.
const WIDTH: usize = 100;

/// Flags with a value but no default of their own: without them nothing happens, or another flag named in the text
/// decides, or they are required.
const NO_DEFAULT: &[&str] = &[
    "--config",
    "--init-from",
    "--adapter",
    "--data",
    "--set",
    "--model",
    "--image",
    "--index",
    "--t-start",
    "--timesteps",
    "--to",
    "--to-index",
    "--mask",
    "--box",
    "--keep",
    "--latent",
    "--init-noise",
    "--mixture",
    "--trajectory",
    "--preview",
    "--x",
    "--t",
    "--out",
    "--only",
    "--dim",
    "--respace",
    "--beta-end",
    "--beta",
    "--s",
    "--max-beta",
    "--precision",
    "--images",
    "--image-size",
    "--head-channels",
    "--nproc",
];

/// Each command with its help.
fn helps() -> &'static [(&'static str, String)] {
    static HELPS: OnceLock<Vec<(&str, String)>> = OnceLock::new();
    HELPS.get_or_init(|| {
        let place = Place::new().expect("a temporary folder");
        let help = |command| place.run(&format!("{command} --help")).expect("the built program").ok().stdout;
        COMMANDS.iter().map(|&command| (command, help(command))).collect()
    })
}

fn help_of(command: &str) -> anyhow::Result<&'static str> {
    let found = helps().iter().find(|(name, _)| *name == command);
    Ok(&found.with_context(|| format!("no command {command}"))?.1)
}

/// The flags that a help text lists, each with its text.
fn flags(help: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut listing = false;
    for line in help.lines() {
        let text = line.trim_start();
        if line.starts_with(' ') && text.starts_with('-') {
            let name = text.split_whitespace().find(|word| word.starts_with("--")).unwrap_or(text);
            found.push((name.trim_end_matches([',', '.']).to_owned(), text.to_owned()));
            listing = true;
        } else if line.is_empty() {
            listing = false;
        } else if let (true, Some((_, whole))) = (listing, found.last_mut()) {
            *whole += " ";
            *whole += text;
        }
    }
    found
}

#[test]
fn every_command_explains_itself_on_a_screen() -> anyhow::Result<()> {
    for (command, help) in helps() {
        let lines = help.lines().count();
        let samples = help.contains("--sampler <NAME>");
        let most = match *command {
            "evaluate" => LONGEST,
            _ if samples => LONG_SCREEN,
            _ => SCREEN,
        };
        ensure!(lines <= most, "ddpm {command} --help has {lines} lines");
        ensure!(help.contains(format!("Usage: ddpm {command}").trim_end()), "{command}: {help}");
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        ensure!(widest <= WIDTH, "ddpm {command} --help: a line of {widest} characters");
        ensure!(help.contains("--device <DEVICE>"), "{command}: the flags of every command are missing");
    }
    Ok(())
}

#[test]
fn every_flag_with_a_value_says_its_default() -> anyhow::Result<()> {
    // The flags of `inspect model` are three ways to select one network.
    for (command, help) in helps().iter().filter(|(command, _)| *command != "inspect model") {
        for (flag, text) in flags(help) {
            let told = text.contains("[default:") || NO_DEFAULT.contains(&flag.as_str());
            ensure!(!text.contains('<') || told, "ddpm {command}: {flag} does not say its default: {text}");
        }
    }
    // Lines may break inside of a long default.
    let sample = help_of("sample")?.split_whitespace().collect::<Vec<_>>().join(" ");
    for default in [
        "[default: 64]",
        "[default: ddpm; evaluate: dpmpp-2m; sample: the",
        "[default: trailing]",
        "[default: all T for ddpm, 15 to",
    ] {
        ensure!(sample.contains(default), "{default} is not in {sample}");
    }
    Ok(())
}

/// COLUMNS is the width of the screen; lines are never longer than [`WIDTH`].
#[test]
fn every_help_fits_the_screen() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (command, usual) in helps() {
        // The program takes more than 100 columns as 100, for every command alike.
        let widths: &[usize] = if *command == "sample" { &[80, 100, 120] } else { &[80, 100] };
        for &columns in widths {
            let line = format!("{command} --help");
            let output = place.command(&line)?.env("COLUMNS", columns.to_string()).output()?;
            let help = String::from_utf8(output.stdout)?;
            let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            ensure!(words(&help) == words(usual), "ddpm {line}: other words at {columns} columns: {help}");
            for text in help.lines() {
                let width = text.chars().count();
                ensure!(width <= WIDTH.min(columns), "ddpm {line}: {width} of {columns} columns: {text}");
                ensure!(!is_scrap(text), "ddpm {line}: at {columns} columns nothing but {text}");
                ensure!(!text.ends_with("[default:"), "ddpm {line}: at {columns} columns: {text}");
            }
            let examples = |text: &str| -> Vec<String> {
                text.lines().filter(|line| line.starts_with("  ddpm ")).map(ToOwned::to_owned).collect()
            };
            ensure!(examples(&help) == examples(usual), "ddpm {line}: broken at {columns} columns: {help}");
        }
    }
    Ok(())
}

/// Whether a line holds one word of fewer than 4 letters, and that is not a name in a list.
fn is_scrap(line: &str) -> bool {
    let word = line.trim();
    let letters = word.chars().filter(|c| c.is_alphanumeric()).count();
    !word.is_empty() && !word.contains(' ') && letters < 4 && !word.starts_with(['-', '<', '['])
}

#[test]
fn the_lists_of_commands_are_complete() -> anyhow::Result<()> {
    let mut listed = 0;
    for (parent, help) in helps() {
        let Some((_, list)) = help.split_once("Commands:\n") else { continue };
        let starts = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
        for name in starts.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            let whole = format!("{parent} {name}");
            help_of(whole.trim())?;
            listed += 1;
        }
    }
    ensure!(listed == COMMANDS.len() - 1, "{listed} commands are listed, {} have a help", COMMANDS.len() - 1);
    Ok(())
}

#[test]
fn most_commands_show_an_example() -> anyhow::Result<()> {
    for command in [
        "train",
        "sample",
        "edit vary",
        "edit inpaint",
        "figures",
        "compare",
        "predict",
        "config reference",
        "config presets",
        "inspect schedule",
        "evaluate",
        "train-features",
        "completions",
    ] {
        let examples = help_of(command)?.split_once("Example").context("no examples")?.1;
        ensure!(examples.contains(&format!("  ddpm {command}")), "{command}: {examples}");
    }
    Ok(())
}

#[test]
fn completions_know_the_flags() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef ddpm"), ("fish", "complete -c ddpm")] {
        let script = place.run(&format!("completions {shell}"))?.ok().stdout;
        ensure!(script.contains(mark) && script.contains("t-start"), "{shell}: {script}");
    }
    let version = place.run("--version")?.ok().stdout;
    ensure!(version.starts_with("ddpm ") && version.trim_end().contains('.'), "{version}");
    ensure!(place.names("").is_empty(), "something was written: {:?}", place.names(""));
    Ok(())
}
