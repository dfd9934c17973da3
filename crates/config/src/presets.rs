//! Named configurations, as TOML files in `assets/configs`.

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::suggest::nearest;
use crate::text::parse;

/// Name, description, text.
pub const PRESETS: &[(&str, &str, &str)] = &[
    (
        "fashion-28",
        "28x28 grey images, minutes on a laptop's CPU: the default for the embedded set",
        include_str!("../assets/configs/fashion-28.toml"),
    ),
    (
        "fashion-28-classes",
        "the same with the class of each image: sample a class of your choice, with guidance",
        include_str!("../assets/configs/fashion-28-classes.toml"),
    ),
    (
        "images",
        "any other images: levels, attention and channels follow their size",
        include_str!("../assets/configs/images.toml"),
    ),
    (
        "ddpm-cifar10",
        "the CIFAR-10 training of Ho et al. 2020, for a GPU",
        include_str!("../assets/configs/ddpm-cifar10.toml"),
    ),
    (
        "small-32",
        "28x28 grey images padded to 32x32, a 1.6M network: for comparison with other implementations",
        include_str!("../assets/configs/small-32.toml"),
    ),
    (
        "tiny-16",
        "16x16 images, seconds on a CPU: for first experiments and tests",
        include_str!("../assets/configs/tiny-16.toml"),
    ),
];

/// The key at the top of a preset that names its objective.
const OBJECTIVE: &str = "objective";

/// The tables of a preset, without its objective.
///
/// # Errors
/// [`ConfigError::UnknownPreset`] with the known names.
pub fn preset_table(name: &str) -> Result<Table, ConfigError> {
    Ok(preset_with_objective(name)?.0)
}

/// The tables of a preset, and the objective that it names: what is learned if the user names no other.
///
/// # Errors
/// As for [`preset_table`].
pub(crate) fn preset_with_objective(name: &str) -> Result<(Table, Option<String>), ConfigError> {
    let Some((_, _, text)) = PRESETS.iter().find(|preset| preset.0 == name) else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.0).collect();
        let hint = nearest(name, names.iter().copied()).map(str::to_owned);
        return Err(ConfigError::UnknownPreset { name: name.to_owned(), known: names.join(", "), hint });
    };
    let mut table = parse(text)?;
    let objective = table.remove(OBJECTIVE);
    Ok((table, objective.as_ref().and_then(Value::as_str).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::OBJECTIVES;

    #[test]
    fn every_preset_parses_and_a_typo_suggests_the_nearest() {
        for (name, _, _) in PRESETS {
            let (table, objective) = preset_with_objective(name).unwrap();
            assert!(table.contains_key("model") && !table.contains_key("objective"), "{name}");
            if let Some(objective) = objective {
                assert!(OBJECTIVES.iter().any(|known| known.0 == objective), "{name}: {objective}");
            }
        }
        assert!(preset_table("tiny-61").unwrap_err().to_string().ends_with("did you mean tiny-16?"));
        assert!(preset_table("").is_err());
    }
}
