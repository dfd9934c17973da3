//! Samples and resumes a run of version 0.1.0, before its networks, objectives and optimisers were rewritten.
//! `tests/old_runs/0.1.0` is what commit 850350d wrote for `ddpm train --preset tiny-16` with a smaller network, 4 steps of 8
//! images, in f32. Beside it are the samples that this program drew, and its weights after it had resumed its run to step 6.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use tests::{Place, arrays};

fn old_run() -> anyhow::Result<Place> {
    let place = Place::new()?;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("old_runs/0.1.0");
    for file in ["config.toml", "metrics.jsonl"] {
        place.write(&format!("run/{file}"), fs::read(from.join(file))?)?;
    }
    let checkpoint = "checkpoints/step-00000004";
    for entry in fs::read_dir(from.join(checkpoint))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a plain name")?;
        place.write(&format!("run/{checkpoint}/{name}"), fs::read(entry.path())?)?;
    }
    Ok(place)
}

#[test]
fn it_draws_the_same_images() -> anyhow::Result<()> {
    let place = old_run()?;
    let line =
        "sample --run run --sampler ddim --steps 8 --count 3 --seed 5 --precision f32 --save npz --out out";
    let _ = place.ddpm(line)?.ok();
    let images =
        |bytes: &[u8]| -> anyhow::Result<_> { arrays::read_npz(bytes)?.remove("images").context("images") };
    let then =
        images(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("old_runs/0.1.0-ddim-8-seed-5.npz"))?)?;
    let now = images(&place.read("out/samples.npz")?)?;
    assert_eq!(now.shape(), then.shape());
    // Another processor may round a pixel differently.
    assert!(now.iter().zip(&then).all(|(a, b)| (a - b).abs() <= 1.0));
    Ok(())
}

#[test]
fn it_goes_on() -> anyhow::Result<()> {
    let place = old_run()?;
    let said = place.ddpm("train --run run --resume --set train.steps=6 --json")?.json();
    assert_eq!((said["finished"].as_bool(), said["steps"].as_u64()), (Some(true), Some(6)), "{said}");
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")?)?;
    assert_eq!(metrics.lines().count(), 6, "{metrics}");
    let config = String::from_utf8(place.read("run/config.toml")?)?;
    assert!(config.contains("prediction = \"v\"") && config.contains("kind = \"unet\""), "{config}");
    for file in ["model.safetensors", "ema.safetensors"] {
        let before = tensors(&place.read(&format!("run/checkpoints/step-00000004/{file}"))?)?;
        let then = tensors(&fs::read(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("old_runs/0.1.0-step-6").join(file),
        )?)?;
        let now = tensors(&place.read(&format!("run/checkpoints/step-00000006/{file}"))?)?;
        assert!(now.keys().eq(then.keys()), "{:?}", now.keys());
        // 3e-8 on the machine that wrote them; another processor rounds in another order.
        let (gap, moved) = (furthest(&now, &then), furthest(&then, &before));
        assert!(gap < 1e-5 && moved > 3e-4, "{file}: {gap:e} apart, moved by {moved:e}");
    }
    Ok(())
}

/// The f32 tensors of a safetensors file: the length of a header in JSON, the header, the numbers.
fn tensors(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<f32>>> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("a length")?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("a header")?;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, tensor)| {
            let end = |of: usize| tensor["data_offsets"][of].as_u64().map(|offset| offset as usize);
            let range = end(0).context("a start")?..end(1).context("an end")?;
            anyhow::ensure!(tensor["dtype"] == "F32", "{name}: {tensor}");
            let numbers = data.get(range).context("numbers")?.chunks_exact(4);
            Ok((name, numbers.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()))
        })
        .collect()
}

/// The largest difference of any number.
fn furthest(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>) -> f32 {
    let pairs = a.values().zip(b.values());
    pairs.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs())).fold(0.0, f32::max)
}
