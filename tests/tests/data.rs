//! Every form of images a user may have: a few training steps on each, and samples of the same size.

use anyhow::ensure;
use image::ImageFormat;
use ndarray::{Array, Array4};
use serde_json::Value;
use tests::{Place, arrays, data};

const TRAIN: &str = "train --preset tiny-16 --set train.steps=2 --set train.batch=4 --set sample.count=2 \
                     --set sample.steps=2 --set train.log_every=1";

/// Trains two steps, draws two images, and returns the width, height and channels of one, and what the run's
/// configuration says about the images.
fn train_and_sample(place: &Place, flags: &str) -> anyhow::Result<((u32, u32, u8), Value)> {
    let said = place.ddpm(&format!("{TRAIN} {flags} --run run --json"))?.json();
    ensure!(said["steps"] == 2 && said["finished"] == true, "{said}");
    let _ = place.ddpm("sample --run run --count 2 --steps 2 --save png --out out")?.ok();
    let image = image::load_from_memory(&place.read("out/00001.png")?)?;
    let checkpoint = place.run("inspect checkpoint run --json")?.json();
    let size = (image.width(), image.height(), image.color().channel_count());
    Ok((size, checkpoint["config"]["images"].clone()))
}

#[test]
fn a_flat_folder_of_grey_pngs() -> anyhow::Result<()> {
    let place = Place::new()?;
    for n in 0..6 {
        place.write(&format!("photos/{n}.png"), data::grey_file(n, (16, 16), ImageFormat::Png)?)?;
    }
    let (size, images) = train_and_sample(&place, "--data photos")?;
    ensure!(size == (16, 16, 1) && images["count"] == 6, "{size:?} {images}");
    Ok(())
}

#[test]
fn a_folder_of_classes_in_jpeg_of_any_size() -> anyhow::Result<()> {
    let place = Place::new()?;
    let sizes = [(31, 20), (18, 44), (16, 16)];
    for (n, size) in sizes.into_iter().cycle().take(9).enumerate() {
        let class = ["cat", "dog"][n % 2];
        place.write(&format!("pets/{class}/{n}.jpg"), data::colour_file(n, size, ImageFormat::Jpeg)?)?;
    }
    let (size, images) = train_and_sample(&place, "--data pets --set data.size=16")?;
    ensure!(size == (16, 16, 3) && images["count"] == 9 && images["channels"] == 3, "{size:?} {images}");
    let said = place.run("inspect data --data pets --set data.size=16 --json")?.json();
    let names: Vec<_> =
        said["classes"].as_array().into_iter().flatten().map(|class| &class["name"]).collect();
    ensure!(names == ["cat", "dog"], "{said}");
    Ok(())
}

/// 16 wide and 8 high, for a network whose longer side is 16.
#[test]
fn a_target_that_is_not_square() -> anyhow::Result<()> {
    for fit in ["crop", "pad"] {
        let place = Place::new()?;
        for (n, size) in [(31, 20), (18, 44), (16, 8)].into_iter().enumerate() {
            place.write(&format!("photos/{n}.png"), data::colour_file(n, size, ImageFormat::Png)?)?;
        }
        let flags = format!("--data photos --set data.size=16x8 --set data.fit={fit} --set train.batch=3");
        let (size, images) = train_and_sample(&place, &flags)?;
        ensure!(size == (16, 8, 3), "{fit}: {size:?}");
        ensure!(images["width"] == 16 && images["height"] == 8 && images["count"] == 3, "{fit}: {images}");
    }
    Ok(())
}

