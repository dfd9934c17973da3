//! Low memory: one line and exit code 6, or a batch split to fit.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::Command;

use anyhow::{Context, ensure};
use tests::{Output, Place, Running, program};

/// Two steps of 1024 images of 16x16, which need twice the memory available here.
const TRAIN: &str = "train --preset tiny-16 --set data.limit=100 --set train.steps=2 --set train.log_every=1 --set sample.count=2 \
                     --set sample.steps=2 --set precision=f32";
/// Data limit of the program in KiB.
const LIMIT: u64 = 500_000;

/// The program under a memory limit, which only a shell can set from outside.
fn limited(place: &Place, line: &str) -> anyhow::Result<Output> {
    let whole = format!("{line} --device cpu --threads 1");
    let plain = place.command(&whole)?;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -d {LIMIT}; exec \"$0\" \"$@\""))
        .arg(program()?)
        .args(plain.get_args());
    command.current_dir(place.path()).env_clear();
    for (name, value) in plain.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    Running::start(&whole, &mut command)?.wait()
}

fn micro_batch(place: &Place, run: &str) -> anyhow::Result<u64> {
    let text = String::from_utf8(place.read(&format!("{run}/config.toml"))?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("micro_batch = ")).context("no micro_batch")?;
    Ok(line.parse()?)
}

#[test]
fn a_batch_that_is_too_large_is_an_error_of_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    let output = limited(&place, &format!("{TRAIN} --run large --batch 1024"))?.expect_code(6);
    let errors = output.errors();
    ensure!(errors.len() == 1, "{errors:?}");
    for part in ["not enough memory for 1024 images of 16x16x1 at the same time", "--batch auto"] {
        ensure!(errors[0].contains(part), "{part}: {}", errors[0]);
    }
    ensure!(place.names("large/checkpoints").is_empty(), "{:?}", place.names("large/checkpoints"));
    Ok(())
}

#[test]
fn the_same_batch_fits_in_parts_and_goes_on_in_the_same_parts() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!("{TRAIN} --set train.batch=1024 --batch auto --run parts");
    let output = limited(&place, &line)?.ok();
    let found = micro_batch(&place, "parts")?;
    ensure!((1..1024).contains(&found), "{found}");
    ensure!(
        output.stderr.contains(&format!("1024 images goes through the network {found} at a time")),
        "{}",
        output.stderr
    );

    // With enough memory the same command continues with the same split. A run that sets this split from the start is
    // the same run.
    let longer = line.replace("train.steps=2", "train.steps=3");
    let output = place.ddpm(&longer)?.expect_code(2);
    ensure!(output.stderr.contains("train.steps is 2 there and 3 here"), "{}", output.stderr);
    ensure!(!output.stderr.contains("micro_batch"), "{}", output.stderr);
    let _ = place.ddpm("train --resume --run parts --set train.steps=3")?.ok();
    let said = format!("{TRAIN} --set train.batch=1024 --set train.micro_batch={found} --run said");
    let _ = place.ddpm(&said.replace("train.steps=2", "train.steps=3"))?.ok();
    let weights = |run: &str| place.sha256(&format!("{run}/checkpoints/step-00000003/model.safetensors"));
    ensure!(weights("parts")? == weights("said")?);
    Ok(())
}

#[test]
fn a_batch_that_fits_stays_whole() -> anyhow::Result<()> {
    let place = Place::new()?;
    let output = place.ddpm(&format!("{TRAIN} --batch auto --set train.batch=8 --run whole"))?.ok();
    ensure!(output.stderr.contains("a batch of 8 images fits in memory"), "{}", output.stderr);
    ensure!(micro_batch(&place, "whole")? == 0);
    Ok(())
}
