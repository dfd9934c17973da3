//! The folder of `cargo xtask gpu-kit` with a copy of the built program: packed, unpacked elsewhere, and run there on the CPU
//! without any of the caller's environment. Its lists are shortened, so that every stage comes to its end.
//!
//! PyTorch is too large to install in each test, so there is a folder that looks like what pip leaves, with the tested
//! libtorch in it. With a real one: `PYTHON=/path/to/python cargo test -p tests --test gpu_kit -- --ignored`.
#![cfg(target_os = "linux")]

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::Place;
use tests::gpu_folder::{Kit, Ran};
use tests::packages::{path_with_pytorch, xtask};

const STAGES: [&str; 6] = ["doctor", "tests", "compare", "robust", "speed", "training"];

/// Runs all stages. None may be cut, and each must have found what it is there for.
fn every_stage_reaches_its_end(kit: &Kit) -> anyhow::Result<Ran> {
    let ran = kit.run("results", &STAGES.join(","), "")?;
    ensure!(ran.code == Some(0), "{}", ran.said);
    assert_eq!(ran.ended(), STAGES.map(|stage| (stage, "ok")), "{}", ran.said);
    for stage in STAGES {
        let row = ran.row(stage)?;
        ensure!(row.split_whitespace().nth(1) == Some("ok"), "{row}");
    }
    assert!(ran.lines.iter().all(|line| line["ok"] != false), "{}", ran.said);

    for name in ["libtorch", "convolution", "gradient"] {
        ran.passed("doctor", name)?;
    }
    for name in &kit.tests {
        let found = ran.passed("tests", &format!("{name} starts"))?;
        let tests: u32 = found.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        ensure!(tests > 0 && found.ends_with("benchmarks"), "{name}: {found}");
        ensure!(ran.check("tests", &format!("the tests of {name}"))?["why"] == "they need a GPU");
    }
    for pair in ["tiny-16", "tiny-16 ddpm", "tiny-16 learned"] {
        for what in ["output", "all gradients", "worst gradient", "norm of the first gradient", "20 losses"] {
            let name = format!("{pair}, f32: {what}");
            let found = ran.passed("compare", &name)?;
            let check = ran.check("compare", &name)?;
            ensure!(
                check["value"].as_f64() <= check["limit"].as_f64() && !check["value"].is_null(),
                "{check}"
            );
            // All tensors were compared, whose names are in it.
            ensure!(what != "worst gradient" || found.ends_with(" tensors"), "{check}");
        }
    }
    for name in [
        "solver ddim, f32: pixels",
        "solver ddpm-learned, f32: pixels",
        "solver ddim: other noise, other images",
    ] {
        ran.passed("compare", name)?;
    }
    for (name, why) in [
        ("tf32 and bf16", "a CPU is compared with itself in f32"),
        ("with and without recordings", "a CPU records nothing"),
    ] {
        ensure!(ran.check("compare", name)?["why"] == why);
    }
    for (name, found) in [
        ("a run is stopped", "exit code 130"),
        ("stopped and resumed", "the same bytes"),
        ("a run is killed", "exit code -9"),
        ("killed and resumed", "the same bytes"),
        ("a training that diverges, --on-nan stop", "exit code 3, expected 3; training diverged"),
        ("a training that diverges, --on-nan skip", "'skipping step' 10 times, expected 10"),
        ("a training that diverges, --on-nan rollback", "'back to step 0' 5 times, expected 5"),
        ("a batch of 2048", "exit code 6"),
        ("a batch of 2048 in parts, --batch auto", "exit code 0"),
    ] {
        let why = ran.passed("robust", name)?;
        ensure!(why.contains(found), "{name}: {why}");
    }
    let speeds: Vec<&Value> = ran.lines.iter().filter(|line| line["kind"] == "speed").collect();
    let works: Vec<&str> = speeds.iter().filter_map(|line| line["work"].as_str()).collect();
    assert_eq!(works, ["train tiny-16, 1 image", "sample tiny-16, 1 image"]);
    for speed in speeds {
        let number = |key: &str| speed[key].as_f64().unwrap_or_default();
        ensure!(number("images_per_s") > 0.0 && number("share_of_peak") > 0.0, "{speed}");
    }
    let training = ran.lines.iter().find(|line| line["kind"] == "training").context("no training")?;
    ensure!(
        training["steps"] == 200 && training["loss"].as_f64().is_some_and(|loss| loss > 0.0),
        "{training}"
    );
    let pieces: Vec<Value> = serde_json::from_slice(&kit.place.read("results/pieces/pieces.json")?)?;
    ensure!(pieces.iter().any(|piece| piece["name"] == "config.toml"), "{pieces:?}");
    Ok(ran)
}

