//! `ddpm export --dtype`: files in half precision, which every command reads like those in f32.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Place, arrays, trained};

/// The header of a safetensors file, and the bytes of its tensors.
fn header(place: &Place, file: &str) -> anyhow::Result<(Value, usize)> {
    let bytes = place.read(file)?;
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into()?))?;
    Ok((serde_json::from_slice(&bytes[8..8 + length])?, bytes.len() - 8 - length))
}

/// The mean difference between the images of two samplings, in levels of 0 to 255.
fn gap(place: &Place, a: &str, b: &str) -> anyhow::Result<f64> {
    let images = |folder: &str| -> anyhow::Result<_> {
        let mut found = arrays::read_npz(&place.read(&format!("{folder}/samples.npz"))?)?;
        found.remove("images").context("images")
    };
    let (a, b) = (images(a)?, images(b)?);
    ensure!(a.shape() == b.shape());
    Ok(a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64)
}

#[test]
fn half_the_size_draws_nearly_the_same_images() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("half"));
    let mut sizes = Vec::new();
    for dtype in ["f32", "f16", "bf16"] {
        let line = format!("export --run run --dtype {dtype} --out {dtype}.safetensors --json");
        let said = place.ddpm(&line)?.json();
        ensure!(said["bytes"] == place.read(&format!("{dtype}.safetensors"))?.len(), "{said}");
        let (header, bytes) = header(&place, &format!("{dtype}.safetensors"))?;
        let tensors =
            header.as_object().context("no object")?.iter().filter(|(name, _)| *name != "__metadata__");
        let kinds: Vec<&Value> = tensors.map(|(_, tensor)| &tensor["dtype"]).collect();
        ensure!(!kinds.is_empty() && kinds.iter().all(|kind| **kind == dtype.to_uppercase()), "{kinds:?}");
        sizes.push(bytes);
        let sample = "--count 4 --sampler ddim --steps 4 --precision f32 --save npz";
        let _ = place.ddpm(&format!("sample --model {dtype}.safetensors {sample} --out {dtype}"))?.ok();
    }
    ensure!(sizes[0] == 2 * sizes[1] && sizes[1] == sizes[2], "{sizes:?}");
    let _ = place.ddpm("export --run run --out plain.safetensors")?.ok();
    ensure!(place.read("plain.safetensors")? == place.read("f32.safetensors")?, "f32 is the default");
    let (f16, bf16) = (gap(&place, "f32", "f16")?, gap(&place, "f32", "bf16")?);
    ensure!(f16 < 1.0 && bf16 < 8.0, "{f16} and {bf16} levels");
    ensure!(place.read("f16.safetensors")? != place.read("bf16.safetensors")?);

    // What has been rounded once is rounded: through f32 and back the file is the same.
    let _ = place.ddpm("export --model f16.safetensors --out wide.safetensors")?.ok();
    let _ = place.ddpm("export --model wide.safetensors --dtype f16 --out again.safetensors")?.ok();
    ensure!(place.read("again.safetensors")? == place.read("f16.safetensors")?);
    ensure!(place.read("wide.safetensors")? != place.read("f32.safetensors")?);
    // A training starts from it.
    let train = "train --preset tiny-16 --init-from f16.safetensors --run tuned --set data.limit=8 --set train.steps=1 \
                 --set train.batch=2 --set sample.count=1 --set sample.steps=1 --set precision=f32";
    let _ = place.ddpm(train)?.ok();
    // Damage is found as in any file.
    let mut cut = place.read("f16.safetensors")?;
    cut.truncate(cut.len() - 10);
    place.write("cut.safetensors", cut)?;
    let _ = place.ddpm("sample --model cut.safetensors --count 1 --out none")?.expect_code(5);
    Ok(())
}

#[test]
fn a_file_can_name_other_images() -> anyhow::Result<()> {
    let place = Place::new()?;
    for n in 0..6 {
        let file = tests::data::grey_file(n, (28, 28), image::ImageFormat::Png)?;
        place.write(&format!("secret/{n}.png"), file)?;
    }
    let train = "train --preset fashion-28 --data secret --run run --set train.steps=1 --set train.batch=2 \
                 --set model.base_channels=8 --set sample.count=1 --set sample.steps=1 --set precision=f32";
    let _ = place.ddpm(train)?.ok();
    let config = |file: &str| -> anyhow::Result<String> {
        let (header, _) = header(&place, file)?;
        Ok(header["__metadata__"]["ddpm.config"].as_str().context("no configuration")?.to_owned())
    };
    let _ = place.ddpm("export --run run --out own.safetensors")?.ok();
    ensure!(config("own.safetensors")?.contains("secret"));
    let _ = place.ddpm("export --run run --data fashion-mnist --out public.safetensors")?.ok();
    let public = config("public.safetensors")?;
    ensure!(!public.contains("secret") && public.contains("source = \"fashion-mnist\""), "{public}");
    // The number of training images stays.
    ensure!(public.contains("count = 6"), "{public}");
    let line = "edit vary --model public.safetensors --index 0 --t-start 2 --steps 2 --count 1 --out out";
    let _ = place.ddpm(line)?.ok();
    for n in 0..3 {
        let file = tests::data::grey_file(n, (16, 16), image::ImageFormat::Png)?;
        place.write(&format!("small/{n}.png"), file)?;
    }
    let refused = place.ddpm("export --run run --data small --out x.safetensors")?.expect_code(4);
    ensure!(refused.errors()[0].contains("28x28x1") && refused.errors()[0].contains("16x16x1"));
    ensure!(!place.at("x.safetensors").exists());
    Ok(())
}
