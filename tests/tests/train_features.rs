//! `ddpm train-features`: a classifier from every form of labelled images, and refusals.

use std::time::Duration;

use anyhow::ensure;
use image::ImageFormat;
use tests::{Place, data};

/// A folder of classes with `each` colour images per class, of different sizes.
fn pets(place: &Place, folder: &str, classes: &[&str], each: usize) -> anyhow::Result<()> {
    for (number, class) in classes.iter().enumerate() {
        for n in 0..each {
            let size = [(20, 20), (31, 20), (18, 44)][n % 3];
            let file = data::colour_file(n + 3 * number, size, ImageFormat::Png)?;
            place.write(&format!("{folder}/{class}/{n}.png"), file)?;
        }
    }
    Ok(())
}

#[test]
fn the_embedded_set_twice_gives_the_same_file() -> anyhow::Result<()> {
    let place = Place::new()?;
    let train = |out: &str| {
        place.ddpm(&format!("train-features --set data.limit=150 --epochs 1 --flip --json --out {out}"))
    };
    let said = train("a.safetensors")?.json();
    let expected = [
        ("name", "fashion-mnist".into()),
        ("images", 150.into()),
        ("held_out", 150.into()),
        ("held_out_of", "the test part".into()),
        ("class_count", 10.into()),
        ("steps", 2.into()),
        ("bytes", place.read("a.safetensors")?.len().into()),
        ("sha256", place.sha256("a.safetensors")?.into()),
    ];
    for (key, value) in expected {
        let value: serde_json::Value = value;
        ensure!(said[key] == value, "{key}: {said}");
    }
    ensure!(said["accuracy"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{said}");
    let _ = train("b.safetensors")?.ok();
    ensure!(place.read("a.safetensors")? == place.read("b.safetensors")?);
    Ok(())
}

#[test]
fn a_folder_of_classes_holds_a_tenth_out() -> anyhow::Result<()> {
    let place = Place::new()?;
    pets(&place, "pets", &["cat", "dog"], 12)?;
    let output = place.ddpm("train-features --data pets --set data.size=16 --epochs 1 --name animals")?.ok();
    ensure!(output.stdout.starts_with("animals features: "), "{}", output.stdout);
    ensure!(place.names("out") == ["features.safetensors"], "{:?}", place.names("out"));
    let line = "train-features --data pets --set data.size=16 --epochs 1 --json --out x";
    let said = place.ddpm(line)?.json();
    ensure!(said["held_out_of"] == "a tenth of the images" && said["held_out"] == 3, "{said}");
    ensure!(said["images"] == 21 && said["name"] == "pets" && said["channels"] == 3, "{said}");
    Ok(())
}

#[test]
fn a_test_part_is_held_out_where_it_fits() -> anyhow::Result<()> {
    let place = Place::new()?;
    pets(&place, "parts/train", &["cat", "dog"], 6)?;
    pets(&place, "parts/test", &["dog"], 4)?;
    // Labels 0 to 9 to train on; 0 to 4 in a test part of the same size, and 0 to 9 in one of another.
    for (folder, count, size) in [("same", 5, 16), ("other", 20, 20)] {
        place.write(&format!("{folder}/train-images-idx3-ubyte"), data::idx_images(30, 16))?;
        place.write(&format!("{folder}/train-labels-idx1-ubyte"), data::idx_labels(30))?;
        place.write(&format!("{folder}/t10k-images-idx3-ubyte"), data::idx_images(count, size))?;
        place.write(&format!("{folder}/t10k-labels-idx1-ubyte"), data::idx_labels(count))?;
    }
    for (flags, of, held_out) in [
        ("--data parts --set data.size=16", "the test part", 4),
        ("--data same", "the test part", 5),
        ("--data same:test", "a tenth of the images", 1),
        ("--data other", "a tenth of the images", 3),
    ] {
        let output = place.ddpm(&format!("train-features {flags} --epochs 1 --json --out x"))?.ok();
        let warned = output.stderr.contains("its images have another size");
        ensure!(warned == flags.contains("other"), "{flags}: {}", output.stderr);
        let said = output.json();
        ensure!(said["held_out_of"] == of && said["held_out"] == held_out, "{flags}: {said}");
    }
    Ok(())
}

#[test]
fn unusable_data_is_refused_in_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    pets(&place, "flat", &[""], 4)?;
    pets(&place, "one", &["cat"], 4)?;
    for n in 0..6 {
        let file = data::grey_file(n, (12, 12), ImageFormat::Png)?;
        place.write(&format!("small/{}/{n}.png", n % 2), file)?;
    }
    for (flags, code, told) in [
        ("--data flat --set data.size=16", 4, "needs images with labels"),
        ("--data one --set data.size=16", 4, "a sub-folder for each class"),
        ("--data small", 4, "from 16x16 to 128x128, found 12x12"),
        ("--data flat", 2, "data.size=32"),
        ("--data nowhere", 2, "nowhere"),
        ("--epochs 0", 2, "expected 1 to 1000"),
        ("--name a\u{7}b", 2, "--name"),
        ("--set train.lr=1", 2, "expected one of data.size"),
        ("--set data.pad_to_multiple=8", 2, "expected one of data.size"),
    ] {
        let output = place.ddpm(&format!("train-features {flags} --out x"))?.expect_code(code);
        let errors = output.errors();
        ensure!(errors.len() == 1 && errors[0].contains(told), "{flags}: {errors:?}");
        ensure!(!place.at("x").exists(), "{flags}: a file was written");
    }
    Ok(())
}

#[test]
fn a_signal_ends_it_with_nothing_written() -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut running = place.start("train-features --set data.limit=500 --epochs 1000 --out x")?;
    ensure!(!running.let_run(Duration::from_secs(2))?, "1000 epochs took less than 2 s");
    running.signal("INT")?;
    let output = running.wait()?;
    ensure!(output.shell_code() == Some(130), "{:?}: {}", output.shell_code(), output.stderr);
    ensure!(output.errors().is_empty() && place.names("").is_empty(), "{}", output.stderr);
    Ok(())
}
