//! The `[data]` group: from what the user names to images.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use dataset::{Dataset, DatasetError, Fit, OnBad, OpenOptions, Source};

use crate::config::DataConfig;
use crate::config::suggest::nearest;
use crate::failure::{bail_usage, usage, wrong_data};

impl DataConfig {
    /// The same images without a border.
    pub(crate) fn unpadded(&self) -> Self {
        Self { pad_to_multiple: None, ..self.clone() }
    }

    /// Opens the images.
    pub(crate) fn open(&self) -> anyhow::Result<Dataset> {
        let fit = match self.fit.as_str() {
            "crop" => Fit::Crop,
            "stretch" => Fit::Stretch,
            "pad" => Fit::Pad,
            other => bail_usage!("data.fit = {other:?}: expected crop, stretch or pad"),
        };
        let on_bad = match self.on_bad.as_str() {
            "fail" => OnBad::Fail,
            "skip" => OnBad::Skip,
            other => bail_usage!("data.on_bad = {other:?}: expected fail or skip"),
        };
        let options = OpenOptions {
            size: self.size,
            channels: self.channels,
            fit,
            pad_to_multiple: self.pad_to_multiple,
            limit: self.limit,
            on_bad,
            cache_dir: cache_dir(),
            ..OpenOptions::default()
        };
        let source = Source::detect(&self.source).map_err(explain)?;
        Dataset::open(&source, &options).map_err(explain)
    }
}

/// An error of the data with the flag that it is about, and the one that helps.
fn explain(error: DatasetError) -> anyhow::Error {
    match error {
        DatasetError::BadOption { option, expected, got } => {
            usage(anyhow!("data.{option} = {got}: expected {expected}"))
        }
        DatasetError::UnknownSource { ref spec, .. } => {
            let near = nearest(spec, ["fashion-mnist"]).filter(|near| near != spec);
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            usage(anyhow!("--data: {error}{hint}"))
        }
        DatasetError::MixedSizes { .. } => usage(anyhow!("--data: {error}: --set data.size=32")),
        DatasetError::BadImages { folder, total, reasons } => {
            let count = reasons.len();
            // One line says what is wrong; which files they are takes as many lines as there are.
            if count > 1 {
                reasons.iter().for_each(|line| tracing::warn!("cannot be read: {line}"));
            }
            let example = reasons.first().map(String::as_str).unwrap_or_default();
            let listed = if count > 1 { ", for example" } else { "" };
            wrong_data(format!(
                "--data: {folder}: {count} of {total} images cannot be read: {example}{listed}; --on-bad skip leaves them out"
            ))
        }
        error => anyhow::Error::new(error).context("--data"),
    }
}

/// Where decoded images are kept for the next start.
fn cache_dir() -> Option<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.filter(|path| path.is_absolute()).or_else(home).map(|cache| cache.join("ddpm"))
}
