//! Every recipe of `recipes/` starts, trains 20 reduced steps, and is sampled; `cargo xtask recipe` trains them in
//! full.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use image::ImageFormat;
use tests::{Place, data};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes")
}

/// Images for a kind of data; returns the value of `--data`.
fn images(place: &Place, kind: &str) -> anyhow::Result<Option<&'static str>> {
    Ok(match kind {
        "embedded" => None,
        "fashion-mnist" | "mnist" => {
            place.write("idx/train-images-idx3-ubyte.gz", data::gzip(&data::idx_images(40, 28))?)?;
            place.write("idx/train-labels-idx1-ubyte.gz", data::gzip(&data::idx_labels(40))?)?;
            Some("idx/train-images-idx3-ubyte.gz")
        }
        "cifar-10" => {
            place.write("cifar/data_batch_1.bin", data::cifar10(40))?;
            Some("cifar")
        }
        "folder" => {
            for index in 0..12 {
                let file = data::colour_file(index, (80, 70), ImageFormat::Png)?;
                place.write(&format!("photos/{index}.png"), file)?;
            }
            Some("photos")
        }
        other => anyhow::bail!("data = {other}: the test has no images for it"),
    })
}

#[test]
fn every_recipe_trains_and_is_sampled() -> anyhow::Result<()> {
    let index: toml::Table = fs::read_to_string(folder().join("index.toml"))?.parse()?;
    let recipes = index["recipe"].as_array().context("recipes")?;
    ensure!(recipes.len() >= 11, "{}", recipes.len());
    for recipe in recipes {
        let place = Place::new()?;
        let text = |key: &str| recipe[key].as_str().context(key.to_owned());
        let name = text("name")?;
        let data = images(&place, text("data")?)?.map(|data| format!(" --data {data}")).unwrap_or_default();
        let reduced: Vec<&str> =
            recipe["reduced"].as_array().context("reduced")?.iter().filter_map(|set| set.as_str()).collect();
        let reduced: String = reduced.iter().map(|set| format!(" --set {set}")).collect();
        let config = folder().join(format!("{name}.toml"));
        let line = format!(
            "train --config {}{data}{reduced} --run run --set train.steps=20 --set train.batch=2 --set train.sample_every=0 \
             --set train.checkpoint_every=20 --set train.warmup_steps=2 --set data.limit=24 --set sample.count=1 \
             --set sample.steps=2 --json",
            config.display()
        );
        let said = place.ddpm(&line)?.json();
        ensure!(said["steps"] == 20 && said["loss"].as_f64().is_some_and(f64::is_finite), "{name}: {said}");
        let said = place.ddpm("sample --run run --count 2 --steps 2 --save png --out out --json")?.json();
        ensure!(said["images"] == 2 && place.names("out").len() == 2, "{name}: {said}");
    }
    Ok(())
}