#[test]
fn other_formats_and_colour_made_grey() -> anyhow::Result<()> {
    let place = Place::new()?;
    let formats = [
        ("a.bmp", ImageFormat::Bmp),
        ("b.webp", ImageFormat::WebP),
        ("c.png", ImageFormat::Png),
        ("d.tif", ImageFormat::Tiff),
    ];
    for (n, (name, format)) in formats.into_iter().enumerate() {
        place.write(&format!("mixed/{name}"), data::colour_file(n, (20, 20), format)?)?;
    }
    place.write("mixed/e.gif", data::moving_gif((20, 20))?)?;
    // A text file beside the images is not an image.
    place.write("mixed/LICENSE.txt", "free")?;
    let flags = "--data mixed --set data.size=16 --set data.channels=1 --set train.batch=3";
    let (size, images) = train_and_sample(&place, flags)?;
    ensure!(size == (16, 16, 1) && images["count"] == 5, "{size:?} {images}");
    let said = place.run("inspect data --data mixed --set data.size=16 --json")?.json();
    let notes = said["notes"].to_string();
    ensure!(notes.contains("1 image has several frames") && notes.contains(".txt"), "{notes}");
    Ok(())
}

#[test]
fn idx_files_as_they_are_and_gzipped() -> anyhow::Result<()> {
    let (images, labels) = (data::idx_images(12, 16), data::idx_labels(12));
    let plain = Place::new()?;
    plain.write("set/train-images-idx3-ubyte", &images)?;
    plain.write("set/train-labels-idx1-ubyte", &labels)?;
    let packed = Place::new()?;
    packed.write("set/train-images-idx3-ubyte.gz", data::gzip(&images)?)?;
    packed.write("set/train-labels-idx1-ubyte.gz", data::gzip(&labels)?)?;
    let (size, found) = train_and_sample(&plain, "--data set")?;
    ensure!(size == (16, 16, 1) && found["count"] == 12, "{size:?} {found}");
    let (_, again) = train_and_sample(&packed, "--data set/train-images-idx3-ubyte.gz")?;
    ensure!(again["sha256"] == found["sha256"], "the same images differ when gzipped");
    // The same images and labels train the same network.
    let ema = "run/checkpoints/step-00000002/ema.safetensors";
    ensure!(plain.sha256(ema)? == packed.sha256(ema)?);
    Ok(())
}

#[test]
fn numpy_arrays_alone_and_with_labels() -> anyhow::Result<()> {
    let pixels = Array4::from_shape_fn((7, 16, 16, 1), |(n, y, x, _)| data::square(n, 16)[[y, x, 0]]);
    let place = Place::new()?;
    place.write("images.npy", arrays::npy(&pixels)?)?;
    let (size, alone) = train_and_sample(&place, "--data images.npy")?;
    ensure!(size == (16, 16, 1) && alone["count"] == 7, "{size:?} {alone}");

    // Channels first, as floats in [-1, 1]: the same pixels.
    let floats = pixels.mapv(|pixel| f32::from(pixel) / 127.5 - 1.0).permuted_axes([0, 3, 1, 2]);
    let floats = floats.as_standard_layout().into_owned();
    let labels = Array::from_shape_fn(7, |n| (n % 3) as i64);
    let archive = Place::new()?;
    let parts = [("x_train", arrays::npy(&floats)?), ("y_train", arrays::npy(&labels)?)];
    archive.write("set.npz", arrays::npz(&parts)?)?;
    let (size, images) = train_and_sample(&archive, "--data set.npz")?;
    ensure!(size == (16, 16, 1) && images["count"] == 7, "{size:?} {images}");
    let said = archive.run("inspect data --data set.npz --json")?.json();
    ensure!(said["classes"].as_array().is_some_and(|classes| classes.len() == 3), "{said}");
    Ok(())
}

#[test]
fn cifar_batches_in_colour() -> anyhow::Result<()> {
    let place = Place::new()?;
    for batch in 1..=2 {
        place.write(&format!("cifar-10-batches-bin/data_batch_{batch}.bin"), data::cifar10(5))?;
    }
    // The preset makes them 16x16.
    let (size, images) = train_and_sample(&place, "--data cifar-10-batches-bin")?;
    ensure!(size == (16, 16, 3) && images["count"] == 10, "{size:?} {images}");
    Ok(())
}

