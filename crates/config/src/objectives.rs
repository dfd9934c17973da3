//! Named objectives, as TOML files in `assets/objectives`: what is learned and how, for any preset.

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::init::lay_over;
use crate::overrides::merge;
use crate::presets::preset_with_objective;
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
        "v-chain",
        "v on a linear chain with the loss of eps",
        include_str!("../assets/objectives/v-chain.toml"),
    ),
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
    (
        "consistency",
        "one image from any level, for sampling in 1 to 4 calls; from trained weights (Geng et al. 2024)",
        include_str!("../assets/objectives/consistency.toml"),
    ),
];

/// The tables of a preset, overridden by the settings that trained weights fix, and then by an objective: the one named, or
/// the preset's own if no weights fix one. The network stays that of the weights.
///
/// # Errors
/// [`ConfigError::UnknownPreset`] and [`ConfigError::UnknownObjective`], with the known names.
pub(crate) fn base_table(
    preset: &str,
    objective: Option<&str>,
    init: Option<&Config>,
) -> Result<Table, ConfigError> {
    let (mut table, own) = preset_with_objective(preset)?;
    if let Some(source) = init {
        lay_over(&mut table, source)?;
    }
    let own = own.filter(|_| init.is_none());
    let Some(name) = objective.or(own.as_deref()) else { return Ok(table) };
    let Some((_, _, text)) = OBJECTIVES.iter().find(|objective| objective.0 == name) else {
        let names: Vec<&str> = OBJECTIVES.iter().map(|objective| objective.0).collect();
        let hint = nearest(name, names.iter().copied()).map(str::to_owned);
        return Err(ConfigError::UnknownObjective { name: name.to_owned(), known: names.join(", "), hint });
    };
    let mut objective = parse(text)?;
    if init.is_some() {
        objective.remove("model");
        forget_numbers(&mut table, &objective);
    }
    merge(&mut table, objective);
    Ok(table)
}

/// Takes the numbers away that belong to choices of the trained weights which the objective replaces: beside its own choices
/// they would be strays.
fn forget_numbers(table: &mut Table, objective: &Table) {
    let chosen = |key: &str| objective.get("train").and_then(|train| train.get(key));
    let Some(train) = table.get_mut("train").and_then(Value::as_table_mut) else { return };
    for (choice, numbers) in [
        ("loss", &["huber_delta", "halvings"][..]),
        ("time_sampling", &["time_mean", "time_std"]),
        ("variance", &["vlb_weight"]),
    ] {
        if chosen(choice).is_some() {
            numbers.iter().for_each(|number| drop(train.remove(*number)));
        }
    }
    let is_edm = |key| chosen(key).or(train.get(key)).and_then(Value::as_str) == Some("edm");
    if !is_edm("prediction") && !is_edm("loss_weight") {
        train.remove("sigma_data");
    }
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
    fn consistency_takes_weights_of_any_loss() {
        let images = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };
        let settled = |set: &[&str], objective, init: Option<&Config>| {
            let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
            let preset = init.is_none().then_some("tiny-16");
            Layers { preset, objective, init, set: &set, ..Layers::default() }.settle(&images).unwrap()
        };
        for set in [
            &["train.loss=huber", "train.huber_delta=0.3"][..],
            &["train.time_sampling=log-normal", "train.time_mean=0.5"],
            &["train.loss_weight=edm", "train.sigma_data=0.7"],
            &["train.prediction=edm", "train.sigma_data=0.7"],
        ] {
            let teacher = settled(set, None, None);
            let tuned = settled(&[], Some("consistency"), Some(&teacher));
            assert_eq!(tuned.train.output(), teacher.train.output(), "{set:?}");
            assert_eq!((tuned.train.loss, tuned.train.times()), (crate::Loss::Consistency, (-1.1, 2.0)));
            assert_eq!((tuned.sample.sampler.as_str(), tuned.sample.steps), ("consistency", 2));
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
