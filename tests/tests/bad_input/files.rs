//! The files that the wrong calls use.

use anyhow::Context;
use image::ImageFormat;
use ndarray::Array4;
use tests::{Place, arrays, data};

/// Two training steps with labels; `label_dropout` decides whether the network learns to work without them.
const WITH_LABELS: &str = "train --preset tiny-16 --set model.classes=10 --set train.steps=2 --set train.batch=4 \
                           --set data.limit=40 --set sample.count=2 --set sample.steps=2 --set precision=f32";

/// Invalid files, and a few valid ones that are used wrongly.
pub(crate) fn make_files(place: &Place) -> anyhow::Result<()> {
    let _ = place.ddpm(&format!("{WITH_LABELS} --set train.label_dropout=0.1 --run classes"))?.ok();
    let _ = place.ddpm(&format!("{WITH_LABELS} --run labels-only"))?.ok();
    place.write("bad.toml", "[train]\nsteps = = 5\n")?;
    place.write("unknown-key.toml", "[train]\nstepps = 5\n")?;
    place.write("text.txt", "these are no images")?;
    place.write("empty.bin", "")?;
    std::fs::create_dir(place.at("empty-folder"))?;
    place.write("only-text/notes.txt", "no image here")?;
    images(place)?;
    idx(place)?;
    numpy(place)?;
    place.write("labels.bin", {
        let mut records = data::cifar10(3);
        records[3073] = 77;
        records
    })?;
    place.write("lying.safetensors", [&u64::MAX.to_le_bytes()[..], b"{}"].concat())?;

    // A run whose only checkpoint lost half of a file.
    for name in place.names("run/checkpoints/step-00000006") {
        let bytes = place.read(&format!("run/checkpoints/step-00000006/{name}"))?;
        let keep = if name == "model.safetensors" { bytes.len() / 2 } else { bytes.len() };
        place.write(&format!("hurt/checkpoints/step-00000006/{name}"), &bytes[..keep])?;
    }
    Ok(())
}

fn images(place: &Place) -> anyhow::Result<()> {
    let png = data::grey_file(0, (16, 16), ImageFormat::Png)?;
    place.write("one.png", &png)?;
    place.write("cut.png", &png[..png.len() / 2])?;
    place.write("unreadable/a.png", &png)?;
    place.write("unreadable/b.png", &png[..40])?;
    place.write("unreadable/c.jpg", "not a photograph")?;
    place.write("unreadable/d.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")?;
    place.write("mixed/a.png", &png)?;
    place.write("mixed/b.png", data::grey_file(1, (20, 12), ImageFormat::Png)?)?;
    // Masks: of a size that occurs nowhere else, with nothing to fill, with everything to fill.
    place.write("mask-of-7.png", data::grey_file(0, (7, 7), ImageFormat::Png)?)?;
    for (name, grey) in [("black.png", 0), ("white.png", 255)] {
        image::GrayImage::from_pixel(16, 16, image::Luma([grey])).save(place.at(name))?;
    }
    // Without labels, 16x16.
    for n in 0..4 {
        place.write(&format!("flat/{n}.png"), data::grey_file(n, (16, 16), ImageFormat::Png)?)?;
    }
    Ok(())
}

fn idx(place: &Place) -> anyhow::Result<()> {
    let good = data::idx_images(4, 16);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    // Type 0x0d is float; the false count is 2^31.
    place.write("magic-idx3-ubyte", with(2, &[0x0d]))?;
    place.write("short-idx3-ubyte", &good[..good.len() - 100])?;
    place.write("lying-idx3-ubyte", with(4, &[0x80, 0, 0, 0]))?;
    let packed = data::gzip(&good)?;
    place.write("cut-idx3-ubyte.gz", &packed[..packed.len() / 2])?;
    let zeros =
        [&[0, 0, 8, 3, 0, 1, 0x86, 0xa0, 0, 0, 0, 28, 0, 0, 0, 28][..], &vec![0; 100_000 * 784]].concat();
    place.write("bomb-idx3-ubyte.gz", data::gzip(&zeros)?)?;
    place.write("labels/train-images-idx3-ubyte", &good)?;
    place.write("labels/train-labels-idx1-ubyte", data::idx_labels(3))?;
    Ok(())
}

fn numpy(place: &Place) -> anyhow::Result<()> {
    let pixels = arrays::npy(&Array4::<u8>::zeros((4, 16, 16, 1)))?;
    place.write("short.npy", &pixels[..pixels.len() - 100])?;
    let replaced = |from: &str, to: &str| -> anyhow::Result<Vec<u8>> {
        let at = pixels.windows(from.len()).position(|w| w == from.as_bytes()).context("the header")?;
        let mut file = pixels.clone();
        // The header's padding absorbs the difference in length.
        file.splice(at..at + from.len(), to.bytes());
        let end = file.iter().position(|&byte| byte == b'\n').context("the end of the header")?;
        let spaces = at + to.len()..end;
        let surplus = to.len() - from.len();
        file.drain(spaces.end - surplus..spaces.end);
        Ok(file)
    };
    place.write("lying.npy", replaced("(4, 16", "(4294967296, 4294967296")?)?;
    place.write("objects.npy", replaced("'|u1'", "'|O'  ")?)?;
    place.write("flat.npy", arrays::npy(&ndarray::Array2::<u8>::zeros((4, 256)))?)?;
    place.write("wide.npy", arrays::npy(&(Array4::<f32>::zeros((4, 16, 16, 1)) + 200.0))?)?;
    let archive = arrays::npz(&[("images", pixels.clone())])?;
    place.write("cut.npz", &archive[..archive.len() / 2])?;
    place.write("other-names.npz", arrays::npz(&[("pictures", pixels)])?)?;

    let floats =
        |shape: (usize, usize, usize, usize), value: f32| arrays::npy(&Array4::from_elem(shape, value));
    place.write("x-8.npy", floats((1, 1, 8, 8), 0.5)?)?;
    place.write("x-16.npy", floats((1, 1, 16, 16), 0.5)?)?;
    place.write("x-colour.npy", floats((1, 3, 16, 16), 0.5)?)?;
    place.write("x-nan.npy", floats((1, 1, 16, 16), f32::NAN)?)?;
    place.write("t.npy", arrays::npy(&ndarray::arr1(&[10_i64]))?)?;
    place.write("t-two.npy", arrays::npy(&ndarray::arr1(&[10_i64, 20]))?)?;
    place.write("class-two.npy", arrays::npy(&ndarray::arr1(&[1_i64, 2]))?)?;
    place.write("class-10.npy", arrays::npy(&ndarray::arr1(&[10_i64]))?)?;
    place.write("class-half.npy", arrays::npy(&ndarray::arr1(&[0.5_f32]))?)?;
    place.write("class.npy", arrays::npy(&ndarray::arr1(&[3_i64]))?)?;
    place.write("t-1000.npy", arrays::npy(&ndarray::arr1(&[1000_i64]))?)?;
    Ok(())
}
