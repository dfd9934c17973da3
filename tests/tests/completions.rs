//! Completion scripts: what they offer, in bash by running them.
#![cfg(unix)]

use std::process::Command;

use anyhow::{Context, ensure};
use tests::Place;

/// Runs the function of the script as bash does when the last of the words is to be completed.
const ASK: &str = r#"source ./ddpm.bash
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
_ddpm ddpm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2> errors
printf '%s\n' "${COMPREPLY[@]}""#;

fn has_bash() -> bool {
    Command::new("bash").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What bash offers after these words, the last of which is begun.
fn offered(place: &Place, words: &str) -> anyhow::Result<Vec<String>> {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ASK, "bash"]).args(words.split(' ')).current_dir(place.path());
    let output = bash.output().context("bash")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

#[test]
fn bash_offers_commands_flags_and_values() -> anyhow::Result<()> {
    if !has_bash() {
        // Then nobody completes with it either.
        return Ok(());
    }
    let place = Place::new()?;
    place.write("ddpm.bash", place.run("completions bash")?.ok().stdout)?;
    place.write("photo.png", "")?;
    for (words, some, none) in [
        ("ddpm ", &["train", "sample", "edit", "config"][..], &["try-step", "flags", "draw-ablation"][..]),
        ("ddpm edit ", &["vary", "outpaint"], &["train"]),
        ("ddpm sample --", &["--sampler", "--churn", "--device", "--class"], &["--t-start"]),
        ("ddpm edit vary --", &["--t-start", "--sampler", "--device"], &["--churn", "--rho"]),
        ("ddpm sample --sampler ", &["ddpm", "heun", "consistency"], &["photo.png"]),
        ("ddpm edit vary --sampler ", &["ddpm", "heun"], &["photo.png"]),
        ("ddpm sample --class ", &["sneaker", "all", "9"], &["Ankle", "photo.png"]),
        ("ddpm train --preset ", &["fashion-28", "tiny-16"], &["photo.png"]),
        ("ddpm train --objective ", &["flow", "edm"], &["photo.png"]),
        ("ddpm train --on-nan ", &["stop", "rollback"], &["photo.png"]),
        ("ddpm evaluate --metrics ", &["fd", "copying"], &["photo.png"]),
        ("ddpm evaluate --device ", &["cpu", "cuda"], &["photo.png"]),
        ("ddpm completions ", &["bash", "fish"], &[]),
        // Files only where a path is asked for.
        ("ddpm edit vary --image ", &["photo.png"], &["--image"]),
        ("ddpm sample --steps ", &[], &["photo.png"]),
    ] {
        let found = offered(&place, words)?;
        let has = |word: &&str| found.iter().any(|offered| offered == *word);
        ensure!(some.iter().all(has) && !none.iter().any(has), "{words:?}: {found:?}");
    }
    let dpm = ["dpmpp-1", "dpmpp-2m", "dpmpp-3m", "dpmpp-2m-sde"];
    ensure!(offered(&place, "ddpm sample --sampler dpmpp")? == dpm);
    Ok(())
}

#[test]
fn every_script_has_values_and_nothing_hidden() -> anyhow::Result<()> {
    let place = Place::new()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&format!("completions {shell}"))?.ok().stdout;
        for hidden in ["try-step", "draw-ablation", "draw-scaling", "check-device", "no-recording"] {
            ensure!(!script.contains(hidden), "{shell}: {hidden} is in the script");
        }
        ensure!(script.contains("t-start") && script.contains("train-features"), "{shell}");
    }
    // These two show what a value is.
    for shell in ["zsh", "fish"] {
        let script = place.run(&format!("completions {shell}"))?.ok().stdout;
        for about in ["DPM-Solver++ of order 2", "28x28 grey images", "Frechet distance", "Ankle boot"] {
            ensure!(script.contains(about), "{shell}: {about} is missing");
        }
    }
    Ok(())
}