#[test]
fn cifar_as_it_is_downloaded() -> anyhow::Result<()> {
    let place = Place::new()?;
    let batches = [("data_batch_2.bin", data::cifar10(4)), ("data_batch_1.bin", data::cifar10(5))];
    for (name, bytes) in &batches {
        place.write(&format!("unpacked/{name}"), bytes)?;
    }
    let files = [batches, [("test_batch.bin", data::cifar10(3)), ("readme.html", Vec::new())]].concat();
    place.write("cifar-10-binary.tar.gz", data::gzip(&data::tar("cifar-10-batches-bin", &files))?)?;
    let inspect = |source: &str| -> anyhow::Result<Value> {
        Ok(place.run(&format!("inspect data --data {source} --json"))?.json())
    };
    let (packed, unpacked) = (inspect("cifar-10-binary.tar.gz")?, inspect("unpacked")?);
    ensure!(packed["images"] == 9 && packed["sha256"] == unpacked["sha256"], "{packed} {unpacked}");
    ensure!(inspect("cifar-10-binary.tar.gz:test")?["images"] == 3);
    let (size, images) = train_and_sample(&place, "--data cifar-10-binary.tar.gz")?;
    ensure!(size == (16, 16, 3) && images["count"] == 9, "{size:?} {images}");

    place.write(
        "python.tar.gz",
        data::gzip(&data::tar("cifar-10-batches-py", &[("data_batch_1", vec![0x80])]))?,
    )?;
    let said = place.ddpm("inspect data --data python.tar.gz")?;
    ensure!(said.code == Some(2) && said.stderr.contains("use the binary version"), "{said:?}");
    Ok(())
}

/// The four files of MNIST: training images by default, and test images as the test part.
#[test]
fn mnist_as_it_is_downloaded() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (part, count) in [("train", 6), ("t10k", 4)] {
        place.write(
            &format!("mnist/{part}-images-idx3-ubyte.gz"),
            data::gzip(&data::idx_images(count, 16))?,
        )?;
        place.write(&format!("mnist/{part}-labels-idx1-ubyte.gz"), data::gzip(&data::idx_labels(count))?)?;
    }
    for (source, count) in [("mnist", 6), ("mnist:train", 6), ("mnist:test", 4)] {
        let said = place.run(&format!("inspect data --data {source} --json"))?.json();
        let classes = said["classes"].as_array().map(Vec::len);
        ensure!(said["images"] == count && classes == Some(count), "{source}: {said}");
    }
    Ok(())
}

/// 28 does not halve three times: the network sees 32x32, the user 28x28.
#[test]
fn a_border_is_added_for_the_network_and_taken_off_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("train-images-idx3-ubyte", data::idx_images(5, 28))?;
    let flags = "--data train-images-idx3-ubyte --set data.size=28 --set model.channel_mults=[1,1,1,1] \
                 --set model.attention_resolutions=[4]";
    let (size, images) = train_and_sample(&place, flags)?;
    ensure!(size == (28, 28, 1), "{size:?}");
    ensure!(images["height"] == 32 && images["padding"] == serde_json::json!([2, 2, 2, 2]), "{images}");
    // Variations also have the user's size.
    let _ = place.ddpm("edit vary --run run --index 2 --t-start 2 --count 1 --save png --out vary")?.ok();
    let original = image::load_from_memory(&place.read("vary/original.png")?)?.to_luma8();
    ensure!(original.dimensions() == (28, 28));
    ensure!(original.into_raw() == data::square(2, 28).into_raw_vec_and_offset().0);
    Ok(())
}

/// The broken image comes first: it is listed with the others, or skipped like any other.
#[test]
fn a_broken_first_image_is_listed_or_left_out() -> anyhow::Result<()> {
    let place = Place::new()?;
    for n in 1..6 {
        place.write(&format!("photos/{n}.png"), data::grey_file(n, (16, 16), ImageFormat::Png)?)?;
    }
    place.write("photos/0.png", "")?;
    place.write("photos/9.png", "no image")?;
    let said = place.ddpm("inspect data --data photos")?;
    ensure!(said.code == Some(4), "{said:?}");
    ensure!(said.stderr.contains("2 of 7 images") && said.stderr.contains("9.png"), "{}", said.stderr);
    let (_, images) = train_and_sample(&place, "--data photos --on-bad skip")?;
    ensure!(images["count"] == 5, "{images}");
    Ok(())
}

