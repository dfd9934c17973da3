//! `ddpm train --init-from` and `train.freeze`: a new run starts from trained weights of any source, mismatches are
//! refused in one line, frozen parameters stay, and an interrupted run ends like the uninterrupted one.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use image::ImageFormat;
use serde_json::Value;
use tests::pipelines::fixture;
use tests::{Place, data, trained};

/// A short training whose learning rate leaves the weights unchanged, so a loss is that of the initial weights.
const STILL: &str = "--set train.lr=1e-30 --set train.warmup_steps=0 --set train.log_every=1 --set train.batch=8 \
                     --set sample.count=1 --set sample.steps=1 --set precision=f32 --set model.dropout=0.0";

/// A folder with a trained run (6 steps, checkpoints at 3 and 6), shared by the tests that only read it.
fn source() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("finetune")))
}

/// The logged losses of a run.
fn losses(place: &Place, run: &str) -> anyhow::Result<Vec<f64>> {
    let text = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))?)?;
    let loss = |line: &str| -> anyhow::Result<f64> {
        serde_json::from_str::<Value>(line)?["loss"].as_f64().context("no loss")
    };
    text.lines().map(loss).collect()
}

/// The tensors of a safetensors file: name, shape and bytes.
fn tensors(place: &Place, file: &str) -> anyhow::Result<Vec<(String, Value, Vec<u8>)>> {
    let bytes = place.read(file)?;
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into()?))?;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length])?;
    let entries = header.as_object().context("no object")?.iter().filter(|(name, _)| *name != "__metadata__");
    let tensor = |(name, entry): (&String, &Value)| {
        let at =
            |index: usize| Some(8 + length + usize::try_from(entry["data_offsets"][index].as_u64()?).ok()?);
        let own = at(0).zip(at(1)).map(|(start, end)| bytes[start..end].to_vec()).context("no offsets")?;
        Ok((name.clone(), entry["shape"].clone(), own))
    };
    entries.map(tensor).collect()
}

/// The shared run continues by one step. A new run from its raw weights that does not learn has the same loss at that
/// step, since images, levels and noise of a step depend only on the seed.
#[test]
fn the_loss_is_that_of_the_model_continued() -> anyhow::Result<()> {
    let place = source();
    let common = "--preset tiny-16 --set data.limit=40";
    let _ = place
        .ddpm(&format!(
            "train {common} --run copy --set train.steps=6 --set train.batch=8 --set sample.count=1 --set sample.steps=1 \
             --set train.log_every=1 --set precision=f32"
        ))?
        .ok();
    let line =
        format!("train {common} {STILL} --init-from copy --init-weights raw --run still --set train.steps=7");
    let said = place.ddpm(&line)?.ok();
    ensure!(said.stderr.contains("starts from the weights of copy"), "{}", said.stderr);
    let _ = place.ddpm("train --resume --run copy --set train.steps=7")?.ok();
    let (continued, new) = (losses(place, "copy")?, losses(place, "still")?);
    ensure!(continued.len() == 7 && new.len() == 7 && continued[..6] != new[..6], "{continued:?} {new:?}");
    ensure!((continued[6] - new[6]).abs() < 1e-6 * new[6], "{} and {}", continued[6], new[6]);
    Ok(())
}

