//! Writes networks of all kinds as ONNX, with inputs and libtorch's predictions, for `scripts/check_onnx.py`:
//! `cargo run -p unet --example onnx -- FOLDER`.
//!
//! The networks are those of the test `onnx`. For each, FOLDER gets `NAME.onnx` and `NAME.json` (`x`, `shape`, `t`, `class` if
//! there are classes, `prediction`).

#[path = "../../tests/onnx/cases.rs"]
mod cases;
#[path = "../../tests/unet2d/replay.rs"]
#[allow(dead_code, reason = "the table of another example")]
mod replay;
#[path = "../../tests/unet2d/rule.rs"]
mod rule;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: onnx FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let _ = cases::each(|case| {
        let name = case.name.replace(' ', "-");
        let mut told = serde_json::json!({
            "x": case.x, "shape": case.shape, "t": case.t, "prediction": case.prediction,
        });
        if let Some(labels) = &case.labels {
            told["class"] = serde_json::json!(labels);
        }
        std::fs::write(folder.join(format!("{name}.onnx")), &case.file)?;
        std::fs::write(folder.join(format!("{name}.json")), told.to_string())?;
        Ok(())
    })?;
    Ok(())
}