#[test]
fn a_set_in_parts_as_a_folder_and_as_an_archive() -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut files = Vec::new();
    for (n, part) in ["Train", "Train", "Train", "val", "TEST", "TEST"].into_iter().enumerate() {
        let name = format!("{part}/{}/{n}.png", ["cat", "dog"][n % 2]);
        let bytes = data::grey_file(n, (16, 16), ImageFormat::Png)?;
        place.write(&format!("pets/{name}"), &bytes)?;
        files.push((name, bytes));
    }
    place.write("pets.zip", arrays::zip(&files)?)?;
    let counts = |source: &str| -> anyhow::Result<Value> {
        let said = place.run(&format!("inspect data --data {source} --json"))?.json();
        Ok(serde_json::json!([said["images"], said["classes"].as_array().map(Vec::len), said["sha256"]]))
    };
    for part in ["", ":train", ":validation", ":test"] {
        let folder = counts(&format!("pets{part}"))?;
        ensure!(folder == counts(&format!("pets.zip{part}"))?, "{part}");
        let want = match part {
            ":validation" => 1,
            ":test" => 2,
            _ => 3,
        };
        ensure!(folder[0] == want && folder[1] == 2, "{part}: {folder}");
    }
    let said = place.ddpm(&format!("{TRAIN} --data pets --run run"))?.ok();
    ensure!(
        said.stderr.contains("left out: 1 of the validation part, 2 of the test part"),
        "{}",
        said.stderr
    );
    Ok(())
}

/// Letters and digits must not be mirrored: flips are for the embedded set, or on request with a log line.
#[test]
fn own_images_are_mirrored_only_on_request() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("train-images-idx3-ubyte", data::idx_images(5, 16))?;
    for (flags, flips) in [
        ("--data train-images-idx3-ubyte", false),
        ("--data train-images-idx3-ubyte --set train.flip=true", true),
        ("--set data.limit=5", true),
    ] {
        let said = place.ddpm(&format!("{TRAIN} {flags} --run run-{flips}-{}", flags.len()))?.ok();
        ensure!(said.stderr.contains("mirrored left to right") == flips, "{flags}: {}", said.stderr);
    }
    Ok(())
}

/// Random crops and colours change the training, in the same way each time, and the log says so.
#[test]
fn random_crops_and_colours_follow_from_the_seed() -> anyhow::Result<()> {
    let place = Place::new()?;
    for n in 0..6 {
        place.write(&format!("photos/{n}.png"), data::colour_file(n, (16, 16), ImageFormat::Png)?)?;
    }
    let train = |name: &str, flags: &str| -> anyhow::Result<(String, String)> {
        let said =
            place.ddpm(&format!("{TRAIN} --set precision=f32 --data photos {flags} --run {name}"))?.ok();
        let ema = place.sha256(&format!("{name}/checkpoints/step-00000002/ema.safetensors"))?;
        Ok((ema, said.stderr))
    };
    let (plain, said) = train("plain", "")?;
    ensure!(!said.contains("train.crop") && !said.contains("train.jitter"), "{said}");
    let mut seen = vec![plain];
    for (name, flags) in [("crop", "--set train.crop=0.5"), ("jitter", "--set train.jitter=0.4")] {
        let (ema, said) = train(name, flags)?;
        ensure!(said.contains(&format!("train.{name} = 0.")), "{said}");
        ensure!(train(&format!("{name}-again"), flags)?.0 == ema, "{name}: not the same twice");
        ensure!(!seen.contains(&ema), "{name} changes nothing");
        seen.push(ema);
    }
    Ok(())
}
