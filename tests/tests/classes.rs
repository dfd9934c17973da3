//! Classes: training with labels, samples of a class, guidance, and the network's response to a label.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use ndarray::{Array, Array1, Array4, ArrayD};
use serde_json::Value;
use tests::{Place, arrays};

/// Enough steps for labels to show in the pixels.
const TRAIN: &str = "train --preset tiny-16 --run run --set model.classes=10 --set train.label_dropout=0.2 \
                     --set train.steps=40 --set train.batch=8 --set train.lr=0.01 --set data.limit=80 \
                     --set sample.count=20 --set sample.steps=4 --set precision=f32 --json";

/// A folder with a run trained with labels, shared by all tests of this file.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("classes");
        let place = Place::shared(&folder).expect("a folder for the tests");
        let said = place.ddpm(TRAIN).expect("the built program").json();
        assert_eq!(said["finished"], Value::from(true));
        place
    })
}

/// The images of a call, u8 `[n, 16, 16, 1]`, and their labels.
fn sample(name: &str, flags: &str) -> anyhow::Result<(ArrayD<f64>, Option<ArrayD<f64>>)> {
    let line = format!("sample --run run --sampler ddim --steps 5 --save npz --out {name} {flags}");
    let _ = place().ddpm(&line)?.ok();
    let mut found = arrays::read_npz(&place().read(&format!("{name}/samples.npz"))?)?;
    Ok((found.remove("images").context("images")?, found.remove("labels")))
}

fn npy(name: &str) -> anyhow::Result<ArrayD<f64>> {
    arrays::read_npy(&place().read(name)?)
}

/// Noise-like values, `[n, 1, 16, 16]`.
fn noise(count: usize) -> Array4<f32> {
    Array::from_shape_fn((count, 1, 16, 16), |(n, _, y, x)| {
        let bits = (n * 7919 + y * 104_729 + x * 1_299_709 + 1).wrapping_mul(2_654_435_761) % 10_007;
        (bits as f32 / 10_007.0 - 0.5) * 3.4
    })
}

#[test]
fn the_run_knows_its_classes() -> anyhow::Result<()> {
    let place = place();
    let config = String::from_utf8(place.read("run/checkpoints/step-00000040/config.toml")?)?;
    for line in ["classes = 10", "label_dropout = 0.2", "\"Ankle boot\","] {
        ensure!(config.contains(line), "{line} is not in {config}");
    }
    // The header of a safetensors file is JSON after its length.
    let file = place.read("run/checkpoints/step-00000040/ema.safetensors")?;
    let length = u64::from_le_bytes(file[..8].try_into()?) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length])?;
    ensure!(header["class_embedding.weight"]["shape"] == serde_json::json!([10, 64]), "{header}");
    // Twenty images of ten classes: one row of two for each.
    let grid = image::load_from_memory(&place.read("run/samples/step-00000040-ema.png")?)?;
    ensure!(grid.height() > 4 * grid.width(), "{}x{}", grid.width(), grid.height());
    Ok(())
}

#[test]
fn a_class_goes_by_name_and_number_whatever_the_batch() -> anyhow::Result<()> {
    let (by_name, labels) = sample("by-name", "--count 7 --class sneaker,Bag,9")?;
    let labels = labels.context("labels")?;
    ensure!(labels.iter().eq([7.0, 8.0, 9.0, 7.0, 8.0, 9.0, 7.0].iter()), "{labels}");
    for batch in [1, 2, 7] {
        let flags = format!("--count 7 --class 7,8,9 --batch {batch}");
        let (images, _) = sample(&format!("by-number-{batch}"), &flags)?;
        ensure!(images == by_name, "--batch {batch}");
    }
    let (other, _) = sample("others", "--count 7 --class 0")?;
    let differing = other.iter().zip(&by_name).filter(|(a, b)| (*a - *b).abs() > 2.0).count();
    ensure!(differing > 20, "classes 0 and 7 differ in only {differing} pixels");
    let (all, labels) = sample("all", "--count 10 --class all")?;
    ensure!(labels.context("labels")?.iter().copied().eq((0..10).map(f64::from)));
    ensure!(all.shape() == [10, 16, 16, 1], "{:?}", all.shape());
    Ok(())
}

