//! End-to-end tests of image edits.

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

/// Mean difference of two images in grey levels.
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
    ensure!(grey("vary/t-0600/00000.png")? != grey("vary/t-0600/00001.png")?, "all variations are equal");

    // The same images again with other batches.
    let again = line.replace("--out vary", "--out again --batch 2");
    let _ = place.ddpm(&again)?.ok();
    for name in ["t-0001/00000.png", "t-0600/00002.png", "original.png"] {
        ensure!(place.read(&format!("vary/{name}"))? == place.read(&format!("again/{name}"))?, "{name}");
    }
    Ok(())
}

#[test]
fn an_own_image_is_resized_for_the_network() -> anyhow::Result<()> {
    let place = place();
    place.write("mine.jpg", data::colour_file(1, (40, 24), ImageFormat::Jpeg)?)?;
    let line = "edit vary --run run --image mine.jpg --t-start 5 --count 1 --save png --out mine";
    let output = place.ddpm(line)?.ok();
    ensure!(output.stderr.contains("40x24") && output.stderr.contains("resized"), "{}", output.stderr);
    let variation = image::load_from_memory(&place.read("mine/t-0005/00000.png")?)?;
    ensure!((variation.width(), variation.height()) == (16, 16));
    Ok(())
}

/// An image of another size and in colour, with every edit that starts from an image.
#[test]
fn every_verb_takes_a_picture_from_outside() -> anyhow::Result<()> {
    let place = place();
    place.write("photo.png", data::colour_file(2, (50, 30), ImageFormat::Png)?)?;
    place.write("small.png", data::grey_file(3, (4, 4), ImageFormat::Png)?)?;
    let fast = "--steps 8 --count 2 --save grid,png";
    for (verb, flags) in [
        (
            "interpolate",
            "--image photo.png --to-index 2 --count 3 --t-start 300 --sampler ddim --steps 8 --save grid,png",
        ),
        ("interpolate", "--image photo.png --to-index 2 --count 3 --mode ddim --steps 4 --save grid,png"),
        ("inpaint", &format!("--image photo.png --box 8,0,8,16 --jump 2 --resample 2 {fast}")),
        ("outpaint", &format!("--image photo.png --keep 4,4,8,8 --jump 2 --resample 2 {fast}")),
        ("upscale", &format!("--image small.png --factor 4 --jump 2 --resample 2 {fast}")),
        ("encode", "--image photo.png --steps 4"),
        ("decode", "--latent verbs-encode/latent.npy --steps 4"),
    ] {
        let output = place.ddpm(&format!("edit {verb} --run run {flags} --out verbs-{verb}"))?.ok();
        let resized = output.stderr.contains("resized");
        ensure!(resized == flags.contains("photo.png"), "{verb}: {}", output.stderr);
        let grid = image::load_from_memory(&place.read(&format!("verbs-{verb}/grid.png"))?)?;
        // Originals and results side by side, enlarged, below their labels; only decoding starts from no image.
        let least = if verb == "decode" { (64, 64) } else { (3 * 128, 128 + 10) };
        let size = (grid.width(), grid.height());
        ensure!(size.0 >= least.0 && size.1 >= least.1, "{verb}: {size:?}");
    }
    Ok(())
}

/// Known pixels stay, the others differ between draws, and neither depends on the batch.
#[test]
fn inpainting_keeps_what_is_known() -> anyhow::Result<()> {
    let place = place();
    place.write("hole.png", data::grey_file(1, (16, 16), ImageFormat::Png)?)?;
    let mut mask = image::GrayImage::new(16, 16);
    for (x, y, pixel) in mask.enumerate_pixels_mut() {
        pixel.0[0] = if x >= 8 && y < 12 { 255 } else { 0 };
    }
    mask.save(place.at("mask.png"))?;
    let line = "edit inpaint --run run --image hole.png --mask mask.png --steps 8 --jump 2 --resample 3 --count 3 --save png";
    for (out, batch) in [("filled", 64), ("filled-1", 1), ("filled-2", 2)] {
        let _ = place.ddpm(&format!("{line} --batch {batch} --out {out}"))?.ok();
    }
    let original = grey("hole.png")?;
    let fills = (0..3).map(|n| grey(&format!("filled/{n:05}.png"))).collect::<anyhow::Result<Vec<_>>>()?;
    for (n, fill) in fills.iter().enumerate() {
        for (place, (got, want)) in fill.iter().zip(&original).enumerate() {
            let known = place % 16 < 8 || place / 16 >= 12;
            ensure!(!known || got == want, "image {n}: known pixel {place} is {got}, was {want}");
        }
        for other in ["filled-1", "filled-2"] {
            let name = format!("{n:05}.png");
            ensure!(
                place.read(&format!("filled/{name}"))? == place.read(&format!("{other}/{name}"))?,
                "{other}/{name}"
            );
        }
    }
    ensure!(fills[0] != fills[1] && fills[1] != fills[2], "all fills are equal");
    Ok(())
}

/// Decoding the noise of an image gives the image back.
#[test]
fn decoding_inverts_encoding() -> anyhow::Result<()> {
    let place = place();
    let said = place
        .ddpm("edit encode --run run --index 1 --steps 40 --precision f32 --save npz --out code --json")?
        .json();
    let latent = tests::arrays::read_npy(&place.read("code/latent.npy")?)?;
    ensure!(latent.shape() == [1, 1, 16, 16], "{:?}", latent.shape());
    let archive = tests::arrays::read_npz(&place.read("code/samples.npz")?)?;
    ensure!(archive["latent"] == latent && archive["images"].shape() == [1, 16, 16, 1], "{archive:?}");
    let _ =
        place.ddpm("edit decode --run run --latent code/samples.npz --steps 2 --save grid --out again")?.ok();
    let _ = place
        .ddpm(
            "edit decode --run run --latent code/latent.npy --steps 40 --precision f32 --save png --out back",
        )?
        .ok();
    let _ = place.ddpm("edit vary --run run --index 1 --t-start 1 --count 1 --save png --out one")?.ok();
    let off = distance(&grey("back/00000.png")?, &grey("one/original.png")?);
    ensure!(off < 8.0, "{off} grey levels off; {said}");
    Ok(())
}

