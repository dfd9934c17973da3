//! From images to a trained run, and from noise to images: train, sample, predict.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use ndarray::{Array, Array4, ArrayD, Axis};
use serde_json::Value;
use tests::{Place, arrays, trained};

/// A folder with a trained run, shared by all tests of this file.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipeline")))
}

fn npy(name: &str) -> anyhow::Result<ArrayD<f64>> {
    arrays::read_npy(&place().read(name)?)
}

fn grey(name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(image::load_from_memory(&place().read(name)?)?.to_luma8().into_raw())
}

/// Noise-like values, `[n, 1, 16, 16]`.
fn noise(count: usize) -> Array4<f32> {
    Array::from_shape_fn((count, 1, 16, 16), |(n, _, y, x)| {
        let bits = (n * 7919 + y * 104_729 + x * 1_299_709 + 1).wrapping_mul(2_654_435_761) % 10_007;
        (bits as f32 / 10_007.0 - 0.5) * 3.4
    })
}

#[test]
fn a_run_folder_explains_itself() -> anyhow::Result<()> {
    let place = place();
    let names = place.names("run");
    for name in ["checkpoints", "config.toml", "metrics.jsonl", "run.lock", "samples"] {
        ensure!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
    ensure!(names.iter().any(|name| name.starts_with("events.out.tfevents.")), "{names:?}");
    ensure!(place.names("run/checkpoints") == ["step-00000003", "step-00000006"]);
    let files =
        ["config.toml", "ema.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors"];
    ensure!(place.names("run/checkpoints/step-00000006")[..5] == files);

    // The hashes of the manifest are those of the files.
    let manifest: Value =
        serde_json::from_slice(&place.read("run/checkpoints/step-00000006/manifest.json")?)?;
    for entry in manifest["files"].as_array().context("files")? {
        let name = entry["name"].as_str().context("name")?;
        let found = place.sha256(&format!("run/checkpoints/step-00000006/{name}"))?;
        ensure!(entry["sha256"] == found.as_str(), "{name}");
    }

    let text = String::from_utf8(place.read("run/metrics.jsonl")?)?;
    let records: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let steps: Vec<_> = records.iter().filter_map(|record| record["step"].as_u64()).collect();
    ensure!(steps == [2, 4, 6], "{text}");
    for key in ["loss", "lr", "grad_norm", "images_per_s"] {
        ensure!(records.iter().all(|record| record[key].as_f64().is_some_and(|x| x > 0.0)), "{key}: {text}");
    }

    // Four images of 16x16 in the last grid, drawn enlarged.
    let grid = image::load_from_memory(&place.read("run/samples/step-00000006-ema.png")?)?;
    ensure!(grid.width() >= 2 * 16 && grid.height() >= 2 * 16, "{}x{}", grid.width(), grid.height());
    // The resolved configuration is complete: on its own it starts the same run.
    let dump = place.ddpm("train --config run/config.toml --run elsewhere --dump-config")?;
    ensure!(dump.stdout.contains("steps = 6"), "{dump:?}");
    Ok(())
}

#[test]
fn samples_do_not_depend_on_the_batch() -> anyhow::Result<()> {
    let place = place();
    let line = "sample --run run --count 5 --steps 8 --seed 11 --save grid,png,npz";
    for batch in [1, 3, 64] {
        let said = place.ddpm(&format!("{line} --batch {batch} --out by-{batch} --json"))?.json();
        ensure!(said["images"] == 5 && said["steps"] == 8 && said["files_written"] == 7, "{said}");
        let names = place.names(&format!("by-{batch}"));
        let expected =
            ["00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "grid.png", "samples.npz"];
        ensure!(names == expected, "{names:?}");
        for name in &expected[..6] {
            let (one, other) =
                (place.read(&format!("by-1/{name}"))?, place.read(&format!("by-{batch}/{name}"))?);
            ensure!(one == other, "{name} at --batch {batch} is another image than at --batch 1");
        }
    }
    // The three forms hold the same pixels.
    let archive = arrays::read_npz(&place.read("by-3/samples.npz")?)?;
    let images = &archive["images"];
    ensure!(images.shape() == [5, 16, 16, 1], "{:?}", images.shape());
    for (index, image) in images.axis_iter(Axis(0)).enumerate() {
        let png = grey(&format!("by-3/{index:05}.png"))?;
        ensure!(image.iter().map(|&pixel| pixel as u8).eq(png), "image {index}");
    }
    // Images of one call differ, and so do seeds.
    ensure!(grey("by-1/00000.png")? != grey("by-1/00001.png")?);
    let _ = place.ddpm("sample --run run --count 1 --steps 8 --seed 12 --save png --out seed-12")?.ok();
    ensure!(grey("seed-12/00000.png")? != grey("by-1/00000.png")?);
    Ok(())
}

#[test]
fn both_sigmas_and_ddim_start_from_the_same_noise() -> anyhow::Result<()> {
    let place = place();
    let ways = ["--sigma fixed-small", "--sigma fixed-large", "--sampler ddim", "--sampler ddim --eta 1"];
    for (index, way) in ways.iter().enumerate() {
        let line = format!("sample --run run --count 2 --steps 6 --save png --out way-{index} {way}");
        let _ = place.ddpm(&line)?.ok();
    }
    let first = |index: usize| grey(&format!("way-{index}/00000.png"));
    ensure!(first(0)? != first(1)?, "the two variances give the same image");
    ensure!(first(0)? != first(2)?, "ddpm and ddim give the same image");
    ensure!(first(2)? != first(3)?, "eta has no effect");
    // With one step there is no noise to add, and all are the same jump from x_T.
    for (index, way) in ["--sigma fixed-small", "--sigma fixed-large", "--sampler ddim"].iter().enumerate() {
        let line = format!("sample --run run --count 2 --steps 1 --save png --out jump-{index} {way}");
        let _ = place.ddpm(&line)?.ok();
    }
    ensure!(grey("jump-0/00000.png")? == grey("jump-1/00000.png")?);
    Ok(())
}

/// Algorithm 2 for one step, by hand: `x_0 = (x_T - sqrt(1 - alpha_bar_T) eps) / sqrt(alpha_bar_T)`, with eps from
/// `ddpm predict`, alpha_bar from `ddpm inspect schedule`, and the images from `ddpm sample`.
#[test]
fn a_sample_can_be_checked_from_outside() -> anyhow::Result<()> {
    let place = place();
    let x_t = noise(3);
    place.write("x.npy", arrays::npy(&x_t)?)?;
    place.write("t.npy", arrays::npy(&Array::from(vec![999_i64; 3]))?)?;
    let model = "--model run/checkpoints/step-00000006 --precision f32";
    let said = place.ddpm(&format!("predict {model} --x x.npy --t t.npy --out eps.npy --json"))?.json();
    ensure!(said["shape"] == serde_json::json!([3, 1, 16, 16]), "{said}");
    let _ = place.ddpm("inspect schedule --out s.npz")?.ok();
    let alpha_bar = arrays::read_npz(&place.read("s.npz")?)?["alpha_bars"][[999]];
    let line = format!(
        "sample {model} --init-noise x.npy --sampler ddim --steps 1 --spacing trailing --save npz --out one"
    );
    let _ = place.ddpm(&line)?.ok();

    let eps = npy("eps.npy")?;
    ensure!(eps.iter().any(|&e| e.abs() > 1e-3), "the network predicts nothing");
    let pixels = arrays::read_npz(&place.read("one/samples.npz")?)?.remove("images").context("images")?;
    for ((index, &eps), &x) in eps.indexed_iter().zip(&x_t) {
        let x_0 = (f64::from(x) - (1.0 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt();
        let want = (x_0.clamp(-1.0, 1.0) + 1.0) * 127.5;
        let got = pixels[[index[0], index[2], index[3], index[1]]];
        // 1 / sqrt(alpha_bar) = 157 enlarges the rounding of f32.
        ensure!((got - want).abs() <= 1.0, "at {index:?}: {got}, expected {want}");
    }
    Ok(())
}

#[test]
fn predictions_agree_with_themselves() -> anyhow::Result<()> {
    let place = place();
    let x = noise(2);
    let t = [10_i64, 700];
    place.write("both.npy", arrays::npy(&x)?)?;
    place.write("both-t.npy", arrays::npy(&Array::from(t.to_vec()))?)?;
    let predict = |x: &str, t: &str, out: &str| {
        place.ddpm(&format!("predict --run run --precision f32 --x {x} --t {t} --out {out}"))
    };
    let _ = predict("both.npy", "both-t.npy", "both-eps.npy")?.ok();
    let _ = predict("both.npy", "both-t.npy", "again-eps.npy")?.ok();
    ensure!(place.read("both-eps.npy")? == place.read("again-eps.npy")?, "two equal calls differ");
    let both = npy("both-eps.npy")?;
    for (n, &time) in t.iter().enumerate() {
        place.write("one.npy", arrays::npy(&x.index_axis(Axis(0), n).insert_axis(Axis(0)).to_owned())?)?;
        // Fractional t is allowed, so t may be floats.
        place.write("one-t.npy", arrays::npy(&Array::from(vec![time as f64]))?)?;
        let _ = predict("one.npy", "one-t.npy", "one-eps.npy")?.ok();
        let one = npy("one-eps.npy")?;
        ensure!(one.shape() == [1, 1, 16, 16]);
        let differs = one.iter().zip(both.index_axis(Axis(0), n)).any(|(a, b)| (a - b).abs() > 1e-5);
        ensure!(!differs, "image {n} differs alone and in a batch");
    }
    // Another t gives another prediction.
    place.write("one-t.npy", arrays::npy(&Array::from(vec![t[0]]))?)?;
    let before = npy("one-eps.npy")?;
    let _ = predict("one.npy", "one-t.npy", "one-eps.npy")?.ok();
    ensure!(npy("one-eps.npy")? != before);
    Ok(())
}