#[test]
fn every_kind_of_model_gives_the_same_start() -> anyhow::Result<()> {
    let place = source();
    // diffusers has no time embedding wider than the channels.
    let embedding = "{kind='normalized',frequencies=6}";
    let _ = place
        .ddpm(&format!(
            "train --preset tiny-16 --run base --set data.limit=40 --set train.steps=4 --set train.checkpoint_every=2 --set \
             sample.count=1 --set sample.steps=1 --set precision=f32 --set train.batch=8 --set model.embedding={embedding}"
        ))?
        .ok();
    let _ = place.ddpm("export --run base --out model.safetensors")?.ok();
    let _ = place.ddpm("export --run base --format diffusers --folder folder")?.ok();
    let mut firsts = Vec::new();
    let [newest, older] = ["base/checkpoints/step-00000004", "base/checkpoints/step-00000002"];
    for (index, model) in ["base", newest, "model.safetensors", "folder", older].into_iter().enumerate() {
        let line = format!(
            "train --init-from {model} --run kind-{index} --preset tiny-16 --set data.limit=40 {STILL} --set train.steps=1 --set \
             train.time_sampling=stratified"
        );
        let _ = place.ddpm(&line)?.ok();
        let begun = tensors(place, &format!("kind-{index}/checkpoints/step-00000001/ema.safetensors"))?;
        firsts.push((losses(place, &format!("kind-{index}"))?[0], begun));
    }
    ensure!(
        firsts[0] == firsts[1] && firsts[0] == firsts[2],
        "{:?}",
        firsts.iter().map(|f| f.0).collect::<Vec<_>>()
    );
    // The weights of this model; those of another step differ.
    ensure!(firsts[0].1 == tensors(place, &format!("{newest}/ema.safetensors"))?);
    ensure!((firsts[3].0 - firsts[0].0).abs() < 1e-4 * firsts[0].0, "{} {}", firsts[3].0, firsts[0].0);
    ensure!((firsts[4].0 - firsts[0].0).abs() > 1e-4 * firsts[0].0, "{} {}", firsts[4].0, firsts[0].0);

    // A foreign model brings its own network, schedule and output.
    let folder = fixture("ddim").display().to_string();
    let line = format!("train --init-from {folder} --run other --set data.limit=8 --dump-config --json");
    let config = place.ddpm(&line)?.json();
    let sha256 = config["init"]["sha256"].as_str().context("no hash")?;
    ensure!(
        config["init"]["from"] == *folder && sha256.len() == 64 && !place.at("other").exists(),
        "{config}"
    );
    Ok(())
}

#[test]
fn other_sizes_and_classes_are_taken() -> anyhow::Result<()> {
    let place = source();
    for index in 0..12 {
        let class = ["cat", "dog", "owl"][index % 3];
        let path = format!("photos/{class}/{index}.png");
        place.write(&path, data::grey_file(index, (20, 24), ImageFormat::Png)?)?;
    }
    let line = format!("train --init-from run --data photos {STILL} --set train.steps=2");
    let run = |more: &str| place.ddpm(&format!("{line} {more}"));
    let plain = run("--run size")?.ok();
    ensure!(plain.stderr.contains("images 20x24x1,"), "{}", plain.stderr);
    let shapes = |file: &str| -> anyhow::Result<Vec<(String, Value)>> {
        Ok(tensors(place, file)?.into_iter().map(|(name, shape, _)| (name, shape)).collect())
    };
    let of_source = shapes("run/checkpoints/step-00000006/model.safetensors")?;
    ensure!(shapes("size/checkpoints/step-00000002/model.safetensors")? == of_source);

    // No classes before, then another number, then none again.
    let added = run("--run added --set model.classes=3 --set train.label_dropout=0.5")?.ok();
    ensure!(
        added.stderr.contains("the class table of 3 classes starts fresh: the weights had none"),
        "{}",
        added.stderr
    );
    let more = place
        .ddpm(&format!("train --init-from added --set data.limit=30 --set data.size=16 {STILL} --set train.steps=1 --run ten"))?
        .ok();
    ensure!(more.stderr.contains("of 10 classes starts fresh: the weights had one of 3"), "{}", more.stderr);
    let rest = |file: &str| -> anyhow::Result<Vec<(String, Value, Vec<u8>)>> {
        Ok(tensors(place, file)?.into_iter().filter(|(name, ..)| name != "class_embedding.weight").collect())
    };
    let start = rest("ten/checkpoints/step-00000001/ema.safetensors")?;
    ensure!(start == rest("added/checkpoints/step-00000002/ema.safetensors")?, "other weights");
    let none = place
        .ddpm(&format!(
            "train --init-from added --set model.classes=0 --set data.limit=30 --set data.size=16 {STILL} --set train.steps=1 \
             --run none"
        ))?
        .ok();
    ensure!(none.stderr.contains("the class table is left out"), "{}", none.stderr);
    Ok(())
}

