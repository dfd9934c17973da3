//! `ddpm inspect`, `doctor` and `bench`: values that can be checked from outside.

use std::f64::consts::PI;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use image::ImageFormat;
use serde_json::Value;
use tests::{Place, arrays, data, trained};

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("inspect")))
}

fn close(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * want.abs()
}

/// Ho et al. 2020, section 4: betas from 1e-4 to 0.02 in 1000 steps.
#[test]
fn the_papers_schedule() -> anyhow::Result<()> {
    let place = place();
    let _ = place.run("inspect schedule --kind linear --steps 1000 --out s.npz")?.ok();
    let tables = arrays::read_npz(&place.read("s.npz")?)?;
    let table = |name: &str| tables.get(name).with_context(|| format!("{name} in {:?}", tables.keys()));
    for (name, values) in &tables {
        ensure!(values.shape() == [1000], "{name}: {:?}", values.shape());
        ensure!(values.iter().all(|x| x.is_finite()), "{name}");
    }
    let (betas, alphas, alpha_bars) = (table("betas")?, table("alphas")?, table("alpha_bars")?);
    ensure!(betas[[0]] == 1e-4 && betas[[999]] == 0.02, "{} {}", betas[[0]], betas[[999]]);
    ensure!((alpha_bars[[999]] - 4.0358e-5).abs() < 1e-9, "{}", alpha_bars[[999]]);

    // Recompute all that follows.
    let variance = table("posterior_variance")?;
    let mut product = 1.0;
    for t in 0..1000 {
        let beta = 1e-4 + (0.02 - 1e-4) * t as f64 / 999.0;
        let before = product;
        product *= 1.0 - beta;
        ensure!(close(betas[[t]], beta, 1e-12) && close(alphas[[t]], 1.0 - beta, 1e-12), "t = {t}");
        ensure!(close(alpha_bars[[t]], product, 1e-11), "t = {t}");
        let want = beta * (1.0 - before) / (1.0 - product);
        ensure!((variance[[t]] - want).abs() < 1e-12, "t = {t}: {}", variance[[t]]);
    }
    Ok(())
}

#[test]
fn every_kind_of_schedule_is_shown_to_people_and_to_programs() -> anyhow::Result<()> {
    let place = place();
    for kind in ["linear", "scaled-linear", "cosine", "sigmoid", "constant"] {
        let people = place.run(&format!("inspect schedule --kind {kind} --steps 50"))?.ok();
        ensure!(people.stdout.contains("alpha_bar"), "{}", people.stdout);
        let said = place.run(&format!("inspect schedule --kind {kind} --steps 50 --json"))?.json();
        ensure!(said["kind"] == kind && said["entries"] == 50, "{said}");
    }
    Ok(())
}

/// sin and cos of `2 pi f t / T`, frequencies geometric from 1 to T / 2.
#[test]
fn the_embedding_of_four_times() -> anyhow::Result<()> {
    let place = place();
    let line = "inspect embedding --t 0,1,500,999 --frequencies 10 --steps 1000 --out e.npy";
    let _ = place.run(line)?.ok();
    let e = arrays::read_npy(&place.read("e.npy")?)?;
    ensure!(e.shape() == [4, 20], "{:?}", e.shape());
    for (row, t) in [0.0, 1.0, 500.0, 999.0].into_iter().enumerate() {
        for k in 0..10 {
            let angle = 2.0 * PI * 500_f64.powf(k as f64 / 9.0) * t / 1000.0;
            ensure!((e[[row, k]] - angle.sin()).abs() < 1e-9, "sine {k} at t = {t}");
            ensure!((e[[row, k + 10]] - angle.cos()).abs() < 1e-9, "cosine {k} at t = {t}");
        }
    }
    Ok(())
}

/// Ho et al. 2020, App. B: 35.7 million parameters.
#[test]
fn the_papers_network() -> anyhow::Result<()> {
    let place = place();
    let people = place.run("inspect model --preset ddpm-cifar10")?.ok();
    ensure!(people.stdout.contains("35,746,307"), "{}", people.stdout);
    let said = place.run("inspect model --preset ddpm-cifar10 --json")?.json();
    ensure!(said["parameters"] == 35_746_307, "{said}");
    let sum: u64 =
        said["blocks"].as_array().context("blocks")?.iter().filter_map(|b| b["parameters"].as_u64()).sum();
    ensure!(sum == 35_746_307, "the blocks add up to {sum}");
    Ok(())
}

