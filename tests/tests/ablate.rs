//! A small ablation study of `cargo xtask ablate` with the built program. Training, averages and picture are real. The
//! results of `ddpm evaluate` are fake, since enough images for a distance would take longer than everything else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Place, program};

const STUDY: &str = r#"
[base]
preset = "tiny-16"
set = ["model.base_channels=8", "train.batch=4", "data.limit=40", "precision=f32", "train.checkpoint_every=20",
       "sample.count=1", "sample.steps=2", "train.ema_sigma_rels=[0.1]"]
ema = ["own", "sigma_rel=0.1"]
[budget]
seconds = 0.3
[evaluate]
n = 4
metrics = ["fd"]
samplings = [{ sampler = "ddim", steps = 2 }]
[[row]]
name = "flow"
objective = "flow"
"#;

/// The program with a fake `evaluate`, which requires a complete checkpoint.
const STANDS_IN: &str = r#"#!/bin/sh
[ "$1" = evaluate ] || exec "PROGRAM" "$@" --threads 1
case "$2" in
--run) set -- "$3"/checkpoints/step-* && value=5 ;;
--model) set -- "$3" && value=4 ;;
esac
[ -f "$1/ema.safetensors" ] && [ -f "$1/manifest.json" ] || { echo "error: $1: no checkpoint" >&2; exit 5; }
echo "{\"metrics\": [{\"name\": \"fd\", \"title\": \"FD\", \"reference\": \"train\", \"value\": $value, \"low\": 3,
      \"high\": 7, \"better\": \"lower\"}]}" | tr -d '\n'
"#;

#[test]
fn a_study_is_trained_averaged_and_drawn() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("s.toml", STUDY)?;
    let ddpm = program()?;
    let stands_in = place.write("ddpm", STANDS_IN.replace("PROGRAM", &ddpm.display().to_string()))?;
    fs::set_permissions(&stands_in, fs::Permissions::from_mode(0o755))?;
    // A test is in target/debug/deps, and `cargo xtask` is target/debug/xtask.
    let test = std::env::current_exe()?;
    let xtask = test.ancestors().nth(2).context("the test is not in a build folder")?.join("xtask");
    ensure!(
        xtask.is_file(),
        "{}: expected xtask, found none; build it with `cargo build -p xtask`",
        xtask.display()
    );

    let mut command = Command::new(xtask);
    command.args(["ablate", "s.toml", "--device", "cpu", "--program"]).arg(&stands_in);
    // The workspace folder, as cargo passes it.
    command.current_dir(place.path()).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");

    let study = "runs/ablations/s";
    let kept: Value = serde_json::from_slice(&place.read(&format!("{study}/flow/row.json"))?)?;
    let steps = kept["steps"].as_u64().context("no steps")?;
    // As many as follow from the measured step time.
    let step_s = kept["step_s"].as_f64().context("no step time")?;
    assert_eq!(steps, ((0.3 / step_s).round() as u64).max(1));
    let run = format!("{study}/flow/seed-0/run");
    assert!(place.names(&format!("{run}/checkpoints")).contains(&format!("step-{steps:08}")));
    let config = String::from_utf8(place.read(&format!("{run}/config.toml"))?)?;
    assert!(config.contains(&format!("\nsteps = {steps}\n")) && config.contains("\"velocity\""), "{config}");
    assert!(!place.names(&format!("{study}/flow")).contains(&"warm-up".to_owned()));

    let results: Value = serde_json::from_slice(&place.read(&format!("{study}/ablation.json"))?)?;
    let seed = &results["rows"][0]["seeds"][0];
    assert!(seed["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{seed}");
    assert_eq!(
        (&seed["evaluations"][1]["average"], &seed["evaluations"][1]["average_error"]),
        (&Value::from("sigma_rel=0.1"), &Value::from(0.0))
    );
    let page = String::from_utf8(place.read(&format!("{study}/s.md"))?)?;
    assert!(page.contains("| flow | sigma_rel=0.1 | ddim 2 | 4.000 | 3.000 to 7.000 |"), "{page}");
    assert!(place.read(&format!("{study}/s.png"))?.starts_with(b"\x89PNG"));
    Ok(())
}
