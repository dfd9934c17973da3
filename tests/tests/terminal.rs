//! The program on a terminal: what it draws there, and what happens when the terminal closes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use signal_hook::consts::SIGHUP;
use tests::{Place, Running};

const LIMIT: Duration = Duration::from_secs(60);
const TRAIN: &str = "train --preset tiny-16 --set data.limit=60 --set train.batch=2 --set train.log_every=1";

/// Everything the program writes to a terminal of unknown width that gets both its outputs.
fn on_terminal(place: &Place, line: &str, variables: &[(&str, &str)]) -> String {
    on_terminal_of(0, place, line, variables)
}

/// The same on a terminal of this many columns.
fn on_terminal_of(columns: u16, place: &Place, line: &str, variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inside = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&inside, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut command = place.command(&format!("{line} --device cpu --threads 1")).unwrap();
    command.envs(variables.iter().copied()).stdout(inside.try_clone().unwrap()).stderr(inside);
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut terminal, mut written) = (File::from(terminal), Vec::new());
    // On Linux the read fails when the last process has left the terminal.
    let _ = terminal.read_to_end(&mut written);
    child.wait().unwrap();
    String::from_utf8_lossy(&written).into_owned()
}

/// The sequence that clears a line, before a bar is drawn in it.
const REDRAWN: &str = "\x1b[2K";

/// Whether there is a sequence that sets colours or font weight.
fn has_colours(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| c.is_ascii_alphabetic());
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

#[test]
fn colours_and_bars_are_for_terminals_that_take_them() {
    let place = Place::new().unwrap();
    let train = |run| format!("{TRAIN} --run {run} --set train.steps=3 --set sample.steps=2");
    let term = ("TERM", "xterm-256color");
    for (line, what) in [("train --help", "Usage"), ("train --count 3", "error: "), (&train("a"), "INFO")] {
        let plain = |text: &str| text.replace("\x1b[0m", "").replace("\x1b[1m", "");
        let shown = on_terminal(&place, line, &[term]);
        assert!(has_colours(&shown), "{line}: {shown:?}");
        assert!(plain(&shown).contains(what.trim_end_matches(": ")), "{line}: {shown:?}");
    }
    for (n, line) in ["train --help", "train --count 3", &train("b")].into_iter().enumerate() {
        let shown = on_terminal(&place, line, &[term, ("NO_COLOR", "1")]);
        assert!(!has_colours(&shown) && shown.len() > 30, "{line}: {shown:?}");
        // The training's progress bar stays.
        assert_eq!(shown.contains('\x1b'), n == 2, "{line}: {shown:?}");
    }
    for line in ["train --help", "train --count 3", &train("c")] {
        let shown = on_terminal(&place, line, &[("TERM", "dumb")]);
        assert!(!shown.contains('\x1b') && shown.len() > 30, "{line}: {shown:?}");
    }
    assert!(has_colours(&on_terminal(&place, "train --count 3", &[term, ("NO_COLOR", "")])));
    // Forced colours do not bring back the bar.
    let shown = on_terminal(&place, &train("d"), &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]);
    assert!(has_colours(&shown) && !shown.contains(REDRAWN), "{shown:?}");
    assert!(!has_colours(&on_terminal(&place, "train --help", &[term, ("CLICOLOR", "0")])));
}