#[test]
fn checkpoints_and_their_damage() -> anyhow::Result<()> {
    let place = place();
    let said = place.run("inspect checkpoint run --json")?.json();
    let found = said["checkpoints"].as_array().context("checkpoints")?;
    ensure!(found.len() == 2 && found.iter().all(|c| c["verified"] == true), "{said}");
    ensure!(said["config"]["train"]["steps"] == 6, "{said}");
    let people = place.run("inspect checkpoint run/checkpoints/step-00000006")?.ok();
    ensure!(people.stdout.contains("verified") && people.stdout.contains("6 of 6"), "{}", people.stdout);
    // Of a run, the tensors of its newest checkpoint are listed.
    let list = |path: &str| anyhow::Ok(place.run(&format!("inspect checkpoint {path} --all --json"))?.json());
    let (of_run, newest) = (list("run")?, list("run/checkpoints/step-00000006")?);
    ensure!(of_run["list"].is_array() && of_run["list"] == newest["list"], "{of_run}");
    let people = place.run("inspect checkpoint run --all")?.ok();
    ensure!(people.stdout.contains("time_embedding.linear_1.weight"), "{}", people.stdout);

    // A copy of the run, its newest checkpoint cut short.
    for name in place.names("run/checkpoints/step-00000006") {
        let bytes = place.read(&format!("run/checkpoints/step-00000006/{name}"))?;
        let keep = if name == "ema.safetensors" { bytes.len() / 2 } else { bytes.len() };
        place.write(&format!("hurt/checkpoints/step-00000006/{name}"), &bytes[..keep])?;
        let older = place.read(&format!("run/checkpoints/step-00000003/{name}"))?;
        place.write(&format!("hurt/checkpoints/step-00000003/{name}"), older)?;
    }
    place.write("hurt/config.toml", place.read("run/config.toml")?)?;
    let output = place.run("inspect checkpoint hurt --json")?;
    let said: Value = serde_json::from_str(&output.stdout)?;
    let verified: Vec<_> =
        said["checkpoints"].as_array().context("list")?.iter().map(|c| &c["verified"]).collect();
    ensure!(verified.contains(&&Value::from(false)) && verified.contains(&&Value::from(true)), "{said}");
    // A command that needs a model says so and uses the valid checkpoint.
    let output = place.ddpm("sample --run hurt --count 1 --steps 2 --out from-hurt")?.ok();
    ensure!(
        output.stderr.contains("skipping") && output.stderr.contains("ema.safetensors"),
        "{}",
        output.stderr
    );
    Ok(())
}

#[test]
fn data_is_counted_and_measured() -> anyhow::Result<()> {
    let said = place().run("inspect data --data fashion-mnist:test --json")?.json();
    ensure!(said["images"] == 2000 && said["height"] == 28 && said["channels"] == 1, "{said}");
    let classes = said["classes"].as_array().context("classes")?;
    ensure!(classes.len() == 10 && classes.iter().all(|class| class["images"] == 200), "{said}");
    Ok(())
}

/// Sizes are width x height, as in every image viewer.
#[test]
fn the_width_of_images_comes_first() -> anyhow::Result<()> {
    let place = Place::new()?;
    for n in 0..4 {
        place.write(&format!("tall/{n}.png"), data::grey_file(n, (18, 25), ImageFormat::Png)?)?;
    }
    let said = place.run("inspect data --data tall")?.ok().stdout;
    ensure!(said.contains("4 of 18x25 pixels, grey") && !said.contains("25x18"), "{said}");
    let said = place.run("inspect data --data tall --json")?.json();
    ensure!(said["width"] == 18 && said["height"] == 25, "{said}");
    Ok(())
}

#[test]
fn doctor_passes_on_the_built_program() -> anyhow::Result<()> {
    let said = place().ddpm("doctor --json")?.json();
    let checks = said["checks"].as_array().context("checks")?;
    let status = |name: &str| checks.iter().find(|check| check["name"] == name).map(|check| &check["status"]);
    for name in ["libtorch", "convolution", "attention", "network"] {
        ensure!(status(name).is_some_and(|status| status == "ok"), "{name}: {said}");
    }
    ensure!(!checks.iter().any(|check| check["status"] == "failed"), "{said}");
    let people = place().ddpm("doctor")?.ok();
    ensure!(people.stdout.contains("libtorch"), "{}", people.stdout);
    Ok(())
}

#[test]
fn the_bench_counts_in_images_a_second() -> anyhow::Result<()> {
    for what in ["train", "sample"] {
        let line = format!("bench {what} --preset tiny-16 --batch 2 --steps 2 --warmup 1 --json");
        let said = place().ddpm(&line)?.json();
        ensure!(said["what"] == what && said["batch"] == 2 && said["steps"] == 2, "{said}");
        let numbers =
            ["images_per_s", "median_s", "first_step_after_s", "gflop", "peak_gflop_per_s", "share_of_peak"];
        for key in numbers {
            ensure!(said[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {said}");
        }
        ensure!(said["parts"]["forward"].as_f64().is_some_and(|x| x > 0.0), "{said}");
    }
    Ok(())
}
