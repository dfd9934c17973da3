//! `--json` of every command against its schema in `docs/schemas`, and the names in them.
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Place, arrays, schema, trained};

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("json"));
    let noise = ndarray::Array4::<f32>::zeros((2, 1, 16, 16));
    place.write("x.npy", arrays::npy(&noise).unwrap()).unwrap();
    place.write("t.npy", arrays::npy(&ndarray::array![3_i64, 4]).unwrap()).unwrap();
    place
});

const OTHER: &str = "train --preset tiny-16 --run other --set train.steps=4 --set train.batch=4 --set data.limit=20 \
                     --set train.checkpoint_every=2 --set train.ema_sigma_rels=[0.05,0.1] --set sample.count=1 \
                     --set sample.steps=1 --set precision=f32 --set model.base_channels=16 \
                     --set model.embedding={kind='transformer',dim=16,order='cos-first',freq_shift=0}";
const FILL: &str = "--run run --index 0 --count 2 --resample 1 --sampler ddim --steps 4";

/// Calls in an order in which each finds what it needs, and their schemas.
fn calls() -> Vec<(String, &'static str)> {
    let calls: [(&str, &str); 45] = [
        (OTHER, "train"),
        ("train --preset tiny-16 --set data.limit=40 --dry-run", "train-dry-run"),
        ("distill run --steps 1 --run few --set sample.count=1", "train"),
        ("sample --run run --count 2 --steps 2 --save grid,png,npz --out drawn", "sample"),
        ("sample --run run --count 1 --sampler ddim --steps 4 --trajectory 3 --out way", "sample"),
        (
            "edit vary --run run --index 0 --t-start 900 --sampler ddim --steps 4 --count 1 --out vary",
            "edit-vary",
        ),
        ("edit interpolate --run run --index 0 --to-index 1 --count 3 --out between", "edit-interpolate"),
        ("edit inpaint {FILL} --box 0,0,4,4 --out inpaint", "edit-inpaint"),
        ("edit outpaint {FILL} --left 4 --out outpaint", "edit-inpaint"),
        ("edit upscale {FILL} --factor 4 --out upscale", "edit-inpaint"),
        ("edit encode --run run --index 0 --steps 10 --out code", "edit-encode"),
        ("edit decode --run run --latent code/latent.npy --steps 10 --out decoded", "edit-decode"),
        ("figures --run run --only 1 --out figures", "figures"),
        ("compare run other --count 2 --steps 2 --out pair", "compare"),
        ("predict --run run --x x.npy --t t.npy --out eps.npy", "predict"),
        ("export --run run --out model.safetensors", "export"),
        ("export --run run --format onnx --out model.onnx", "export"),
        ("export --run other --format diffusers --folder model", "export"),
        ("import model --out imported.safetensors", "import"),
        ("ema --run other --sigma-rel 0.1 --out averaged", "ema"),
        ("mixture --run run --components 2 --out mixture.safetensors", "mixture"),
        ("sample --run run --mixture mixture.safetensors --steps 2 --count 1 --out started", "sample"),
        ("evaluate --run run --metrics bpd --bits-images 2 --held-out fashion-mnist:test", "evaluate"),
        (
            "evaluate --images fashion-mnist:train --data fashion-mnist --set data.limit=40 --n 40 --metrics fd",
            "evaluate",
        ),
        ("train-features --set data.limit=150 --epochs 1 --out features.safetensors", "train-features"),
        ("config reference", "config-reference"),
        ("config reference train.lr --objective edm", "config-reference"),
        ("config presets", "config-presets"),
        ("inspect schedule", "inspect-schedule"),
        ("inspect schedule --kind cosine --respace 10 --out schedule.npz", "inspect-schedule"),
        ("inspect embedding --t 0,1", "inspect-embedding"),
        ("inspect model --preset tiny-16", "inspect-model"),
        ("inspect model --run run --all", "inspect-model"),
        ("inspect work", "inspect-work"),
        ("inspect checkpoint run", "inspect-checkpoint-run"),
        ("inspect checkpoint run --all", "inspect-checkpoint-run"),
        ("inspect checkpoint run/checkpoints/step-00000006 --all", "inspect-checkpoint"),
        ("inspect checkpoint model.safetensors --all", "inspect-checkpoint-file"),
        ("inspect data --data fashion-mnist:test --set data.limit=40", "inspect-data"),
        ("inspect data --data fashion-mnist:test --set data.limit=40 --rate", "inspect-data"),
        ("bench train --preset tiny-16 --batch 2 --steps 2 --warmup 1", "bench"),
        ("bench sample --preset tiny-16 --batch 2 --steps 2 --warmup 1", "bench"),
        ("bench solvers --preset tiny-16 --batch 1", "bench-solvers"),
        ("launch --nproc 2 -- bench sums --bytes 64,4096 --steps 2 --warmup 1", "bench-sums"),
        ("doctor --no-timing", "doctor"),
    ];
    calls.map(|(line, schema)| (line.replace("{FILL}", FILL), schema)).into()
}

