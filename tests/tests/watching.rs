//! Watching images emerge from noise: the strip, the animation and the arrays of `ddpm sample --trajectory`, and the
//! preview of a running sampling.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ndarray::{Array, ArrayD, Axis};
use serde_json::json;
use tests::animations::{Frame, read_apng, read_gif};
use tests::{Place, arrays, trained};

/// A folder with a trained run, shared by all tests of this file.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("watching")))
}

fn npz(name: &str) -> anyhow::Result<std::collections::BTreeMap<String, ArrayD<f64>>> {
    arrays::read_npz(&place().read(name)?)
}

/// A value in [-1, 1] as a pixel.
fn pixel(value: f64) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// Whether a frame is the grid of images `[n, 1, 16, 16]` in [-1, 1], enlarged by whole pixels with white between them.
fn is_grid(frame: &Frame, images: &ArrayD<f64>, columns: usize) -> bool {
    let scale = frame.size.0 / (columns * 17 - 1);
    let at = |x: usize, y: usize| frame.rgb[3 * (y * frame.size.0 + x)];
    images.indexed_iter().all(|(index, &value)| {
        let (row, column) = (index[0] / columns, index[0] % columns);
        let (x, y) = ((column * 17 + index[3]) * scale, (row * 17 + index[2]) * scale);
        at(x, y) == pixel(value) && at(x + scale - 1, y + scale - 1) == pixel(value)
    })
}

#[test]
fn a_trajectory_goes_from_noise_to_the_samples() -> anyhow::Result<()> {
    let place = place();
    let line = "sample --run run --count 5 --steps 12 --seed 3 --save grid,npz --trajectory 4";
    let said = place.ddpm(&format!("{line} --out way --json"))?.json();
    ensure!(said["trajectory"] == json!(["way/trajectory.png", "way/trajectory.gif"]), "{said}");
    ensure!(said["files_written"] == 4 && said["first_file"] == "way/grid.png", "{said}");
    ensure!(place.names("way") == ["grid.png", "samples.npz", "trajectory.gif", "trajectory.png"]);

    // Moments are evenly spaced: before steps 0, 4 and 8 of 12, and after the last.
    let found = npz("way/samples.npz")?;
    ensure!(found.keys().map(String::as_str).eq(["images", "t", "x_0", "x_t"]), "{:?}", found.keys());
    let (t, x_t, x_0, images) = (&found["t"], &found["x_t"], &found["x_0"], &found["images"]);
    ensure!(t.iter().copied().eq([999.0, 666.0, 332.0, -1.0]), "{t}");
    ensure!(x_t.shape() == [4, 5, 1, 16, 16] && x_0.shape() == x_t.shape(), "{:?}", x_t.shape());

    // Noise first, the same as for a shorter chain with this seed; then the samples.
    let noise = x_t.index_axis(Axis(0), 0).to_owned();
    let (mean, square) = (noise.mean().unwrap_or(9.0), noise.mapv(|x| x * x).mean().unwrap_or(9.0));
    ensure!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.15, "mean {mean}, mean square {square}");
    let _ = place
        .ddpm("sample --run run --count 5 --steps 1 --seed 3 --save npz --trajectory 2 --out jump")?
        .ok();
    ensure!(
        npz("jump/samples.npz")?["x_t"].index_axis(Axis(0), 0) == noise,
        "the noise should depend only on the seed"
    );
    let samples = x_t.index_axis(Axis(0), 3).to_owned();
    ensure!(x_0.index_axis(Axis(0), 3) == samples, "the last predicted x_0 should be the samples");
    for ((n, &want), value) in images.indexed_iter().zip(samples.iter()) {
        // With one channel, both orders are the same.
        ensure!(pixel(*value) == want as u8, "at {n:?}: {value}, saved as {want}");
    }

    // Frame k of the animation shows x_t at moment k.
    let frames = read_gif(&place.read("way/trajectory.gif")?)?;
    ensure!(frames.len() == 4);
    for (k, frame) in frames.iter().enumerate() {
        ensure!(is_grid(frame, &x_t.index_axis(Axis(0), k).to_owned(), 3), "frame {k}");
    }
    let seconds: Vec<f64> = frames.iter().map(|frame| frame.seconds).collect();
    ensure!(seconds[..3] == [0.4; 3] && seconds[3] > 1.0, "{seconds:?}");

    // The other format has the same frames.
    let _ = place.ddpm(&format!("{line} --animation apng --out other"))?.ok();
    ensure!(place.names("other")[2..] == ["trajectory.apng", "trajectory.png"]);
    ensure!(read_apng(&place.read("other/trajectory.apng")?)? == frames);
    ensure!(place.sha256("other/trajectory.png")? == place.sha256("way/trajectory.png")?);
    Ok(())
}