/// The ends of the interpolation are nearly the two images. An intermediate image does not depend on the batch or on
/// which others are requested.
#[test]
fn interpolations_lead_from_one_image_to_the_other() -> anyhow::Result<()> {
    let place = place();
    let line = "edit interpolate --run run --index 1 --to-index 2 --precision f32 --save png,grid";
    let _ = place.ddpm(&format!("{line} --mode ddim --count 5 --out way"))?.ok();
    let _ = place.ddpm(&format!("{line} --mode ddim --count 3 --batch 2 --out way-of-3"))?.ok();
    let ends = [1, 2].map(|n| {
        let vary = format!("edit vary --run run --index {n} --t-start 1 --count 1 --out end-{n}");
        let _ = place.ddpm(&vary)?.ok();
        grey(&format!("end-{n}/original.png"))
    });
    let [from, to] = ends;
    let (from, to) = (from?, to?);
    let way = (0..5).map(|n| grey(&format!("way/{n:05}.png"))).collect::<anyhow::Result<Vec<_>>>()?;
    let (first, last) = (distance(&way[0], &from), distance(&way[4], &to));
    ensure!(first < 10.0 && last < 10.0, "the ends are {first} and {last} grey levels off");
    ensure!(distance(&way[0], &to) > distance(&way[3], &to), "the interpolation does not move");
    for (few, many) in [(0, 0), (1, 2), (2, 4)] {
        // Other batch sizes sum in another order.
        let off = distance(&grey(&format!("way-of-3/{few:05}.png"))?, &way[many]);
        ensure!(off < 0.1, "share {few} of 3 is {off} grey levels off");
    }

    // Diffused images: one row per start.
    let _ = place.ddpm(&format!("{line} --t-start 1,300 --count 3 --out rows"))?.ok();
    ensure!(place.names("rows").len() == 7, "{:?}", place.names("rows"));
    let (near, mixed) = (grey("rows/00000.png")?, grey("rows/00001.png")?);
    let half: Vec<u8> = from.iter().zip(&to).map(|(a, b)| a.midpoint(*b)).collect();
    ensure!(distance(&near, &from) < 4.0 && distance(&mixed, &half) < 4.0, "one step should change little");
    Ok(())
}

/// Block means of the result are the pixels of the small image.
#[test]
fn upscaled_images_shrink_to_the_small_one() -> anyhow::Result<()> {
    let place = place();
    place.write("seed.png", data::grey_file(2, (4, 4), ImageFormat::Png)?)?;
    let line = "edit upscale --run run --image seed.png --factor 4 --steps 8 --count 1 --save png";
    let ways = ["--jump 2 --resample 2", "--resample 1", "--resample 1 --threshold off"];
    for (n, way) in ways.iter().enumerate() {
        let _ = place.ddpm(&format!("{line} {way} --out large-{n}"))?.ok();
    }
    let small = grey("seed.png")?;
    for (n, way) in ways.iter().enumerate() {
        let large = grey(&format!("large-{n}/00000.png"))?;
        for (block, want) in small.iter().enumerate() {
            let pixels =
                (0..16).map(|k| usize::from(large[(block / 4 * 4 + k / 4) * 16 + block % 4 * 4 + k % 4]));
            // To the exact grey level, also where pixels are black or white.
            let sum: usize = pixels.sum();
            ensure!(sum == 16 * usize::from(*want), "{way}: block {block}: {sum} / 16, not {want}");
        }
    }
    Ok(())
}

/// A network with a border around its images: inputs and outputs have none.
#[test]
fn the_networks_border_is_not_part_of_the_image() -> anyhow::Result<()> {
    let place = place();
    let train = "train --preset tiny-16 --run bordered --set data.size=12 --set data.pad_to_multiple=8 \
                 --set train.steps=2 --set train.batch=4 --set data.limit=8 --set sample.count=2 \
                 --set sample.steps=2 --set precision=f32";
    let _ = place.ddpm(train)?.ok();
    place.write("twelve.png", data::grey_file(4, (12, 12), ImageFormat::Png)?)?;
    let line =
        "edit inpaint --run bordered --image twelve.png --box 6,0,6,12 --steps 4 --resample 1 --count 1";
    let output = place.ddpm(&format!("{line} --save png --out inside"))?.ok();
    ensure!(!output.stderr.contains("resized"), "{}", output.stderr);
    let (image, filled) = (grey("twelve.png")?, grey("inside/00000.png")?);
    ensure!(filled.len() == image.len());
    let kept = |at: &usize| at % 12 < 6;
    ensure!((0..144).filter(kept).all(|at| image[at] == filled[at]), "known pixels changed");
    ensure!((0..144).filter(|at| !kept(at)).any(|at| image[at] != filled[at]), "nothing was filled");
    let _ = place
        .ddpm("edit upscale --run bordered --index 1 --factor 2 --steps 4 --resample 1 --out twice")?
        .ok();
    let beyond =
        place.run("edit inpaint --run bordered --index 1 --box 6,0,7,12 --device cpu --out beyond")?;
    ensure!(beyond.code == Some(2) && beyond.stderr.contains("12 columns and 12 rows"), "{}", beyond.stderr);
    Ok(())
}
