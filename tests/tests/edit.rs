//! Edits of images, from outside.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use image::ImageFormat;
use tests::{Place, data, trained};

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("edit")))
}

fn grey(name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(image::load_from_memory(&place().read(name)?)?.to_luma8().into_raw())
}

/// Mean distance of two images in grey levels.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn variations_leave_the_image_the_more_the_later_they_start() -> anyhow::Result<()> {
    let place = place();
    let line = "edit vary --run run --index 3 --t-start 1,40,600 --count 3 --sampler ddim --save grid,png --out vary";
    let said = place.ddpm(&format!("{line} --json"))?.json();
    let starts = said["starts"].as_array().context("starts")?;
    ensure!(starts.iter().map(|s| s["t_start"].as_u64()).eq([Some(1), Some(40), Some(600)]), "{said}");
    ensure!(place.names("vary") == ["original.png", "t-0001", "t-0040", "t-0600"]);
    ensure!(place.names("vary/t-0040") == ["00000.png", "00001.png", "00002.png", "grid.png"]);

    let original = grey("vary/original.png")?;
    let mean = |start: &str| -> anyhow::Result<f64> {
        let images = (0..3).map(|n| grey(&format!("vary/{start}/{n:05}.png")));
        Ok(images.map(|image| Ok(distance(&image?, &original))).sum::<anyhow::Result<f64>>()? / 3.0)
    };
    let (first, early, late) = (mean("t-0001")?, mean("t-0040")?, mean("t-0600")?);
    ensure!(first < 4.0, "one step changes {first} grey levels");
    ensure!(first < early && early < late, "{first}, {early}, {late}");
    ensure!(grey("vary/t-0600/00000.png")? != grey("vary/t-0600/00001.png")?, "all variations are one");

    // Again, in other batches: the same images.
    let again = line.replace("--out vary", "--out again --batch 2");
    let _ = place.ddpm(&again)?.ok();
    for name in ["t-0001/00000.png", "t-0600/00002.png", "original.png"] {
        ensure!(place.read(&format!("vary/{name}"))? == place.read(&format!("again/{name}"))?, "{name}");
    }
    Ok(())
}

#[test]
fn an_image_of_ones_own_is_brought_to_the_size_of_the_network() -> anyhow::Result<()> {
    let place = place();
    place.write("mine.jpg", data::colour_file(1, (40, 24), ImageFormat::Jpeg)?)?;
    let line = "edit vary --run run --image mine.jpg --t-start 5 --count 1 --save png --out mine";
    let output = place.ddpm(line)?.ok();
    ensure!(output.stderr.contains("24x40") && output.stderr.contains("resized"), "{}", output.stderr);
    let variation = image::load_from_memory(&place.read("mine/t-0005/00000.png")?)?;
    ensure!((variation.width(), variation.height()) == (16, 16));
    Ok(())
}