/// What a training tells: loss, learning rate and speed, what it does between steps, and at its end what to do next.
#[test]
fn a_training_says_what_it_does_and_what_comes_next() {
    let place = Place::new().unwrap();
    let line = format!("{TRAIN} --run run --set train.steps=3 --set sample.steps=2 --set sample.count=4");
    let shown = on_terminal(&place, &line, &[("TERM", "xterm")]);
    for part in ["loss ", "lr ", "images/s", " left", "drawing 4 images: 50%", "drawing 4 images: 100%"] {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
    assert!(!shown.contains("<0s") && !shown.contains("0/3  0s left"), "{shown:?}");
    let grid = place.at("run/samples").join("step-00000003-ema.png");
    assert!(grid.is_file());
    for part in
        ["run: step 3 of 3, ", "last grid: run/samples/step-00000003-ema.png", "next: ddpm sample --run run"]
    {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
    // The bar is gone when the summary is printed.
    let summary = shown.find("run: step 3 of 3").unwrap();
    assert!(!shown[summary..].contains(REDRAWN), "{shown:?}");
}

#[test]
fn without_a_terminal_colours_must_be_forced() {
    let place = Place::new().unwrap();
    let train = |run| format!("{TRAIN} --run {run} --set train.steps=3 --set sample.steps=2");
    let shown = |line: &str, variables: &[(&str, &str)]| {
        let mut command = place.command(&format!("{line} --device cpu --threads 1")).unwrap();
        let output = command.env("TERM", "xterm").envs(variables.iter().copied()).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    for line in ["train --help", "train --count 3", &train("a")] {
        let forced = shown(line, &[("CLICOLOR_FORCE", "1")]);
        assert!(has_colours(&forced) && !forced.contains(REDRAWN), "{line}: {forced:?}");
        let others: [&[(&str, &str)]; 3] =
            [&[], &[("CLICOLOR_FORCE", "0")], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]];
        for variables in others {
            // A run that is finished only says so.
            let plain = shown(line, variables);
            assert!(!plain.contains('\x1b') && !plain.is_empty(), "{line}: {plain:?}");
        }
    }
    // Tables and JSON have no colours.
    for line in ["inspect schedule", "inspect schedule --json", "config presets"] {
        let forced = shown(line, &[("CLICOLOR_FORCE", "1")]);
        assert!(!forced.contains('\x1b') && forced.len() > 30, "{line}: {forced:?}");
    }
}

/// Prose is as wide as the screen. COLUMNS comes before the terminal, and without both lines stay whole.
#[test]
fn results_fit_the_screen() {
    let place = Place::new().unwrap();
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    let widest = |text: &str| text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    let data = "inspect data --quiet --data fashion-mnist:test --set data.limit=40";
    for line in ["config reference --quiet", "config presets --quiet", data] {
        let whole = place.run(line).unwrap().ok().stdout;
        for columns in [80_u16, 100] {
            let asked = columns.to_string();
            let output = place.command(line).unwrap().env("COLUMNS", &asked).output().unwrap();
            let piped = String::from_utf8(output.stdout).unwrap();
            let shown = on_terminal_of(columns, &place, line, &[]);
            let both = on_terminal_of(200, &place, line, &[("COLUMNS", asked.as_str())]);
            for text in [&piped, &shown, &both] {
                assert!(widest(text) <= usize::from(columns), "{line}: {columns} columns: {text}");
                assert_eq!(words(text), words(&whole), "{line}");
            }
        }
    }
    assert!(widest(&place.run("config presets").unwrap().ok().stdout) > 100);
    // Pages that are compared with a file do not depend on the screen.
    let markdown = "config reference --markdown";
    let narrow = place.command(markdown).unwrap().env("COLUMNS", "80").output().unwrap();
    assert_eq!(String::from_utf8(narrow.stdout).unwrap(), place.run(markdown).unwrap().ok().stdout);
}

/// A training that has done a step. The tests may themselves run under `nohup`: with a handler, this process does not
/// pass on an ignored SIGHUP.
fn training(place: &Place, command: &mut Command) -> Running {
    signal_hook::flag::register(SIGHUP, Arc::default()).unwrap();
    let mut running = Running::start("train", command).unwrap();
    running.wait_for_more(&place.at("run/metrics.jsonl")).unwrap();
    running
}

fn saved(place: &Place) -> Vec<String> {
    place.names("run/checkpoints").into_iter().filter(|name| name.starts_with("step-")).collect()
}

#[test]
fn a_closed_terminal_ends_training_as_a_signal_does() {
    let place = Place::new().unwrap();
    let line = format!("{TRAIN} --run run --set train.steps=100000 --device cpu --threads 1");
    let running = training(&place, &mut place.command(&line).unwrap());
    // SIGHUP comes once from the kernel and once from the shell.
    running.signal("HUP").unwrap();
    let _ = running.signal("HUP");
    let output = running.wait_within(LIMIT).unwrap().expect_code(129);
    assert!(output.stderr.contains("run the same command to continue"), "{}", output.stderr);
    assert_eq!(saved(&place).len(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn under_nohup_training_goes_on() {
    let place = Place::new().unwrap();
    let line = format!("{TRAIN} --run run --set train.steps=100000 --device cpu --threads 1");
    let program = place.command(&line).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(program.get_program());
    shell.args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut running = training(&place, &mut shell);
    running.signal("HUP").unwrap();
    for _ in 0..5 {
        running.wait_for_more(&place.at("run/metrics.jsonl")).unwrap();
    }
    assert!(saved(&place).is_empty());
    running.signal("TERM").unwrap();
    let _ = running.wait_within(LIMIT).unwrap().expect_code(143);
}
