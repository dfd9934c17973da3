//! `ddpm inspect checkpoint`: the contents of a checkpoint, and whether it is intact.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tensor_io::Header;
use trainer::Checkpoint;

use crate::commands::inspect::network::folder_config;
use crate::commands::inspect::table::{Table, bytes, grouped, numbered};
use crate::config::Config;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::paths::{self, InputPath};
use crate::{output, screen};

/// The tensor files in a checkpoint.
const TENSOR_FILES: [&str; 3] = ["model.safetensors", "ema.safetensors", "optimizer.safetensors"];

/// Verify a checkpoint and show its contents; damage is an error
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm inspect checkpoint runs/fashion-28          every checkpoint of a run
  ddpm inspect checkpoint runs/fashion-28/checkpoints/step-00001000
  ddpm inspect checkpoint model.safetensors")]
pub(crate) struct InspectCheckpoint {
    /// A checkpoint folder, a run folder, or a safetensors file
    path: InputPath,
    /// List every tensor; of a run, those of its newest valid checkpoint
    #[arg(long)]
    all: bool,
}

impl InspectCheckpoint {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let path = &self.path;
        if path.is_file() {
            self.file(global)
        } else if path.join("manifest.json").is_file() {
            self.folder(global)
        } else if path.join("checkpoints").is_dir() {
            self.run_folder(global)
        } else if path.is_dir() {
            bail_usage!(
                "{}: neither a checkpoint (no manifest.json) nor a run (no checkpoints)",
                path.display()
            )
        } else {
            bail_usage!("{}: no such file or folder", path.display())
        }
    }

    fn file(&self, global: &Global) -> anyhow::Result<()> {
        let header = tensor_io::read_header(&self.path)?;
        let mut summary = header_json(&header);
        summary["checkpoint"] = json!(self.path);
        if self.all {
            summary["list"] = list_json(&header);
        }
        output::answer(global, &summary, || {
            let mut facts = vec![("tensors".to_owned(), header_text(&header))];
            facts.extend(
                header.metadata.iter().map(|(key, value)| (format!("metadata {key}"), value.clone())),
            );
            format!("{}{}", Table::facts(facts).within(screen::width()), self.listed(&header))
        })
    }

    fn folder(&self, global: &Global) -> anyhow::Result<()> {
        let checkpoint = Checkpoint::open(&self.path).context("damaged checkpoint")?;
        let config = folder_config(&checkpoint.path)?;
        let headers = TENSOR_FILES
            .iter()
            .map(|name| Ok((*name, tensor_io::read_header(&checkpoint.path.join(name))?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let state = &checkpoint.state;
        let mut summary = json!({
            "checkpoint": paths::text(&checkpoint.path), "verified": true, "step": state.step, "seed": state.seed,
            "format_version": state.format_version, "config": config,
        });
        for (name, header) in &headers {
            summary["files"][*name] = header_json(header);
        }
        let weights = &headers[0].1;
        if self.all {
            summary["list"] = list_json(weights);
        }
        output::answer(global, &summary, || {
            let mut facts = vec![
                ("verified".to_owned(), "every file matches the manifest".to_owned()),
                ("step".to_owned(), format!("{} of {}", state.step, config.train.steps)),
                ("seed".to_owned(), state.seed.to_string()),
            ];
            facts.extend(headers.iter().map(|(name, header)| ((*name).to_owned(), header_text(header))));
            facts.extend(config_facts(&config));
            format!("{}{}", Table::facts(facts).within(screen::width()), self.listed(weights))
        })
    }

    fn listed(&self, header: &Header) -> String {
        if self.all { format!("\n\n{}", list_table(header)) } else { String::new() }
    }

    /// Shows every checkpoint of a run. Fails at the end if one of them is damaged.
    fn run_folder(&self, global: &Global) -> anyhow::Result<()> {
        let run: &Path = &self.path;
        let found = trainer::list_checkpoints(&run.join("checkpoints"))?;
        if found.is_empty() {
            bail!("{}: no checkpoint yet", run.display());
        }
        let results: Vec<_> =
            found.into_iter().map(|(step, path)| (step, Checkpoint::open(&path), path)).collect();
        let config = folder_config(run)?;
        let rows: Vec<Value> = results
            .iter()
            .map(|(step, result, path)| {
                let reason = result.as_ref().err().map(ToString::to_string);
                json!({ "step": step, "checkpoint": paths::text(path), "verified": result.is_ok(), "reason": reason })
            })
            .collect();
        let newest = results.iter().rev().find_map(|(_, result, _)| result.as_ref().ok());
        let weights =
            newest.filter(|_| self.all).map(|checkpoint| tensor_io::read_header(&checkpoint.model_path()));
        let weights = weights.transpose()?;
        let mut summary = json!({ "run": paths::text(run), "checkpoints": rows, "config": config });
        if let Some(header) = &weights {
            summary["list"] = list_json(header);
        }
        output::answer(global, &summary, || {
            let mut table = Table::new(&[">step", "state", "folder"]);
            for (step, result, path) in &results {
                let state = if result.is_ok() { "verified" } else { "DAMAGED" };
                table.row([step.to_string(), state.to_owned(), path.display().to_string()]);
            }
            let seed = ("seed".to_owned(), config.seed.to_string());
            let steps = ("steps".to_owned(), config.train.steps.to_string());
            let facts = Table::facts([steps, seed].into_iter().chain(config_facts(&config)));
            let facts = facts.within(screen::width());
            let listed = weights.as_ref().map(|header| self.listed(header)).unwrap_or_default();
            format!("{facts}\n\n{table}{listed}")
        })?;
        let damaged: Vec<_> = results.iter().filter_map(|(_, result, _)| result.as_ref().err()).collect();
        match damaged.first() {
            Some(first) => Err(anyhow!(
                "{} of {} damaged: {first}",
                damaged.len(),
                files::counted(results.len(), "checkpoint")
            )),
            None => Ok(()),
        }
    }
}

/// A configuration in a few lines.
fn config_facts(config: &Config) -> Vec<(String, String)> {
    let model = &config.model;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let channels: Vec<_> = (0..model.levels()).map(|level| model.level_channels(level).to_string()).collect();
    let mut facts = vec![
        fact("schedule", format!("{}, T = {}", config.schedule.kind, config.schedule.steps)),
        fact("network", format!("{0}x{0}, levels of {1} channels", model.image_size, channels.join(", "))),
        fact(
            "training",
            format!("batch {}, lr {}, {}", config.train.batch, config.train.lr, config.precision),
        ),
        fact("data", config.data.source.clone()),
    ];
    if let Some(images) = &config.images {
        let (h, w, c) = (images.height, images.width, images.channels);
        facts.push(fact(
            "images",
            format!("{} of {w}x{h}x{c}, sha256 {}", grouped(images.count), images.sha256),
        ));
    }
    facts
}

fn header_numbers(header: &Header) -> usize {
    header.tensors.values().map(|(_, shape)| numbers(shape)).sum()
}

fn numbers(shape: &[i64]) -> usize {
    shape.iter().map(|&n| n as usize).product()
}

/// The element types in a file, without duplicates.
fn dtypes(header: &Header) -> Vec<&str> {
    let mut names: Vec<&str> = header.tensors.values().map(|(dtype, _)| dtype.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn header_bytes(header: &Header) -> u64 {
    let width = |dtype: &str| match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        _ => 1,
    };
    header.tensors.values().map(|(dtype, shape)| width(dtype) * numbers(shape) as u64).sum()
}

fn header_text(header: &Header) -> String {
    format!(
        "{}, {}, {}, {}",
        files::counted(header.tensors.len(), "tensor"),
        numbered(header_numbers(header), "number"),
        dtypes(header).join(" and "),
        bytes(header_bytes(header))
    )
}

fn header_json(header: &Header) -> Value {
    json!({
        "tensors": header.tensors.len(), "numbers": header_numbers(header), "dtypes": dtypes(header),
        "bytes": header_bytes(header), "metadata": header.metadata,
    })
}

fn list_json(header: &Header) -> Value {
    let list = header.tensors.iter();
    list.map(|(name, (dtype, shape))| json!({ "name": name, "dtype": dtype, "shape": shape })).collect()
}

fn list_table(header: &Header) -> Table {
    let mut table = Table::new(&["tensor", "type", ">shape"]);
    for (name, (dtype, shape)) in &header.tensors {
        table.row([name.clone(), dtype.clone(), format!("{shape:?}")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn a_files_header_is_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let tensor = |kind| Tensor::zeros([2, 3], (kind, Device::Cpu));
        tensor_io::save(&path, &[("a".into(), tensor(Kind::Float)), ("b".into(), tensor(Kind::BFloat16))])
            .unwrap();
        let header = tensor_io::read_header(&path).unwrap();
        assert_eq!(header_text(&header), "2 tensors, 12 numbers, BF16 and F32, 36 bytes");
        assert_eq!(list_table(&header).to_string().lines().count(), 3);
    }
}
