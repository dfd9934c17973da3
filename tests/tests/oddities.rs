//! Unusual folders, clocks and terminals: none of them changes what a run is.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::{Command, Stdio};

use anyhow::ensure;
use tests::{Place, program};

const TRAIN: &str = "--preset tiny-16 --set train.steps=4 --set train.batch=2 --set data.limit=10 --set train.log_every=1 \
                     --set train.checkpoint_every=2 --set sample.count=2 --set sample.steps=2 --set precision=f32";

/// Runs the program with exact arguments, which a line of words could not express.
fn call(place: &Place, folder: &str, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    let mut command = place.command("")?;
    command.args(arguments).args(["--device", "cpu", "--threads", "1"]).current_dir(place.at(folder));
    Ok(command.stdin(Stdio::null()).output()?)
}

fn train<'a>(first: &[&'a str]) -> Vec<&'a str> {
    [&["train"], first, &TRAIN.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>()[..]].concat()
}

fn weights(place: &Place, run: &str) -> anyhow::Result<String> {
    place.sha256(&format!("{run}/checkpoints/step-00000004/model.safetensors"))
}

#[test]
fn a_folder_may_have_any_name_and_be_reached_by_any_way() -> anyhow::Result<()> {
    let place = Place::new()?;
    std::fs::create_dir_all(place.at("deep/er"))?;
    let plain = call(&place, ".", &train(&["--run", "plain"]))?;
    ensure!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    for name in ["with space", "ünïcode 画像", "a new\nline", "-dash", "$(x) 'y' \"z\""] {
        let run = format!("{name}/run");
        let flag = format!("--run={run}");
        let output = call(&place, ".", &train(&[&flag]))?;
        ensure!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(weights(&place, &run)? == weights(&place, "plain")?, "{name:?}");
        let inspected =
            call(&place, ".", &["inspect", "checkpoint", &format!("./{run}/checkpoints/step-00000004")])?;
        ensure!(inspected.status.success(), "{name:?}: {}", String::from_utf8_lossy(&inspected.stderr));
    }
    // From another folder, by a relative path.
    let on =
        call(&place, "deep/er", &["train", "--resume", "--run", "../../plain", "--set", "train.steps=5"])?;
    ensure!(on.status.success(), "{}", String::from_utf8_lossy(&on.stderr));
    ensure!(place.names("plain/checkpoints").contains(&"step-00000005".to_owned()));
    Ok(())
}

#[test]
fn times_of_files_mean_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let half: Vec<&str> = train(&["--run", "run"])
        .into_iter()
        .map(|word| if word == "train.steps=4" { "train.steps=2" } else { word })
        .collect();
    ensure!(call(&place, ".", &half)?.status.success());
    let whole = call(&place, ".", &train(&["--run", "whole"]))?;
    ensure!(whole.status.success());
    for (time, file) in
        [("2050-01-01", "run/checkpoints/step-00000002/manifest.json"), ("1971-01-01", "run/config.toml")]
    {
        ensure!(Command::new("touch").args(["-d", time]).arg(place.at(file)).status()?.success());
    }
    let on = call(&place, ".", &["train", "--resume", "--run", "run", "--set", "train.steps=4"])?;
    ensure!(on.status.success(), "{}", String::from_utf8_lossy(&on.stderr));
    ensure!(weights(&place, "run")? == weights(&place, "whole")?);
    Ok(())
}

#[test]
fn an_unwritable_folder_is_reported_in_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("file", "not a folder")?;
    for run in ["/proc/run", "file/run", "/dev/null"] {
        let output = call(&place, ".", &train(&["--run", run]))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        ensure!(!output.status.success() && errors.len() == 1 && errors[0].contains(run), "{run}: {said}");
    }
    Ok(())
}

#[test]
fn a_closed_output_is_not_a_failure() -> anyhow::Result<()> {
    let place = Place::new()?;
    // The reader leaves at once, or was never there.
    for (shell, code) in [("\"$0\" inspect schedule --json | true", 0), ("\"$0\" inspect schedule >&-", 0)] {
        let plain = place.command("")?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(shell).arg(program()?).current_dir(place.path()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(code), "{shell}: {:?}: {said}", output.status);
        ensure!(!said.contains("panicked"), "{shell}: {said}");
    }
    Ok(())
}