#[test]
fn mismatches_are_refused_and_nothing_is_written() -> anyhow::Result<()> {
    let place = source();
    let colour = data::colour_file(1, (16, 16), ImageFormat::Png)?;
    place.write("colour/1.png", &colour)?;
    place.write("colour/2.png", data::colour_file(2, (16, 16), ImageFormat::Png)?)?;
    let line = "train --preset tiny-16 --set data.limit=8 --run refused --init-from run";
    for (more, words) in [
        ("--data colour", &["data.channels = 3", "expected 1", "data.channels=1"][..]),
        ("--set schedule.kind=cosine", &["schedule.", "--init-from"]),
        ("--set train.prediction=eps", &["train.prediction", "\"eps\"", "\"v\""]),
        ("--set train.variance=learned", &["train.variance", "learned"]),
        ("--objective flow", &["schedule.kind", "straight"]),
        ("--set train.freeze=[\"conv_ni.*\"]", &["train.freeze", "conv_ni.*"]),
        ("--set train.freeze=[\"*\"]", &["train.freeze", "every one"]),
        ("--set init.sha256=0", &["init.sha256", "cannot be set"]),
        ("--resume", &["--init-from run", "--resume"]),
        ("/nowhere", &["--init-from run/nowhere", "ddpm export"]),
    ] {
        let space = if more.starts_with('/') { "" } else { " " };
        place.ddpm(&format!("{line}{space}{more}"))?.expect_refusal(words);
        ensure!(!place.at("refused").exists(), "{more}");
    }
    // Weights of other shapes: the first is named with both shapes.
    let output = place.ddpm(&format!("{line} --set model.base_channels=24"))?;
    let errors = output.errors();
    let words = ["--init-from", "has shape", "expected [", "conv_in", "time_embedding.linear_1.weight"];
    let told = errors.len() == 1 && words.iter().filter(|word| errors[0].contains(**word)).count() >= 4;
    ensure!(told && output.code.is_some_and(|code| code != 0), "{errors:?}");
    ensure!(!place.at("refused").exists());
    Ok(())
}

#[test]
fn a_run_knows_its_first_weights() -> anyhow::Result<()> {
    let place = Place::new()?;
    let train = "--preset tiny-16 --set data.limit=20 --set train.batch=4 --set sample.count=1 --set sample.steps=1 --set \
                 precision=f32 --set train.log_every=1";
    for seed in [1, 2] {
        let line = format!("train {train} --set seed={seed} --set train.steps=2 --run of-{seed}");
        let _ = place.ddpm(&line)?.ok();
    }
    let line = format!(
        "train {train} --init-from of-1 --run tuned --set train.steps=4 --set train.checkpoint_every=2"
    );
    let _ = place.ddpm(&line)?.ok();
    // The same weights under another name, and other weights.
    let _ = place.ddpm("export --run of-1 --out model.safetensors")?.ok();
    let moved = place.ddpm(&line.replace("from of-1", "from model.safetensors"))?.ok();
    ensure!(moved.stderr.contains("this run is finished"), "{}", moved.stderr);
    let other = line.replace("from of-1", "from of-2");
    place.ddpm(&other)?.expect_refusal(&["--init-from of-2", "SHA-256", "from of-1", "--resume"]);
    // A checkpoint has everything needed.
    std::fs::remove_dir_all(place.at("of-1"))?;
    let _ = place.ddpm("train --resume --run tuned --set train.steps=5")?.ok();

    // Before its first checkpoint a run needs the weights.
    std::fs::create_dir_all(place.at("young/checkpoints"))?;
    place.write("young/config.toml", place.read("tuned/config.toml")?)?;
    place.ddpm("train --resume --run young")?.expect_refusal(&["--resume", "of-1", "--init-from"]);
    let again = line.replace("from of-1", "from of-2").replace("--run tuned", "--run young");
    place.ddpm(&again)?.expect_refusal(&["--init-from of-2", "SHA-256"]);
    let right = line.replace("from of-1", "from model.safetensors").replace("--run tuned", "--run young");
    let _ = place.ddpm(&right.replace("train.steps=4", "train.steps=5"))?.ok();
    ensure!(place.at("young/checkpoints/step-00000005").exists(), "it did not finish");
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_interrupted_fine_tuning_ends_as_the_whole_one() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _ = place
        .ddpm(
            "train --preset tiny-16 --set data.limit=20 --set train.steps=3 --set train.batch=4 --set sample.count=1 --set \
             sample.steps=1 --run base",
        )?
        .ok();
    let line = "train --preset tiny-16 --init-from base --set train.steps=120 --set train.batch=4 --set data.limit=30 --set \
                model.dropout=0.1 --set train.log_every=5 --set train.checkpoint_every=40 --set sample.count=2 --set \
                sample.steps=2 --set train.freeze=[\"down_blocks.*\",\"*.norm*\"]";
    let whole = place.ddpm(&format!("{line} --run whole"))?.ok();
    ensure!(whole.stderr.contains(" parameters are trained (train.freeze)"), "{}", whole.stderr);
    for signal in ["INT", "KILL"] {
        let run = format!("part-{signal}");
        let mut running = place.start(&format!("{line} --run {run}"))?;
        running.wait_for_more(&place.at(&format!("{run}/metrics.jsonl")))?;
        running.signal(signal)?;
        let _ = running.wait()?;
        let _ = place.ddpm(&format!("{line} --run {run}"))?.ok();
        let last = "checkpoints/step-00000120";
        for name in place.names(&format!("whole/{last}")) {
            let sha = |run: &str| place.sha256(&format!("{run}/{last}/{name}"));
            ensure!(sha(&run)? == sha("whole")?, "{name} of {run}");
        }
    }
    // Frozen parameters have the bits of the initial weights in both files.
    let start = tensors(&place, "base/checkpoints/step-00000003/ema.safetensors")?;
    for file in ["model", "ema"] {
        let end = tensors(&place, &format!("whole/checkpoints/step-00000120/{file}.safetensors"))?;
        for ((name, _, before), (_, _, after)) in start.iter().zip(&end) {
            let frozen = name.starts_with("down_blocks.") || name.contains(".norm");
            ensure!((before == after) == frozen, "{file}: {name}");
        }
    }
    Ok(())
}

