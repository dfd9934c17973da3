//! `ddpm draw-ablation`, which `cargo xtask ablate` runs to draw its picture, since xtask itself has no drawing code.

use std::io::Read;

use anyhow::{Context, anyhow};
use clap::Args;
use figures::{AblationGroup, AblationLine};
use serde::Deserialize;
use serde_json::json;

use crate::failure::usage;
use crate::flags::Global;
use crate::output;
use crate::paths::{self, OutputFile};

/// Draws the study read from standard input, a JSON object, as a PNG.
#[derive(Debug, Args)]
pub(crate) struct DrawAblation {
    /// Output file
    #[arg(long, value_name = "FILE.png")]
    out: OutputFile,
}

/// A study as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    metric: String,
    kinds: Vec<String>,
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    heading: String,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    label: String,
    kind: usize,
    value: f64,
    interval: Option<(f64, f64)>,
    seeds: Vec<f64>,
}

impl DrawAblation {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        output::try_file("--out", &self.out)?;
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text).context("standard input")?;
        let (metric, kinds, groups) = read(&text)?;
        let figure = figures::ablation(&metric, &kinds, &groups)?;
        let shown = paths::text(&self.out);
        files::write_output(&self.out, &figure.png).with_context(|| format!("--out {shown}"))?;
        output::finish(global, &json!({ "picture": shown }), || shown.clone())
    }
}

fn read(text: &str) -> anyhow::Result<(String, Vec<String>, Vec<AblationGroup>)> {
    let Said { metric, kinds, groups } =
        serde_json::from_str(text).map_err(|error| usage(anyhow!("standard input: {error}")))?;
    let line = |Line { label, kind, value, interval, seeds }: Line| AblationLine {
        label,
        kind,
        value,
        interval,
        seeds,
    };
    let group = |Group { heading, lines }: Group| AblationGroup {
        heading,
        lines: lines.into_iter().map(line).collect(),
    };
    Ok((metric, kinds, groups.into_iter().map(group).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_read() {
        let text = r#"{"metric": "FD", "kinds": ["ddim 30"], "groups": [{"heading": "v", "lines": [
                       {"label": "own", "kind": 0, "value": 2, "interval": [1.5, 2.5], "seeds": []},
                       {"label": "raw", "kind": 0, "value": 3, "interval": null, "seeds": [2.9, 3.1]}]}]}"#;
        let (metric, kinds, groups) = read(text).unwrap();
        assert_eq!((metric.as_str(), kinds.len(), groups[0].lines.len()), ("FD", 1, 2));
        assert_eq!(groups[0].lines[0].interval, Some((1.5, 2.5)));
        assert_eq!((groups[0].lines[1].interval, groups[0].lines[1].seeds.len()), (None, 2));
        let error = read(&text.replace("heading", "header")).unwrap_err().to_string();
        assert!(error.starts_with("standard input: unknown field `header`"), "{error}");
        assert!(read("").is_err());
    }
}
