//! diffusers models: images drawn with `--model` and after `ddpm import`, compared with those of diffusers, and folders
//! of `ddpm export`. `scripts/make_diffusers_fixtures.py` makes models and images.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use tests::pipelines::{self, LIMIT, STEPS, fixture, gap, noise};
use tests::{Place, arrays, trained};

const MODELS: [&str; 3] = ["ddim", "plms", "dpm"];

#[test]
fn the_same_noise_becomes_the_same_images() -> anyhow::Result<()> {
    let place = Place::new()?;
    for name in MODELS {
        let folder = fixture(name).display().to_string();
        let x_start = noise(name)?;
        let drawn = arrays::read_npy(&fs::read(fixture(name).join("drawn.npy"))?)?;
        let direct = gap(&place, &x_start, (&folder, STEPS, ""), &drawn)?;
        ensure!(direct < LIMIT, "{name}: {direct:e}");
        let said = place.ddpm(&format!("import {folder} --out {name}.safetensors --json"))?.json();
        ensure!(said["parameters"].as_u64().is_some_and(|count| count > 10_000), "{said}");
        let imported = gap(&place, &x_start, (&format!("{name}.safetensors"), STEPS, ""), &drawn)?;
        ensure!(imported.to_bits() == direct.to_bits(), "{name}: {imported:e} and {direct:e}");
        // Another sampler gives other images, so the default was the model's.
        let other =
            gap(&place, &x_start, (&format!("{name}.safetensors"), STEPS, " --sampler heun"), &drawn)?;
        ensure!(other > 1e-3, "{name}: {other:e}");
    }
    Ok(())
}

#[test]
fn other_schedulers_draw_the_same_images() -> anyhow::Result<()> {
    let rows = pipelines::all(&Place::new()?)?;
    ensure!(rows.len() >= 10 && rows.iter().all(|row| row.error <= LIMIT), "{}", pipelines::table(&rows));
    Ok(())
}

#[test]
fn an_exported_network_is_the_checkpoint() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("diffusers"));
    for weights in ["ema", "raw"] {
        let line = format!("export --run run --weights {weights} --out {weights}.safetensors --json");
        let said = place.ddpm(&line)?.json();
        ensure!(said["step"] == 6 && said["out"] == format!("{weights}.safetensors"), "{said}");
        for flags in [format!("--run run --weights {weights}"), format!("--model {weights}.safetensors")] {
            let out = if flags.contains("run") { "a" } else { "b" };
            let _ = place.ddpm(&format!("sample {flags} --count 3 --steps 3 --save npz --out {out}"))?.ok();
        }
        let (a, b) = (place.read("a/samples.npz")?, place.read("b/samples.npz")?);
        ensure!(a == b, "{weights}: the images differ");
    }
    ensure!(place.read("ema.safetensors")? != place.read("raw.safetensors")?);
    Ok(())
}

/// Exports a run as a diffusers folder and reads it back. Diffusers itself was checked by hand: docs/diffusers.md.
#[test]
fn an_exported_folder_comes_back() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (name, embedding) in [
        // An embedding that diffusers lacks becomes a table.
        ("table", "{kind='normalized',frequencies=3}"),
        ("positional", "{kind='transformer',dim=16,order='cos-first',freq_shift=0}"),
    ] {
        let line = format!(
            "train --preset tiny-16 --run {name} --set data.limit=20 --set train.steps=2 --set sample.steps=2 \
             --set sample.count=1 --set model.base_channels=16 --set model.embedding={embedding} --set precision=f32"
        );
        let _ = place.ddpm(&line)?.ok();
        let _ = place.ddpm(&format!("export --run {name} --format diffusers --folder {name}-folder"))?.ok();
        ensure!(
            place.names(&format!("{name}-folder")) == ["README.md", "model_index.json", "scheduler", "unet"],
            "{:?}",
            place.names(&format!("{name}-folder"))
        );
        let config = String::from_utf8(place.read(&format!("{name}-folder/unet/config.json"))?)?;
        ensure!(config.contains("\"learned\"") == (name == "table"), "{config}");
        for (flags, out) in [(format!("--run {name}"), "a"), (format!("--model {name}-folder"), "b")] {
            let line = format!(
                "sample {flags} --sampler ddim --count 2 --steps 3 --save npz --precision f32 --out {out}"
            );
            let _ = place.ddpm(&line)?.ok();
        }
        ensure!(place.read("a/samples.npz")? == place.read("b/samples.npz")?, "{name}: the images differ");
    }
    for (set, word) in [
        (
            "--set model.time_injection=input --set model.embedding={kind='normalized',frequencies=3}",
            "model.time_injection",
        ),
        ("--objective edm --set model.embedding={kind='normalized',frequencies=3}", "train.prediction"),
        ("--set model.embedding={kind='normalized',frequencies=40}", "model.embedding"),
    ] {
        let line = format!(
            "train --preset tiny-16 {set} --run other --set data.limit=20 --set train.steps=1 --set sample.steps=2 --set sample.count=1"
        );
        let _ = place.ddpm(&line)?.ok();
        let output = place.ddpm("export --run other --format diffusers --folder none")?.expect_code(2);
        let errors = output.errors();
        ensure!(
            errors.len() == 1 && errors[0].contains(word) && errors[0].contains("not available"),
            "{set}: {errors:?}"
        );
        ensure!(!place.at("none").exists(), "{set}");
        std::fs::remove_dir_all(place.at("other"))?;
    }
    Ok(())
}

