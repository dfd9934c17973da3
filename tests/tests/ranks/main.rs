//! Several processes train and sample as one: `ddpm launch`, its ranks, and what happens when one of them dies.
#![cfg(target_os = "linux")]

mod agree;
mod bench;
mod ends;
mod flags;

use std::time::Duration;

use anyhow::{Context, ensure};
use tests::Place;

/// A short run without random masks, which are drawn per rank.
const TRAIN: &str = "train --preset tiny-16 --set train.batch=64 --set data.limit=100 --set model.dropout=0.0 \
                     --set train.warmup_steps=0 --set sample.count=4 --set sample.steps=2 --set precision=f32";
/// Longer than any run here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// `ddpm launch` with a command, on one thread per rank.
fn launch(place: &Place, flags: &str, command: &str) -> anyhow::Result<tests::Output> {
    place.start(&format!("launch {flags} -- {command}"))?.wait_within(PATIENCE)
}

/// Pairs of a number of each record of two runs.
fn pairs(place: &Place, runs: [&str; 2], key: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let [one, other] = runs.map(|run| place.records(run));
    let (one, other) = (one?, other?);
    ensure!(one.len() == other.len(), "{runs:?}: {} and {} records", one.len(), other.len());
    let number = |record: &serde_json::Value| record[key].as_f64().with_context(|| format!("no {key}"));
    one.iter().zip(&other).map(|(one, other)| Ok((number(one)?, number(other)?))).collect()
}

/// The hashes of the files of a checkpoint.
fn checkpoint(place: &Place, run: &str, step: u64) -> anyhow::Result<Vec<(String, String)>> {
    let folder = format!("{run}/checkpoints/step-{step:08}");
    let names = place.names(&folder);
    ensure!(names.len() == 6, "{folder}: {names:?}");
    let hash = |name: String| Ok((name.clone(), place.sha256(&format!("{folder}/{name}"))?));
    names.into_iter().map(hash).collect()
}
