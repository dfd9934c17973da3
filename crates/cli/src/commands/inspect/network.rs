//! The configuration of a network to inspect or time, without opening its data if possible.

use std::path::Path;

use anyhow::anyhow;
use toml::{Table, Value};
use unet::UNetConfig;

use crate::config::{self, Config, Layers, UserFile, parse_set, preset_table};
use crate::failure::usage;

/// The network of a preset, and the steps of its path.
pub(in crate::commands) fn named(
    name: &str,
    data: Option<&str>,
    set: &[String],
) -> anyhow::Result<(UNetConfig, usize)> {
    let config = preset_config(name, data, set)?;
    Ok((config.model, config.schedule.steps))
}

/// The configuration of a preset. Opens data only if the preset takes the size of the network from it.
pub(in crate::commands) fn preset_config(
    name: &str,
    data: Option<&str>,
    set: &[String],
) -> anyhow::Result<Config> {
    let set = set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
    let mut table = preset_table(name)?;
    for entry in &set {
        entry.apply(&mut table)?;
    }
    let complete = data.is_none().then(|| complete(table)).flatten();
    let mut config = match complete {
        Some(config) => config,
        // This path also produces the error message for a wrong value.
        None => config::resolve(&Layers { preset: Some(name), data, set: &set, ..Layers::default() })?.config,
    };
    // Settle the betas that follow from T, as a run of the preset records them.
    config.schedule.settle()?;
    config.model.validate()?;
    Ok(config)
}

/// The configuration in a file: that of a run, or one for `ddpm train --config`.
pub(in crate::commands) fn file_config(
    path: &Path,
    data: Option<&str>,
    set: &[String],
) -> anyhow::Result<Config> {
    let set = set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
    let file = UserFile::read(path)?;
    let table = file.table().ok().filter(|_| data.is_none());
    let complete = table.and_then(|mut table| {
        set.iter().try_for_each(|entry| entry.apply(&mut table)).ok()?;
        complete(table)
    });
    let config = match complete {
        Some(config) => config,
        None => config::resolve(&Layers { file: Some(&file), data, set: &set, ..Layers::default() })?.config,
    };
    config.model.validate()?;
    Ok(config)
}

/// The configuration in a table that defines the network completely.
fn complete(table: Table) -> Option<Config> {
    let mut config: Config = Value::Table(table).try_into().ok()?;
    config.model.classes = config.model.classes.filter(|&classes| classes > 0);
    (config.model.image_size > 0 && config.model.in_channels > 0).then_some(config)
}

/// The configuration of a run or checkpoint folder.
pub(in crate::commands) fn folder_config(folder: &Path) -> anyhow::Result<Config> {
    let path = folder.join("config.toml");
    if !path.is_file() {
        return Err(usage(anyhow!(
            "{}: not a run or checkpoint folder (no config.toml in it)",
            folder.display()
        )));
    }
    Ok(config::read_run(&path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_without_data() {
        let (paper, steps) = named("ddpm-cifar10", None, &[]).unwrap();
        assert_eq!((paper, steps), (UNetConfig::preset("ddpm-cifar10").unwrap(), 1000));
        let error = named("ddpm-cifar", None, &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean ddpm-cifar10?"), "{error}");
    }

    #[test]
    fn values_can_be_changed_and_are_checked() {
        let set = |text: &str| [text.to_owned()];
        let (wide, _) = named("ddpm-cifar10", None, &set("model.base_channels=64")).unwrap();
        assert_eq!(wide.base_channels, 64);
        assert!(
            named("ddpm-cifar10", None, &set("model.groups=7")).unwrap_err().to_string().contains("groups")
        );
        assert!(
            named("small-32", None, &set("model.no_such=7")).unwrap_err().to_string().contains("no_such")
        );
    }

    #[test]
    fn a_written_configuration_needs_no_data() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = preset_config("ddpm-cifar10", None, &[]).unwrap();
        config.schedule.settle().unwrap();
        std::fs::write(folder.path().join("config.toml"), config::to_toml(&config).unwrap()).unwrap();
        assert_eq!(folder_config(folder.path()).unwrap(), config);
        let path = folder.path().join("config.toml");
        let changed = file_config(&path, None, &["schedule.steps=10".to_owned()]).unwrap();
        assert_eq!(changed.schedule.steps, 10);
        assert!(folder_config(&path).is_err());
    }
}
