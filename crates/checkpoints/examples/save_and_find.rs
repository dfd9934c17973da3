//! Saves checkpoints, damages the newest and finds the newest sound one: `cargo run -p checkpoints --example save_and_find`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::fs;

use checkpoints::{CONFIG, EMA, MODEL, OPTIMIZER, State, Writer, folder_name, latest, rotate};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

/// What this program needs to continue, besides step and seed.
#[derive(Serialize, Deserialize)]
struct Run {
    best_loss: f64,
}

/// The bytes of a safetensors file with these tensors.
fn file(tensors: &[(&str, Dtype, usize, &[u8])]) -> Result<Vec<u8>, SafeTensorError> {
    let mut views = Vec::new();
    for (name, dtype, count, bytes) in tensors {
        views.push((*name, TensorView::new(*dtype, vec![*count], bytes)?));
    }
    safetensors::serialize(views, None)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for step in [100_u32, 200, 300, 400] {
        // The model has one parameter, `w`, and the optimiser two moments of it.
        let (weight, zero, done) = ((step as f32).to_le_bytes(), [0_u8; 4], i64::from(step).to_le_bytes());
        let moments = [("m.w", Dtype::F32, 1, &zero[..]), ("v.w", Dtype::F32, 1, &zero[..])];
        let mut writer = Writer::begin(folder.path(), step.into())?;
        writer.put(MODEL, &file(&[("w", Dtype::F32, 1, &weight)])?)?;
        writer.put(EMA, &file(&[("w", Dtype::F32, 1, &weight)])?)?;
        writer.put(OPTIMIZER, &file(&[moments[0], moments[1], ("step", Dtype::I64, 1, &done)])?)?;
        writer.put(CONFIG, b"seed = 7\n")?;
        let run = Run { best_loss: 1.0 / f64::from(step) };
        writer.commit(State::new(step.into(), 7, run))?;
        rotate(folder.path(), 3, Some(step.into()))?;
    }
    println!("kept: {} of 4 checkpoints", checkpoints::list(folder.path())?.len());

    fs::write(folder.path().join(folder_name(400)).join(MODEL), "half of it")?;
    let (newest, refused) = latest::<Run>(folder.path())?;
    for error in refused {
        println!("skipped: {error}");
    }
    if let Some(found) = newest {
        println!("continue after step {}, best loss {:.4}", found.state.step, found.state.run.best_loss);
    }
    Ok(())
}