#[test]
fn file_names_carry_the_class() -> anyhow::Result<()> {
    let place = place();
    let line = "sample --run run --sampler ddim --steps 2 --save png --out named --class";
    let _ = place.ddpm(&format!("{line} sneaker,T-shirt/top --count 3"))?.ok();
    ensure!(place.names("named") == ["00000-sneaker.png", "00001-t-shirt-top.png", "00002-sneaker.png"]);
    // Another sampling replaces it; one that continues keeps it.
    let output = place.ddpm(&format!("{line} bag --count 1"))?.ok();
    ensure!(output.stderr.contains("removed 3 images"), "{}", output.stderr);
    ensure!(place.names("named") == ["00000-bag.png"]);
    let _ = place.ddpm(&format!("{line} 9 --count 2 --start 1"))?.ok();
    ensure!(place.names("named") == ["00000-bag.png", "00001-ankle-boot.png", "00002-ankle-boot.png"]);
    // The folder is a dataset as before.
    let said = place.ddpm("inspect data --data named --json")?.json();
    ensure!(said["images"] == 3, "{said}");
    // A guidance scale of 0 draws no class.
    let _ = place.ddpm(&format!("{line} bag --count 1 --guidance 0"))?.ok();
    ensure!(place.names("named") == ["00000.png"]);
    Ok(())
}

#[test]
fn without_a_class_images_are_unconditional() -> anyhow::Result<()> {
    let (without, labels) = sample("without", "--count 3")?;
    ensure!(labels.is_none());
    let (zero, _) = sample("zero", "--count 3 --class 4 --guidance 0")?;
    ensure!(zero == without, "guidance 0 should be the unconditional network");
    let (one, _) = sample("one", "--count 3 --class 4 --guidance 1")?;
    let (three, _) = sample("three", "--count 3 --class 4 --guidance 3")?;
    let (nowhere, _) = sample("nowhere", "--count 3 --class 4 --guidance 3 --guidance-interval 0,0.0001")?;
    ensure!(one != without && three != one, "guidance has no effect");
    ensure!(nowhere == one, "outside the interval images should be conditional");
    let (rescaled, _) = sample("rescaled", "--count 3 --class 4 --guidance 3 --guidance-rescale 0.7")?;
    ensure!(rescaled != three, "rescaling has no effect");
    Ok(())
}

