//! Configurations by name, as TOML files in `assets/configs`.

use anyhow::{Context, anyhow};
use toml::Table;

use crate::config::suggest::nearest;
use crate::failure::usage;

/// Name, what it is for, text.
pub(crate) const PRESETS: &[(&str, &str, &str)] = &[
    (
        "fashion-28",
        "28x28 grey images, minutes on a laptop's CPU: the default for the embedded set",
        include_str!("../../../../assets/configs/fashion-28.toml"),
    ),
    (
        "fashion-28-classes",
        "the same with the class of each image: sample a class of your choice, with guidance",
        include_str!("../../../../assets/configs/fashion-28-classes.toml"),
    ),
    (
        "images",
        "any other images: levels, attention and channels follow their size",
        include_str!("../../../../assets/configs/images.toml"),
    ),
    (
        "ddpm-cifar10",
        "the CIFAR-10 training of Ho et al. 2020, for a GPU",
        include_str!("../../../../assets/configs/ddpm-cifar10.toml"),
    ),
    (
        "small-32",
        "28x28 grey images padded to 32x32, a 1.6M network: the one peers are compared with",
        include_str!("../../../../assets/configs/small-32.toml"),
    ),
    (
        "tiny-16",
        "16x16 images, seconds on a CPU: for first tries and tests",
        include_str!("../../../../assets/configs/tiny-16.toml"),
    ),
];

/// The table of a preset.
pub(crate) fn preset_table(name: &str) -> anyhow::Result<Table> {
    let Some((_, _, text)) = PRESETS.iter().find(|preset| preset.0 == name) else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.0).collect();
        let hint = nearest(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        let hint = hint.unwrap_or_default();
        return Err(usage(anyhow!("no preset {name:?}; there are: {}{hint}", names.join(", "))));
    };
    toml::from_str(text).with_context(|| format!("preset {name}"))
}