/// The stages in `planted` fail, the others of `only` pass, and the table says what failed.
fn planted_failures_stop_nothing(kit: &Kit, only: &str, planted: &str) -> anyhow::Result<()> {
    let ran = kit.run(&format!("planted in {planted}"), only, planted)?;
    ensure!(ran.code == Some(1), "{}", ran.said);
    let fails = |stage: &str| planted.split(' ').any(|name| name == stage);
    let expected: Vec<(&str, &str)> =
        only.split(',').map(|stage| (stage, if fails(stage) { "FAILED" } else { "ok" })).collect();
    assert_eq!(ran.ended(), expected, "{}", ran.said);
    for stage in only.split(',') {
        let (row, why) = (ran.row(stage)?, format!("planted in {stage}"));
        ensure!(row.contains(&why) == fails(stage), "{row}");
    }
    Ok(())
}

#[test]
fn the_folder_runs_elsewhere_and_reports() -> anyhow::Result<()> {
    let place = Place::new()?;
    let path = path_with_pytorch(&place)?;
    let kit = Kit::new(place, vec![("PATH", path)])?;
    every_stage_reaches_its_end(&kit)?;

    let place = &kit.place;
    xtask(place, &["gpu-report", "results", "--out", "gpu.md"])?;
    let page = String::from_utf8(place.read("gpu.md")?)?;
    assert!(page.starts_with("# On a GPU\n") && page.contains("| doctor | ok | "), "{page}");
    assert!(page.contains("tiny-16 learned, f32: worst gradient (") && !page.contains("## Failed"), "{page}");

    // No GPU is visible, even if there is one.
    let output = kit.command("cuda", "no results").env("CUDA_VISIBLE_DEVICES", "").output()?;
    let error = String::from_utf8(output.stderr)?;
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with("run: expected a GPU, found none: "), "{error}");

    kit.wrap()?;
    planted_failures_stop_nothing(&kit, "doctor,tests,compare,speed,training", "doctor compare")?;
    planted_failures_stop_nothing(&kit, "speed,training", "speed")?;
    kit.break_tests()?;
    planted_failures_stop_nothing(&kit, "tests,robust,speed,training", "tests robust training")
}

#[test]
#[ignore = "needs PYTHON, which has PyTorch 2.11 from pip"]
fn the_folder_runs_with_the_pytorch_of_pip() -> anyhow::Result<()> {
    let python = std::env::var_os("PYTHON").context("expected PYTHON, the path of a Python with PyTorch")?;
    let script =
        "import os, torch; print(torch.__version__, os.path.dirname(os.path.realpath(torch.__file__)))";
    let output = Command::new(&python).args(["-c", script]).output()?;
    let said = String::from_utf8(output.stdout)?;
    let (version, folder) = said.trim().split_once(' ').context("PYTHON cannot import torch")?;
    ensure!(version.starts_with("2.11."), "expected PyTorch 2.11, found {version}");

    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let kit = Kit::new(Place::new()?, vec![("PATH", path), ("PYTHON", python)])?;
    let ran = every_stage_reaches_its_end(&kit)?;
    let libtorch = ran.passed("doctor", "libtorch")?;
    ensure!(libtorch.contains(folder), "expected the libtorch of {folder}, found {libtorch}");
    Ok(())
}
