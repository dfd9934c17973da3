//! Named objectives, as TOML files in `assets/objectives`: what is learned and how, for any preset.

use toml::Table;

use crate::error::ConfigError;
use crate::init::lay_over;
use crate::overrides::merge;
use crate::presets::preset_table;
use crate::run::Config;
use crate::suggest::nearest;
use crate::text::parse;

/// Name, description, text.
pub const OBJECTIVES: &[(&str, &str, &str)] = &[
    ("ddpm", "eps on a linear chain (Ho et al. 2020)", include_str!("../assets/objectives/ddpm.toml")),
    (
        "learned",
        "eps and variances on a cosine chain (Nichol & Dhariwal 2021)",
        include_str!("../assets/objectives/learned.toml"),
    ),
    ("v", "v on the cosine path (Salimans & Ho 2022)", include_str!("../assets/objectives/v.toml")),
    (
        "min-snr",
        "v with min-SNR weights (Hang et al. 2023)",
        include_str!("../assets/objectives/min-snr.toml"),
    ),
    ("edm", "a preconditioned network (Karras et al. 2022)", include_str!("../assets/objectives/edm.toml")),
    (
        "flow",
        "the velocity of straight paths (Lipman et al. 2023, Liu et al. 2023)",
        include_str!("../assets/objectives/flow.toml"),
    ),
];

/// The tables of a preset, overridden by the settings that trained weights fix, and then by an objective. The network
/// stays that of the weights.
///
/// # Errors
/// [`ConfigError::UnknownPreset`] and [`ConfigError::UnknownObjective`], with the known names.
pub(crate) fn base_table(
    preset: &str,
    objective: Option<&str>,
    init: Option<&Config>,
) -> Result<Table, ConfigError> {
    let mut table = preset_table(preset)?;
    if let Some(source) = init {
        lay_over(&mut table, source)?;
    }
    let Some(name) = objective else { return Ok(table) };
    let Some((_, _, text)) = OBJECTIVES.iter().find(|objective| objective.0 == name) else {
        let names: Vec<&str> = OBJECTIVES.iter().map(|objective| objective.0).collect();
        let hint = nearest(name, names.iter().copied()).map(str::to_owned);
        return Err(ConfigError::UnknownObjective { name: name.to_owned(), known: names.join(", "), hint });
    };
    let mut objective = parse(text)?;
    if init.is_some() {
        objective.remove("model");
    }
    merge(&mut table, objective);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, Layers, LearnedVariance, PRESETS, parse_set};
    use schedule::Prediction;

    #[test]
    fn every_objective_settles_with_every_preset() {
        let images = ImageShape { height: 28, width: 28, channels: 1, classes: 10 };
        for (preset, _, _) in PRESETS.iter().filter(|preset| !["tiny-16", "ddpm-cifar10"].contains(&preset.0))
        {
            for (name, _, _) in OBJECTIVES {
                let layers = Layers { preset: Some(preset), objective: Some(name), ..Layers::default() };
                let config =
                    layers.settle(&images).unwrap_or_else(|error| panic!("{preset}, {name}: {error}"));
                assert_eq!(config.model.out_channels, if *name == "learned" { 2 } else { 1 });
                assert_eq!(config.schedule.steps, 1000, "{preset}, {name}");
            }
        }
    }

    #[test]
    fn an_objective_overrides_the_preset_and_the_user_overrides_both() {
        let images = ImageShape { height: 28, width: 28, channels: 1, classes: 0 };
        let set = [parse_set("train.prediction=v").unwrap()];
        let layers = Layers { objective: Some("edm"), set: &set, ..Layers::default() };
        let config = layers.settle(&images).unwrap();
        assert_eq!((config.schedule.kind.as_str(), config.schedule.sigma_max), ("edm", Some(80.0)));
        assert_eq!((config.train.prediction, config.train.variance), (Prediction::V, LearnedVariance::Fixed));
        // The default preset for these images still applies.
        assert_eq!(config.model.channel_mults, [1, 2, 3]);

        let file = crate::UserFile {
            name: "a".to_owned(),
            text: "objective = 'flow'\n[train]\nsteps = 5".to_owned(),
        };
        let named = Layers { file: Some(&file), ..Layers::default() };
        let config = named.settle(&images).unwrap();
        assert_eq!((config.train.prediction, config.train.steps), (Prediction::Velocity, 5));
        let config = Layers { objective: Some("ddpm"), ..named }.settle(&images).unwrap();
        assert_eq!(config.train.prediction, Prediction::Eps);
        let error = Layers { objective: Some("fow"), ..Layers::default() }.settle(&images).unwrap_err();
        assert!(error.is_usage() && error.to_string().ends_with("did you mean flow?"), "{error}");
    }
}