/// Adapters learn while the weights stay, and their file on the base is the tuned model.
#[test]
fn adapters_are_a_small_file_of_their_own() -> anyhow::Result<()> {
    let place = source();
    let _ = place.ddpm("export --run run --out adapter-base.safetensors")?.ok();
    let line = "train --preset tiny-16 --init-from adapter-base.safetensors --run adapted --set model.adapter_rank=2 --set \
                data.limit=40 --set train.steps=4 --set train.checkpoint_every=2 --set train.lr=1e-2 --set train.warmup_steps=0 \
                --set train.batch=8 --set sample.count=1 --set sample.steps=1 --set precision=f32";
    let _ = place.ddpm(line)?.ok();
    let base = tensors(place, "adapter-base.safetensors")?;
    let adapted = tensors(place, "adapted/checkpoints/step-00000004/model.safetensors")?;
    ensure!(
        base.iter().all(|tensor| adapted.contains(tensor)),
        "the weights under the adapters have changed"
    );
    ensure!(adapted.len() > base.len());

    // As a model it is a plain one.
    let _ = place.ddpm("export --run adapted --out adapted.safetensors")?.ok();
    let merged = tensors(place, "adapted.safetensors")?;
    ensure!(merged.len() == base.len() && merged != base);

    let _ = place.ddpm("export --run adapted --format adapter --out adapter.safetensors")?.ok();
    let size = |file: &str| place.read(file).map(|bytes| bytes.len());
    ensure!(size("adapter.safetensors")? * 3 < size("adapted.safetensors")?);
    let draw = "--count 2 --sampler ddim --steps 4 --save npz --precision f32";
    let sampled = |model: &str, out: &str| -> anyhow::Result<Vec<u8>> {
        let _ = place.ddpm(&format!("sample {model} {draw} --out {out}"))?.ok();
        place.read(&format!("{out}/samples.npz"))
    };
    let with = sampled("--model adapter-base.safetensors --adapter adapter.safetensors", "with")?;
    ensure!(
        with == sampled("--run adapted", "of-run")?
            && with == sampled("--model adapted.safetensors", "of-file")?
    );
    ensure!(with != sampled("--model adapter-base.safetensors", "without")?);

    for (line, words) in [
        ("sample --run run --adapter adapter-base.safetensors", "export --format adapter"),
        ("sample --run run --adapter adapted", "found a folder"),
        ("export --run run --format adapter --out x.safetensors", "model.adapter_rank=8"),
        ("train --preset tiny-16 --set model.adapter_rank=2 --run nothing", "--init-from"),
    ] {
        let said = place.ddpm(line)?.expect_code(2);
        ensure!(
            said.stderr.contains(words) && said.stderr.trim().lines().count() == 1,
            "{line}: {}",
            said.stderr
        );
    }
    // Another network does not have such layers.
    let other = "train --preset tiny-16 --run wide --set model.base_channels=24 --set model.groups=8 --set data.limit=40 --set \
                 train.steps=1 --set train.batch=8 --set sample.count=1 --set sample.steps=1 --set precision=f32";
    let _ = place.ddpm(other)?.ok();
    let said = place.ddpm("sample --run wide --adapter adapter.safetensors --count 1")?.expect_code(2);
    ensure!(said.stderr.contains("adapters of this network"), "{}", said.stderr);
    Ok(())
}
