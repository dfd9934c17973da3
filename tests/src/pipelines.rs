//! The diffusers models in `tests/fixtures/diffusers`, and how far our images are from those of diffusers for the same
//! noise. `scripts/make_diffusers_fixtures.py` makes both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use crate::{Place, arrays};

/// Largest allowed difference of a pixel.
pub const LIMIT: f64 = 1e-4;

/// Number of steps for the images in each model's own folder.
pub const STEPS: u64 = 12;

/// The folder of a model, with `noise.npy` and `drawn.npy`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diffusers").join(name)
}

/// The noise of a fixture: x_T of its own scheduler.
///
/// # Errors
/// When it cannot be read.
pub fn noise(name: &str) -> anyhow::Result<ArrayD<f64>> {
    arrays::read_npy(&fs::read(fixture(name).join("noise.npy"))?)
}

/// The largest pixel difference between `expected` and the images drawn from `x_T` with `--model MODEL` and more flags.
///
/// # Errors
/// When the program fails, or draws images of another shape.
pub fn gap(
    place: &Place,
    x_start: &ArrayD<f64>,
    (model, steps, more): (&str, u64, &str),
    expected: &ArrayD<f64>,
) -> anyhow::Result<f64> {
    place.write("x_start.npy", arrays::npy(&x_start.mapv(|x| x as f32))?)?;
    let line = format!(
        "sample --model {model} --init-noise x_start.npy --steps {steps} --precision f32 --save npz --trajectory 2 --out drawn{more}"
    );
    let _ = place.ddpm(&line)?.ok();
    let ours = arrays::read_npz(&place.read("drawn/samples.npz")?)?.remove("x_t").context("no x_t")?;
    let ours = ours.index_axis(ndarray::Axis(0), ours.shape()[0] - 1).to_owned();
    ensure!(ours.shape() == expected.shape(), "{:?}, not {:?}", ours.shape(), expected.shape());
    Ok(ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
}

/// A model with a scheduler.
#[derive(Debug)]
pub struct Pipeline {
    /// The fixture with the weights.
    pub model: String,
    /// The scheduler's class and its settings that are not defaults.
    pub scheduler: String,
    /// See [`gap`].
    pub error: f64,
}

/// Runs all pipelines, one after the other.
///
/// # Errors
/// When the program fails, or the fixtures are not as the script makes them.
pub fn all(place: &Place) -> anyhow::Result<Vec<Pipeline>> {
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(fixture("pipelines.json"))?)?;
    rows.iter().enumerate().map(|(number, row)| pipeline(place, number, row)).collect()
}

fn pipeline(place: &Place, number: usize, row: &Value) -> anyhow::Result<Pipeline> {
    let model = row["model"].as_str().context("no model")?;
    let folder = format!("pipeline-{number}");
    copied(&fixture(model), &place.at(&folder))?;
    let text = row["scheduler"].as_str().context("no scheduler")?;
    // Python writes values that JSON lacks.
    let scheduler: Value = serde_json::from_str(&text.replace("-Infinity", "null"))?;
    let old = place.at(&format!("{folder}/scheduler_config.json"));
    let place_of = if old.exists() { "scheduler_config.json" } else { "scheduler/scheduler_config.json" };
    place.write(&format!("{folder}/{place_of}"), text)?;
    let index = place.at(&format!("{folder}/model_index.json"));
    if index.exists() {
        let mut named: Value = serde_json::from_slice(&fs::read(&index)?)?;
        named["scheduler"][1] = scheduler["_class_name"].clone();
        fs::write(&index, named.to_string())?;
    }
    let drawn: Vec<f64> = serde_json::from_value(row["drawn"].clone())?;
    let x_start = noise(model)?;
    let expected = ArrayD::from_shape_vec(IxDyn(x_start.shape()), drawn)?;
    let steps = row["steps"].as_u64().context("no steps")?;
    let error = gap(place, &x_start, (&folder, steps, ""), &expected)?;
    Ok(Pipeline { model: model.to_owned(), scheduler: told(&scheduler), error })
}

/// The class of a scheduler and the settings that distinguish these pipelines.
fn told(scheduler: &Value) -> String {
    let mut words =
        vec![scheduler["_class_name"].as_str().unwrap_or("?").trim_end_matches("Scheduler").to_owned()];
    for key in ["timestep_spacing", "solver_order", "beta_schedule"] {
        if let Some(value) = scheduler.get(key).filter(|value| !value.is_null()) {
            words.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    for key in ["use_karras_sigmas", "use_lu_lambdas", "rescale_betas_zero_snr"] {
        if scheduler[key] == true {
            words.push(key.trim_start_matches("use_").to_owned());
        }
    }
    words.join(" ")
}

fn copied(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The pipelines as lines of a table.
#[must_use]
pub fn table(rows: &[Pipeline]) -> String {
    let mut text = format!("{:<6} {:<62} {:>8}\n", "model", "scheduler", "error");
    for row in rows {
        let word = if row.error <= LIMIT { "" } else { "  FAILS" };
        text.push_str(&format!("{:<6} {:<62} {:>8.1e}{word}\n", row.model, row.scheduler, row.error));
    }
    let passed = rows.iter().filter(|row| row.error <= LIMIT).count();
    text.push_str(&format!("{passed} of {} match the images of diffusers within {LIMIT:e}\n", rows.len()));
    text
}