#[test]
fn a_trajectory_does_not_depend_on_the_batch() -> anyhow::Result<()> {
    let place = place();
    let line = "sample --run run --count 18 --steps 5 --seed 8 --trajectory 6 --save grid,npz";
    for batch in [64, 1, 5] {
        let _ = place.ddpm(&format!("{line} --batch {batch} --out by-{batch}"))?.ok();
        for name in ["grid.png", "trajectory.png", "trajectory.gif"] {
            let same =
                place.sha256(&format!("by-{batch}/{name}"))? == place.sha256(&format!("by-64/{name}"))?;
            ensure!(same, "{name} at --batch {batch} is another one than at --batch 64");
        }
        let (whole, parts) = (npz("by-64/samples.npz")?, npz(&format!("by-{batch}/samples.npz"))?);
        // Every state of the chain, of 16 of the 18 images.
        ensure!(parts["x_0"].shape() == [6, 16, 1, 16, 16] && parts["images"].shape()[0] == 18);
        for name in ["t", "x_t", "x_0"] {
            let far = whole[name].iter().zip(&parts[name]).any(|(a, b)| (a - b).abs() > 1e-4);
            ensure!(!far, "{name} at --batch {batch}");
        }
    }
    // Without --trajectory, none of its files are written.
    let said = place.ddpm("sample --run run --count 2 --steps 2 --save npz --out plain --json")?.json();
    ensure!(said["trajectory"] == json!([]), "{said}");
    ensure!(place.names("plain") == ["samples.npz"]);
    ensure!(npz("plain/samples.npz")?.keys().eq(["images"]));
    Ok(())
}

/// Equation 15 by hand at each moment: `x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t)`, with eps from
/// `ddpm predict`.
#[test]
fn predicted_images_can_be_checked_from_outside() -> anyhow::Result<()> {
    let place = place();
    let model = "--model run/checkpoints/step-00000006 --precision f32";
    let line =
        format!("sample {model} --count 3 --steps 9 --trajectory 5 --save npz --out checked --threshold off");
    let _ = place.ddpm(&line)?.ok();
    let _ = place.ddpm("inspect schedule --out s.npz")?.ok();
    let alpha_bars = npz("s.npz")?.remove("alpha_bars").context("alpha_bars")?;
    let found = npz("checked/samples.npz")?;
    for (k, &t) in found["t"].iter().enumerate().take(4) {
        let x_t = found["x_t"].index_axis(Axis(0), k).mapv(|x| x as f32);
        place.write("x.npy", arrays::npy(&x_t)?)?;
        place.write("t.npy", arrays::npy(&Array::from(vec![t; 3]))?)?;
        let _ = place.ddpm(&format!("predict {model} --x x.npy --t t.npy --out eps.npy"))?.ok();
        let eps = arrays::read_npy(&place.read("eps.npy")?)?;
        let alpha_bar = alpha_bars[[t as usize]];
        for ((&x_t, &eps), &got) in x_t.iter().zip(&eps).zip(found["x_0"].index_axis(Axis(0), k)) {
            let want = (f64::from(x_t) - (1.0 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt();
            // 1 / sqrt(alpha_bar) enlarges the rounding of f32, at first 157 times.
            ensure!((got - want).abs() < 1e-5 / alpha_bar.sqrt(), "t = {t}: {got}, expected {want}");
        }
    }
    Ok(())
}

#[test]
fn a_preview_ends_as_the_grid() -> anyhow::Result<()> {
    let place = place();
    let line = "sample --run run --count 7 --steps 6 --preview views/now.png";
    let _ = place.ddpm(&format!("{line} --out seen"))?.ok();
    ensure!(place.names("views") == ["now.png"] && place.names("seen") == ["grid.png"]);
    ensure!(place.sha256("views/now.png")? == place.sha256("seen/grid.png")?);
    // With a trajectory, the preview shows its moments; the last batch has the remaining images.
    let _ = place.ddpm(&format!("{line} --batch 4 --trajectory 2 --out seen"))?.ok();
    let _ = place.ddpm("sample --run run --count 3 --steps 6 --out three")?.ok();
    let (preview, grid) =
        (image::load_from_memory(&place.read("views/now.png")?)?, place.read("three/grid.png")?);
    ensure!(preview.width() == image::load_from_memory(&grid)?.width(), "expected a grid of the last three");
    Ok(())
}

/// The preview is a complete picture at any time.
#[test]
fn a_preview_is_there_while_the_sampling_goes_on() -> anyhow::Result<()> {
    let place = place();
    let file = place.at("live/now.png");
    let running =
        place.start("sample --run run --count 64 --steps 1000 --preview live/now.png --out live/end")?;
    let (begun, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < 2 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "{} pictures in a minute", seen.len());
        if let Ok(bytes) = std::fs::read(&file) {
            image::load_from_memory(&bytes).context("half a picture")?;
            if seen.last() != Some(&bytes) {
                seen.push(bytes);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(!place.at("live/end").exists(), "the sampling should still be running");
    running.signal("KILL")?;
    ensure!(running.wait()?.code.is_none(), "killed");
    Ok(())
}
