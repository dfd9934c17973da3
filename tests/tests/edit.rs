//! Variations of an image, and the report with all its figures.

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

const FIGURES: &[&str] = &[
    "01-schedules.png",
    "02-forward.png",
    "03-one-step.png",
    "04-histograms.png",
    "05-embedding.png",
    "06-loss.png",
    "07-samples.png",
    "08-trajectories.png",
    "09-sigmas.png",
    "10-variations.png",
    "11-fewer-steps.png",
];

#[test]
fn the_report_shows_every_figure() -> anyhow::Result<()> {
    let place = place();
    let said = place.ddpm("figures --run run --quick --out report --json")?.json();
    ensure!(said["skipped"].as_array().is_some_and(Vec::is_empty), "{said}");
    ensure!(said["figures"].as_array().is_some_and(|list| list.iter().eq(FIGURES)), "{said}");
    let mut expected = FIGURES.to_vec();
    expected.push("report.html");
    ensure!(place.names("report") == expected, "{:?}", place.names("report"));
    for name in FIGURES {
        let picture = image::load_from_memory(&place.read(&format!("report/{name}"))?)?;
        ensure!(
            picture.width() > 200 && picture.height() > 100,
            "{name} is {}x{}",
            picture.width(),
            picture.height()
        );
        let (first, pixels) = (picture.to_rgb8().get_pixel(0, 0).0, picture.to_rgb8());
        ensure!(pixels.pixels().any(|pixel| pixel.0 != first), "{name} is of one colour");
    }
    // Self-contained, in the order of the figures, each with its equation.
    let html = String::from_utf8(place.read("report/report.html")?)?;
    ensure!(html.matches("data:image/png;base64,").count() == FIGURES.len());
    for foreign in ["<script", "src=\"http", "href=\"http", "@import"] {
        ensure!(!html.contains(foreign), "the report needs {foreign}");
    }
    let places: Vec<_> = FIGURES
        .iter()
        .map(|name| html.find(&format!("id=\"{}\"", name.trim_end_matches(".png"))).context(*name))
        .collect::<anyhow::Result<_>>()?;
    ensure!(places.is_sorted(), "{places:?}");

    // Same run, same bytes; a part of them is the same part.
    let _ = place.ddpm("figures --run run --quick --only 1,4,7-8 --out part")?.ok();
    for name in ["01-schedules.png", "04-histograms.png", "07-samples.png", "08-trajectories.png"] {
        ensure!(place.read(&format!("report/{name}"))? == place.read(&format!("part/{name}"))?, "{name}");
    }
    ensure!(place.names("part").len() == 5, "{:?}", place.names("part"));
    Ok(())
}

#[test]
fn without_a_run_the_figures_of_the_forward_process_are_drawn() -> anyhow::Result<()> {
    let empty = Place::new()?;
    let said = empty.ddpm("figures --quick --out report --json")?.json();
    ensure!(said["figures"].as_array().is_some_and(|list| list.iter().eq(&FIGURES[..5])), "{said}");
    ensure!(said["skipped"].as_array().is_some_and(|list| list.len() == 6), "{said}");
    Ok(())
}