#[test]
fn an_invalid_model_is_refused_in_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    let copy = |to: &str| -> anyhow::Result<()> {
        for file in ["config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors"] {
            place.write(&format!("{to}/{file}"), fs::read(fixture("plms").join(file))?)?;
        }
        Ok(())
    };
    copy("broken")?;
    let config = String::from_utf8(place.read("broken/config.json")?)?;
    place.write("broken/config.json", config.replace("\"silu\"", "\"elu\""))?;
    copy("short")?;
    let weights = place.read("short/diffusion_pytorch_model.safetensors")?;
    place.write("short/diffusion_pytorch_model.safetensors", &weights[..weights.len() / 2])?;
    place.write("plain.safetensors", &weights)?;
    copy("nan")?;
    place.write("nan/diffusion_pytorch_model.safetensors", with_nan(weights))?;
    for (name, text) in [
        ("endless", "\"beta_end\": NaN"),
        ("nothing", "\"clip_sample\": null"),
        ("text", "\"beta_end\": Infinity"),
    ] {
        copy(name)?;
        place.write(
            &format!("{name}/scheduler_config.json"),
            format!("{{\"_class_name\": \"DDPMScheduler\", {text}}}"),
        )?;
    }
    place.write("empty/notes.txt", "")?;
    for (line, code, words) in [
        ("sample --model broken", 5, ["--model", "act_fn = \"elu\"", "silu"]),
        ("import broken --out x.safetensors", 5, ["act_fn", "config.json", "silu"]),
        ("sample --model short", 5, ["--model", "diffusion_pytorch_model.safetensors", "bytes"]),
        ("sample --model plain.safetensors", 2, ["--model", "plain.safetensors", "ddpm export"]),
        ("sample --model empty", 2, ["--model", "empty", "expected a checkpoint folder"]),
        ("import empty --out x.safetensors", 2, ["SRC", "empty", "config.json"]),
        ("import nan --out x.safetensors", 5, ["conv_in.bias", "finite", "NaN"]),
        ("import endless --out x.safetensors", 5, ["beta_end", "NaN", "a number"]),
        ("import text --out x.safetensors", 5, ["beta_end", "Infinity", "a number"]),
        ("import nothing --out x.safetensors", 5, ["clip_sample", "null", "true or false"]),
        // Its files are read.
        ("import nan --out nan/config.json", 2, ["--out", "nan/config.json", "also read"]),
        (
            "export --model nan --format onnx --out nan/scheduler_config.json",
            2,
            ["--out", "also read", "nan"],
        ),
        ("import nowhere --out x.safetensors", 2, ["SRC", "nowhere", "expected a folder"]),
        ("import plain.safetensors --out plain.safetensors", 2, ["--out", "plain.safetensors", "also read"]),
    ] {
        let output = place.ddpm(line)?.expect_code(code);
        let errors = output.errors();
        let told = errors.len() == 1 && words.iter().all(|word| errors[0].contains(word));
        ensure!(told, "{line}: {}", output.stderr);
    }
    ensure!(!place.at("x.safetensors").exists());
    Ok(())
}

/// A weights file with a NaN as the first value of conv_in.bias.
fn with_nan(mut weights: Vec<u8>) -> Vec<u8> {
    let length = usize::from_le_bytes(weights[..8].try_into().unwrap_or_default());
    let header: serde_json::Value = serde_json::from_slice(&weights[8..8 + length]).unwrap_or_default();
    let start = header["conv_in.bias"]["data_offsets"][0].as_u64().unwrap_or(0) as usize + 8 + length;
    weights[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    weights
}

/// An offset, which only `leading` uses, does not move other spacings beyond the last step.
#[test]
fn an_offset_belongs_to_leading() -> anyhow::Result<()> {
    let place = Place::new()?;
    for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
        place.write(&format!("model/{file}"), fs::read(fixture("plms").join(file))?)?;
    }
    for (scheduler, spacing) in [
        ("DDPM", "trailing"),
        ("DDIM", "trailing"),
        ("UniPCMultistep", "linspace"),
        ("EulerDiscrete", "leading"),
    ] {
        let text = format!(
            "{{\"_class_name\": \"{scheduler}Scheduler\", \"timestep_spacing\": \"{spacing}\", \"steps_offset\": 1}}"
        );
        place.write("model/scheduler_config.json", text)?;
        let _ = place.ddpm("sample --model model --count 1 --steps 3 --out drawn")?.ok();
    }
    let _ = place.ddpm("inspect model --model model")?.ok();
    // A folder with other files is not overwritten.
    place.write("mine/README.md", "mine")?;
    let output = place.ddpm("export --model model --format diffusers --folder mine")?.expect_code(2);
    ensure!(
        output.errors()[0].contains("--folder mine") && place.read("mine/README.md")? == b"mine",
        "{}",
        output.stderr
    );
    Ok(())
}
