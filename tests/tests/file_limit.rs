//! A file size limit (`ulimit -f`) ends a command as a full disk does: with the name of the file, not by a signal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use tests::{Output, Place, Running, trained};

static TRAINED: LazyLock<Place> =
    LazyLock::new(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("file_limit")));

/// Runs the program in a shell with a file limit in blocks of 512 bytes; `after` is appended to the shell's line.
fn limited(place: &Place, blocks: u32, line: &str, after: &str) -> Output {
    let program = place.command(&format!("{line} --device cpu --threads 1")).unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -f {blocks}; exec \"$0\" \"$@\" {after}"));
    shell.arg(program.get_program()).args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::start(line, &mut shell).unwrap().wait_within(Duration::from_secs(60)).unwrap()
}

#[test]
fn every_command_names_the_file_and_the_limit() {
    let run = TRAINED.at("run").display().to_string();
    let train =
        "train --preset tiny-16 --run new --set data.limit=60 --set train.steps=2 --set sample.steps=2";
    for (blocks, line, file) in [
        (8, train.to_owned(), "new/checkpoints/"),
        (
            8,
            format!("sample --run {run} --out out --save npz --count 64 --steps 2 --sampler ddim"),
            "samples",
        ),
        (
            1,
            format!("sample --run {run} --out out --save grid --count 64 --steps 2 --sampler ddim"),
            "grid.png",
        ),
        (2, "inspect schedule --out schedule.npz".to_owned(), "schedule.npz"),
        (2, format!("figures --run {run} --only 1 --out figures"), "figures/"),
    ] {
        let place = Place::new().unwrap();
        let output = limited(&place, blocks, &line, "").expect_code(6);
        let errors = output.errors();
        assert!(
            errors.len() == 1 && errors[0].contains(file) && errors[0].contains("`ulimit -f`"),
            "{line}: {}",
            output.stderr
        );
    }
}

#[test]
fn a_result_that_is_too_long_is_an_error() {
    let place = Place::new().unwrap();
    let output = limited(&place, 1, "inspect schedule --json", "> told.json").expect_code(6);
    assert!(output.errors()[0].contains("standard output"), "{}", output.stderr);
    assert!(output.errors()[0].contains("`ulimit -f`"), "{}", output.stderr);
}
