//! Samples and resumes a run of version 0.1.0. `tests/old_runs/0.1.0` is the output of that version for `ddpm train
//! --preset tiny-16` with a smaller network, 4 steps of 8 images, in f32; beside it are the samples that version drew.

use std::fs;
use std::path::Path;

use anyhow::Context;
use tests::{Place, arrays};

fn old_run() -> anyhow::Result<Place> {
    let place = Place::new()?;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("old_runs/0.1.0");
    for file in ["config.toml", "metrics.jsonl"] {
        place.write(&format!("run/{file}"), fs::read(from.join(file))?)?;
    }
    let checkpoint = "checkpoints/step-00000004";
    for entry in fs::read_dir(from.join(checkpoint))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a plain name")?;
        place.write(&format!("run/{checkpoint}/{name}"), fs::read(entry.path())?)?;
    }
    Ok(place)
}

#[test]
fn it_draws_the_same_images() -> anyhow::Result<()> {
    let place = old_run()?;
    let line =
        "sample --run run --sampler ddim --steps 8 --count 3 --seed 5 --precision f32 --save npz --out out";
    let _ = place.ddpm(line)?.ok();
    let images =
        |bytes: &[u8]| -> anyhow::Result<_> { arrays::read_npz(bytes)?.remove("images").context("images") };
    let then =
        images(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("old_runs/0.1.0-ddim-8-seed-5.npz"))?)?;
    let now = images(&place.read("out/samples.npz")?)?;
    assert_eq!(now.shape(), then.shape());
    // Another processor may round a pixel differently.
    assert!(now.iter().zip(&then).all(|(a, b)| (a - b).abs() <= 1.0));
    Ok(())
}

#[test]
fn it_goes_on() -> anyhow::Result<()> {
    let place = old_run()?;
    let said = place.ddpm("train --run run --resume --set train.steps=6 --json")?.json();
    assert_eq!((said["finished"].as_bool(), said["steps"].as_u64()), (Some(true), Some(6)), "{said}");
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")?)?;
    assert_eq!(metrics.lines().count(), 6, "{metrics}");
    let config = String::from_utf8(place.read("run/config.toml")?)?;
    assert!(config.contains("prediction = \"v\"") && config.contains("kind = \"unet\""), "{config}");
    Ok(())
}
