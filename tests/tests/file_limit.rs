//! Limits of the system on files. A file size limit (`ulimit -f`) ends a command as a full disk does: with the name of the
//! file, not by a signal. A limit on open files (`ulimit -n`) may be smaller than the number of shards.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use image::ImageFormat;
use tests::{Output, Place, Running, data, trained};

static TRAINED: LazyLock<Place> =
    LazyLock::new(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("file_limit")));

/// Runs the program in a shell with a file limit in blocks of 512 bytes; `after` is appended to the shell's line.
fn limited(place: &Place, blocks: u32, line: &str, after: &str) -> Output {
    within(place, &format!("-f {blocks}"), line, after)
}

/// Runs the program in a shell after `ulimit` with these flags.
fn within(place: &Place, limit: &str, line: &str, after: &str) -> Output {
    let program = place.command(&format!("{line} --device cpu --threads 1")).unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit}; exec \"$0\" \"$@\" {after}"));
    shell.arg(program.get_program()).args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Each thread may have one more file open.
    shell.env("RAYON_NUM_THREADS", "2");
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

#[test]
fn a_set_may_have_more_shards_than_files_may_be_open() {
    let place = Place::new().unwrap();
    let image = data::colour_file(3, (16, 16), ImageFormat::Png).unwrap();
    // Decoded, these images take more than a MiB.
    for shard in 0..150 {
        let names: Vec<String> = (0..10).map(|n| format!("{shard:03}-{n}.png")).collect();
        let files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), image.clone())).collect();
        place.write(&format!("set/{shard:03}.tar"), data::tar("set", &files)).unwrap();
    }
    let stream = "--data set --set data.memory=1";
    let train = format!(
        "train --preset tiny-16 {stream} --set train.batch=4 --set train.steps=3 --set sample.count=2 --set sample.steps=2 \
         --run new"
    );
    let _ = within(&place, "-n 100", &train, "").ok();
    assert!(place.at("new/checkpoints/step-00000003").is_dir());
    let said = within(&place, "-n 100", &format!("inspect data {stream} --rate --json"), "").json();
    assert!(said["streamed"] == true && said["images"] == 1500, "{said}");
}
