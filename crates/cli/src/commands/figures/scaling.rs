//! `ddpm draw-scaling`, which `cargo xtask bench --scaling` runs to draw its picture, since xtask itself has no drawing
//! code.

use std::io::Read;

use anyhow::{Context, anyhow};
use clap::Args;
use figures::ScalingPanel;
use serde::Deserialize;
use serde_json::json;

use crate::failure::usage;
use crate::flags::Global;
use crate::output;
use crate::paths;
use crate::paths::OutputFolder;

/// Draws the panels read from standard input, an array of JSON objects, as scaling.png.
#[derive(Debug, Args)]
pub(crate) struct DrawScaling {
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: OutputFolder,
}

/// A panel as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    heading: String,
    x_label: String,
    y_label: String,
    fitted: Vec<(f64, f64)>,
    held_out: Vec<(f64, f64)>,
    law: Vec<(f64, f64)>,
}

impl DrawScaling {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        output::try_folder("--out", &self.out, &["scaling.png".to_owned()])?;
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text).context("standard input")?;
        let figure = figures::scaling(&read(&text)?)?;
        let path = figure.save(&self.out)?;
        output::finish(global, &json!({ "picture": paths::text(&path) }), || path.display().to_string())
    }
}

fn read(text: &str) -> anyhow::Result<Vec<ScalingPanel>> {
    let said: Vec<Said> =
        serde_json::from_str(text).map_err(|error| usage(anyhow!("standard input: {error}")))?;
    let panel = |Said { heading, x_label, y_label, fitted, held_out, law }: Said| ScalingPanel {
        heading,
        x_label,
        y_label,
        fitted,
        held_out,
        law,
    };
    Ok(said.into_iter().map(panel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_read() {
        let text = r#"[{"heading": "h", "x_label": "x", "y_label": "y", "fitted": [[1, 2]], "held_out": [],
                       "law": [[1, 2.5], [2, 5]]}]"#;
        let panels = read(text).unwrap();
        assert_eq!((panels[0].fitted[0], panels[0].law[1]), ((1.0, 2.0), (2.0, 5.0)));
        let error = read(&text.replace("heading", "header")).unwrap_err().to_string();
        assert!(error.starts_with("standard input: unknown field `header`"), "{error}");
        assert!(read("").is_err());
    }
}