/// Guidance computed here in f64 from the network's predictions with and without the label.
#[test]
fn guidance_can_be_checked_from_outside() -> anyhow::Result<()> {
    let (place, t, scale) = (place(), 300, 2.5);
    let x_t = noise(2);
    place.write("x.npy", arrays::npy(&x_t)?)?;
    place.write("t.npy", arrays::npy(&Array1::from(vec![t; 2]))?)?;
    for (name, labels) in [("c", [7_i64, 0]), ("u", [-1, -1]), ("mixed", [7, -1])] {
        place.write(&format!("{name}.npy"), arrays::npy(&Array1::from(labels.to_vec()))?)?;
        let line = format!(
            "predict --run run --precision f32 --x x.npy --t t.npy --class {name}.npy --out eps-{name}.npy"
        );
        let _ = place.ddpm(&line)?.ok();
    }
    let _ = place.ddpm("predict --run run --precision f32 --x x.npy --t t.npy --out eps.npy")?.ok();
    // The same reading from and writing to one archive.
    let labels = arrays::npy(&Array1::from(vec![7_i64, 0]))?;
    let inputs = [("class", labels), ("t", place.read("t.npy")?), ("x_t", place.read("x.npy")?)];
    place.write("inputs.npz", arrays::npz(&inputs)?)?;
    let line =
        "predict --run run --precision f32 --x inputs.npz --t inputs.npz --class inputs.npz --out eps.npz";
    let _ = place.ddpm(line)?.ok();
    ensure!(
        arrays::read_npz(&place.read("eps.npz")?)?["eps"] == npy("eps-c.npy")?,
        "the archive gives another result"
    );
    let (c, u, mixed) = (npy("eps-c.npy")?, npy("eps-u.npy")?, npy("eps-mixed.npy")?);
    ensure!(u == npy("eps.npy")?, "label -1 should mean no label");
    ensure!(c.iter().zip(&u).any(|(c, u)| (c - u).abs() > 1e-2), "labels have no effect");
    for (index, got) in mixed.indexed_iter() {
        let want = if index[0] == 0 { c[&index] } else { u[&index] };
        ensure!((got - want).abs() < 1e-5, "at {index:?}: {got}, expected {want}");
    }

    let _ = place.ddpm("inspect schedule --out s.npz")?.ok();
    let alpha_bar = arrays::read_npz(&place.read("s.npz")?)?["alpha_bars"][[t as usize]];
    let line = format!(
        "sample --run run --precision f32 --init-noise x.npy --sampler ddim --timesteps {t} --class 7,0 \
         --guidance {scale} --save npz --out guided"
    );
    let _ = place.ddpm(&line)?.ok();
    let pixels = arrays::read_npz(&place.read("guided/samples.npz")?)?.remove("images").context("images")?;
    for (index, &x) in x_t.indexed_iter() {
        let at = [index.0, index.1, index.2, index.3];
        let eps = u[&at[..]] + scale * (c[&at[..]] - u[&at[..]]);
        let x_0 = (f64::from(x) - (1.0 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt();
        let want = (x_0.clamp(-1.0, 1.0) + 1.0) * 127.5;
        let got = pixels[[index.0, index.2, index.3, index.1]];
        ensure!((got - want).abs() <= 1.0, "at {index:?}: {got}, expected {want}");
    }
    Ok(())
}

#[test]
fn zero_classes_are_the_unconditional_default() -> anyhow::Result<()> {
    let dump = |flags: &str| -> anyhow::Result<String> {
        Ok(place().ddpm(&format!("train --dump-config {flags}"))?.ok().stdout)
    };
    let plain = dump("--preset fashion-28 --set sample.count=80")?;
    ensure!(dump("--preset fashion-28-classes --set model.classes=0")? == plain, "another configuration");
    ensure!(!plain.contains("classes ="), "{plain}");
    let classes = dump("--preset fashion-28-classes")?;
    ensure!(classes.contains("classes = 10") && classes.contains("Sneaker"), "{classes}");
    Ok(())
}

/// The class affects only the generated part of an image; the known part stays.
#[test]
fn edits_follow_a_class() -> anyhow::Result<()> {
    let place = place();
    let filled = |name: &str, class: &str| -> anyhow::Result<ArrayD<f64>> {
        let line =
            "edit inpaint --run run --index 3 --box 8,0,8,16 --steps 6 --resample 1 --count 2 --save npz";
        let _ = place.ddpm(&format!("{line} --class {class} --guidance 4 --out {name}"))?.ok();
        let mut found = arrays::read_npz(&place.read(&format!("{name}/samples.npz"))?)?;
        ensure!(found.remove("labels").context("labels")?.iter().all(|label| label.to_string() == class));
        found.remove("images").context("images")
    };
    let (one, other) = (filled("edit-1", "1")?, filled("edit-9", "9")?);
    let known = |(place, _): &(usize, (&f64, &f64))| place % 16 < 8;
    let pairs = || one.iter().zip(&other).enumerate();
    ensure!(pairs().filter(known).all(|(_, (a, b))| a == b), "the class changes known pixels");
    ensure!(pairs().any(|(_, (a, b))| a != b), "the class has no effect");
    Ok(())
}
