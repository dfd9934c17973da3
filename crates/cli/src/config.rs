//! The configuration of a run for this program: the crate `config` builds it from the flags; this module adds a check
//! of the grids' sampler, and a cache for decoded images.

use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::anyhow;
pub(crate) use config::{
    Change, Choice, Config, ConfigError, DataConfig, Defaults, GROUPS, Group, ImagesConfig, Key, Layers,
    MAY_CHANGE, OBJECTIVES, Override, PRESETS, SampleConfig, ScheduleConfig, UserFile, changes, check_resume,
    from_toml, nearest, parse_set, preset_table, read_run, to_commented_toml, to_toml,
};
use dataset::Dataset;
use run_images::DataError;
pub(crate) use run_images::Resolved;
use sampler::Method;
use tracing::warn;

use crate::failure::{bail_usage, usage};
use crate::inputs;
use crate::sampler_flags::SamplerArgs;

/// The names of presets or objectives, for help texts.
pub(crate) fn names(list: &[(&str, &str, &str)]) -> String {
    list.iter().map(|entry| entry.0).collect::<Vec<_>>().join(", ")
}

/// Names as alternatives, for help texts: `a, b or c`.
pub(crate) fn alternatives(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Merges the layers, opens the data, and checks the result.
pub(crate) fn resolve(layers: &Layers<'_>) -> anyhow::Result<Resolved> {
    let resolved = run_images::resolve(layers, cache_dir().as_deref()).inspect_err(list_bad_images)?;
    check_sampler(&resolved.config)?;
    inputs::remember_data("data.source", &resolved.config.data.source);
    let source = Path::new(&resolved.config.data.source);
    if source.is_relative() && source.exists() {
        warn!(
            "{}: the path to it is not UTF-8, so this run can be resumed from this folder only",
            source.display()
        );
    }
    Ok(resolved)
}

/// Checks every group.
pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    config.validate()?;
    check_sampler(config)
}

/// Opens the images.
pub(crate) fn open(data: &DataConfig) -> anyhow::Result<Dataset> {
    Ok(run_images::open(data, cache_dir().as_deref()).inspect_err(list_bad_images)?)
}

/// Opens the images of a flag other than `--data`.
pub(crate) fn open_of(flag: &'static str, data: &DataConfig) -> anyhow::Result<Dataset> {
    let opened = run_images::open(data, cache_dir().as_deref()).inspect_err(list_bad_images);
    Ok(opened.map_err(|error| error.of(flag))?)
}

/// Opens a part of a set, if the set has it.
pub(crate) fn open_part(data: &DataConfig) -> anyhow::Result<Option<Dataset>> {
    match run_images::open(data, cache_dir().as_deref()) {
        Ok(images) => Ok(Some(images)),
        Err(DataError::Source { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The error itself is one line; list the files here, one line each.
fn list_bad_images(error: &DataError) {
    if let DataError::BadImages { reasons, .. } = error
        && reasons.len() > 1
    {
        reasons.iter().for_each(|reason| warn!("cannot be read: {reason}"));
    }
}

/// Checked here, since the crate `config` does not know the samplers.
fn check_sampler(config: &Config) -> anyhow::Result<()> {
    Method::from_str(&config.sample.sampler).map_err(|e| usage(anyhow!("sample.sampler: {e}")))?;
    if config.sample.sampler == Method::DdpmLearned.name() && config.train.outputs_per_channel() == 1 {
        bail_usage!(
            "sample.sampler = ddpm-learned: expected a network that learns the variance (train.variance = learned); ddpm has a \
             fixed one"
        );
    }
    let flags = SamplerArgs::named(&config.sample.sampler, config.sample.steps);
    let sampler = flags.config(&config.train)?;
    sampler.validate(&*config.schedule.path()?).map_err(|e| usage(anyhow!("sample.{e}")))
}

/// Cache folder for decoded images and for features of images.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.filter(|path| path.is_absolute()).or_else(home).map(|cache| cache.join("ddpm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_alternative_follows_or() {
        let lists: [&[&str]; 4] = [&[], &["a"], &["a", "b"], &["a", "b", "c"]];
        assert_eq!(lists.map(alternatives), ["", "a", "a or b", "a, b or c"]);
    }
}