#[test]
fn every_answer_fits_its_schema() -> anyhow::Result<()> {
    let mut used = BTreeSet::new();
    for (line, name) in calls() {
        let said = PLACE.ddpm(&format!("{line} --json"))?.json();
        schema::check(&schema::read(name)?, &said).with_context(|| format!("ddpm {line}: {name}.json"))?;
        used.insert(name.to_owned());
    }
    ensure!(used == names()?, "schemas without a call: {:?}", names()?.difference(&used));
    Ok(())
}

/// A file of an evaluation has the schema of the command.
#[test]
fn the_file_of_an_evaluation_is_its_answer() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "evaluate --images fashion-mnist:train --data fashion-mnist --set data.limit=40 --n 40 --metrics fd --out out";
    let _ = place.ddpm(line)?.ok();
    let kept: Value = serde_json::from_slice(&place.read("out/evaluation.json")?)?;
    schema::check(&schema::read("evaluate")?, &kept)
}

fn names() -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(schema::folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.insert(name.strip_suffix(".json").with_context(|| name.clone())?.to_owned());
    }
    Ok(names)
}

/// Every schema inside of a schema, with its place.
fn parts<'a>(schema: &'a Value, at: String, found: &mut Vec<(String, &'a Value)>) {
    for (key, part) in schema["properties"].as_object().into_iter().flatten() {
        parts(part, format!("{at}.{key}"), found);
    }
    for (name, sign) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[name].is_object() {
            parts(&schema[name], format!("{at}{sign}"), found);
        }
    }
    found.push((at, schema));
}

#[test]
fn schemas_are_closed_and_explain_every_key() -> anyhow::Result<()> {
    for name in names()? {
        let whole = schema::read(&name)?;
        let mut found = Vec::new();
        parts(&whole, name.clone(), &mut found);
        for (at, part) in found {
            let is_named = at.contains('.') && !at.ends_with("[]") && !at.ends_with(".*");
            ensure!(!is_named || part["description"].is_string(), "{at}: no description");
            let is_object = part["properties"].is_object();
            ensure!(!is_object || part["additionalProperties"] == false, "{at}: other keys are allowed");
        }
        ensure!(whole["type"] == "object" && whole["title"].is_string(), "{name}");
    }
    Ok(())
}

/// The same thing has the same name and type everywhere; these names were given up for others.
#[test]
fn one_thing_has_one_name() -> anyhow::Result<()> {
    const GIVEN_UP: [(&str, &str); 14] = [
        ("n", "images"),
        ("count", "images"),
        ("params", "parameters"),
        ("file", "out"),
        ("folder", "out"),
        ("report", "page"),
        ("solver", "sampler"),
        ("duration", "seconds"),
        ("elapsed", "seconds"),
        ("sampling_steps", "steps"),
        ("diffusion_steps", "timesteps"),
        ("peak_bytes", "peak_mib"),
        ("path", "checkpoint"),
        ("image_size", "height and width"),
    ];
    let mut types: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for name in names()? {
        let whole = schema::read(&name)?;
        let mut found = Vec::new();
        parts(&whole, name, &mut found);
        for (at, part) in found {
            let Some((_, key)) = at.rsplit_once('.') else { continue };
            if key.ends_with("[]") || key == "*" {
                continue;
            }
            if let Some((old, new)) = GIVEN_UP.iter().find(|(old, _)| *old == key) {
                anyhow::bail!("{at}: {old} is called {new} elsewhere");
            }
            // Where something can be missing, null is allowed too.
            let listed: Vec<&Value> = match &part["type"] {
                Value::Array(list) => list.iter().filter(|kind| **kind != "null").collect(),
                only => vec![only],
            };
            let kinds: BTreeSet<String> = listed.into_iter().map(Value::to_string).collect();
            let (first, known) = types.entry(key.to_owned()).or_insert_with(|| (at.clone(), kinds.clone()));
            ensure!(*known == kinds, "{at}: {kinds:?}, but {first}: {known:?}");
        }
    }
    ensure!(types.len() > 150, "{}", types.len());
    Ok(())
}

#[test]
fn the_page_lists_every_schema() -> anyhow::Result<()> {
    let page = fs::read_to_string(schema::folder().join("../json.md"))?;
    for name in names()? {
        ensure!(page.contains(&format!("(schemas/{name}.json)")), "docs/json.md does not name {name}");
        let title = schema::read(&name)?["title"].as_str().context("no title")?.to_owned();
        ensure!(page.contains(&title), "docs/json.md does not say {title:?}");
    }
    Ok(())
}
