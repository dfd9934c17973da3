//! Combines presets, files and flags into one complete [`Config`], without touching the disk.

use toml::{Table, Value};

use crate::data::DataConfig;
use crate::draft::{ImageShape, border_multiple, bordered, complete_model};
use crate::effects;
use crate::error::ConfigError;
use crate::file::UserFile;
use crate::init::Said;
use crate::objectives::base_table;
use crate::overrides::{Override, merge};
use crate::presets::preset_table;
use crate::run::Config;
use crate::text::{deserialize, parse};

/// The user's settings, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers<'a> {
    /// `--preset`.
    pub preset: Option<&'a str>,
    /// `--objective`.
    pub objective: Option<&'a str>,
    /// `--config`.
    pub file: Option<&'a UserFile>,
    /// `--data`.
    pub data: Option<&'a str>,
    /// `--set`.
    pub set: &'a [Override],
    /// The configuration of the weights that the run starts from, which fixes network and objective.
    pub init: Option<&'a Config>,
}

/// A configuration that is complete except for the description of the images, and what it is based on.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Valid, without [`Config::images`].
    pub config: Config,
    /// The preset.
    pub preset: String,
    /// The objective on top of it, if one was named.
    pub objective: Option<String>,
}

/// The preset used before the images are known.
const CANDIDATE: &str = "images";
/// Placeholder for images that are not known yet.
const ANY: ImageShape = ImageShape { height: 32, width: 32, channels: 1, classes: 0 };

/// The embedded dataset.
const EMBEDDED: &str = "fashion-mnist";

/// The layers above preset and objective as one table, and the preset and objective they name.
pub(crate) struct Merged {
    pub(crate) preset: Option<String>,
    pub(crate) objective: Option<String>,
    pub(crate) table: Table,
}

impl Layers<'_> {
    /// Returns the configuration for images of a known shape. It is complete and valid, but [`Config::images`] is
    /// absent. All configuration text passes through here, so fuzzers call this function.
    ///
    /// # Errors
    /// The first mistake, always a usage error.
    pub fn settle(&self, images: &ImageShape) -> Result<Config, ConfigError> {
        Ok(self.settle_with(images, None)?.config)
    }

    /// Like [`Layers::settle`], with a `[data]` group that replaces the layers' own, for example one with an absolute
    /// path.
    ///
    /// # Errors
    /// As for [`Layers::settle`].
    pub fn settle_with(&self, images: &ImageShape, data: Option<DataConfig>) -> Result<Settled, ConfigError> {
        let Merged { preset, objective, table } = self.merged()?;
        let preset = preset.unwrap_or_else(|| images.preset().to_owned());
        let mut base = base_table(&preset, objective.as_deref(), self.init)?;
        // Images of the size that the weights were trained on get the same border.
        let alike = self.init.filter(|source| source.fits(images));
        if let (Some(source), Some(model)) = (alike, base.get_mut("model").and_then(Value::as_table_mut)) {
            let side = i64::try_from(source.model.image_size).unwrap_or(i64::MAX);
            model.insert("image_size".to_owned(), Value::Integer(side));
        }
        let mut config = self.draft(&base, table.clone(), images)?;
        config.data = data.unwrap_or(config.data);
        let own = alike.and_then(|source| source.data.pad_to_multiple);
        let multiple = own.unwrap_or_else(|| border_multiple(&config.model, images));
        let padded = images.padded(*config.data.pad_to_multiple.get_or_insert(multiple))?;
        let says = |table: &Table, key: &str| table.get("model").and_then(|model| model.get(key)).is_some();
        let said = Said {
            classes: says(&table, "classes") || says(&preset_table(&preset)?, "classes"),
            attention: says(&table, "attention_resolutions"),
        };
        if let Some(source) = self.init {
            config.settle_init(source, images, &said)?;
        }
        config.settle_classes(images.classes)?;
        config.settle_model(&padded)?;
        config.schedule.settle()?;
        config.train.settle_objective();
        if let Some(source) = self.init {
            config.keep_attention(source, &said);
            config.check_init(source)?;
        }
        config.validate()?;
        effects::check(&config, &table, &base)?;
        Ok(Settled { config, preset, objective })
    }

    /// The `[data]` group. Without a chosen preset the data is opened with the group of the preset `images`, which is
    /// the same in the other candidate.
    ///
    /// # Errors
    /// As for [`Layers::settle`].
    pub fn data_group(&self) -> Result<DataConfig, ConfigError> {
        #[derive(serde::Deserialize)]
        struct Part {
            data: DataConfig,
        }
        let Merged { preset, table: user, .. } = self.merged()?;
        let mut table = preset_table(preset.as_deref().unwrap_or(CANDIDATE))?;
        table.retain(|key, _| key == "data");
        merge(
            &mut table,
            user.get("data").map(|data| ("data".to_owned(), data.clone())).into_iter().collect(),
        );
        Ok(deserialize::<Part>(table)?.data)
    }

    /// Whether the network will have classes, before the images are known.
    ///
    /// # Errors
    /// As for [`Layers::settle`]; a mistyped key is reported here.
    pub fn wants_labels(&self) -> Result<bool, ConfigError> {
        let Merged { preset, objective, table } = self.merged()?;
        let base = base_table(preset.as_deref().unwrap_or(CANDIDATE), objective.as_deref(), self.init)?;
        Ok(self.draft(&base, table, &ANY)?.model.classes.is_some_and(|classes| classes > 0))
    }

    /// Merges file, `--data` and `--set`, and takes out the names of preset and objective.
    pub(crate) fn merged(&self) -> Result<Merged, ConfigError> {
        let mut table = self.file.map(UserFile::table).transpose()?.unwrap_or_default();
        let mut named = |what: &'static str| match table.remove(what) {
            Some(Value::String(name)) => Ok(Some(name)),
            Some(_) => Err(ConfigError::PresetName { what }),
            None => Ok(None),
        };
        let (preset, objective) = (named("preset")?, named("objective")?);
        if let Some(source) = self.data {
            let data = Table::from_iter([("source".to_owned(), Value::String(source.to_owned()))]);
            merge(&mut table, Table::from_iter([("data".to_owned(), Value::Table(data))]));
        }
        // A run's own file also records its images, its id and its initial weights; these are determined again.
        for described in ["images", "id", "init"] {
            table.remove(described);
        }
        for entry in self.set {
            if matches!(entry.group(), "images" | "id" | "init") {
                return Err(ConfigError::NotSettable { key: entry.key() });
            }
            entry.apply(&mut table)?;
        }
        Ok(Merged {
            preset: self.preset.map(str::to_owned).or(preset),
            objective: self.objective.map(str::to_owned).or(objective),
            table,
        })
    }

    /// Puts the layers on top of preset and objective, and derives the network's shape from the images.
    pub(crate) fn draft(
        &self,
        base: &Table,
        user: Table,
        images: &ImageShape,
    ) -> Result<Config, ConfigError> {
        let over_preset = |user| {
            let mut table = base.clone();
            let own_data = own_data(&table, &user);
            merge(&mut table, user);
            if own_data && let Some(train) = table.get_mut("train").and_then(Value::as_table_mut) {
                train.insert("flip".to_owned(), Value::Boolean(false));
            }
            let images = bordered(&table, images);
            complete_model(&mut table, &images)?;
            deserialize(table)
        };
        let says_steps = user.get("sample").and_then(|sample| sample.get("steps")).is_some();
        let mut config: Config = over_preset(user).map_err(|error| {
            // The file is to blame if it fails the same way on its own.
            let Some(file) = self.file else { return error };
            let alone = file.table().and_then(|mut table| {
                for name in ["preset", "objective"] {
                    table.remove(name);
                }
                over_preset(table)
            });
            match alone {
                Err(same) if same.to_string() == error.to_string() => file.blame(error),
                _ => error,
            }
        })?;
        config.model.validate_level_count()?;
        if !says_steps {
            // The preset's value is for its own T; no solver takes more steps than the chain has.
            config.sample.steps = config.sample.steps.min(config.schedule.steps);
        }
        Ok(config)
    }
}

/// Whether a preset for the embedded clothing images is used with other images, and the user has not set `train.flip`.
/// Letters and digits must not be mirrored, so that is left to the user.
fn own_data(preset: &Table, user: &Table) -> bool {
    let get = |table: &'_ Table, group: &str, key: &str| table.get(group).and_then(|g| g.get(key)).cloned();
    // The source itself or a part of it: `fashion-mnist:test`.
    let embedded = |source: &Value| source.as_str().is_some_and(|s| s.split(':').next() == Some(EMBEDDED));
    get(preset, "data", "source").is_some_and(|source| embedded(&source))
        && get(user, "data", "source").is_some_and(|source| !embedded(&source))
        && user.get("train").is_none_or(|train| train.is_table())
        && get(user, "train", "flip").is_none()
}

impl UserFile {
    /// Parses the text into tables.
    ///
    /// # Errors
    /// [`ConfigError::InFile`], which names the file.
    pub fn table(&self) -> Result<Table, ConfigError> {
        parse(&self.text).map_err(|error| self.blame(error))
    }

    fn blame(&self, error: ConfigError) -> ConfigError {
        ConfigError::InFile { file: self.name.clone(), error: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::parse_set;
    use crate::presets::PRESETS;

    const GREY: ImageShape = ImageShape { height: 28, width: 28, channels: 1, classes: 10 };

    fn file(text: &str) -> UserFile {
        UserFile { name: "my.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_preset_settles_with_its_images() {
        for (name, _, _) in PRESETS {
            let (side, channels) = match *name {
                "ddpm-cifar10" => (32, 3),
                "tiny-16" => (16, 1),
                _ => (28, 1),
            };
            let images = ImageShape { height: side, width: side, channels, classes: 10 };
            let config = Layers { preset: Some(name), ..Layers::default() }.settle(&images).unwrap();
            assert_eq!((config.model.in_channels, config.images), (channels, None), "{name}");
        }
    }

    #[test]
    fn the_images_choose_the_preset_and_a_later_layer_wins() {
        let settled = |layers: Layers<'_>, images| layers.settle(&images).unwrap();
        assert_eq!(settled(Layers::default(), GREY).model.channel_mults, [1, 2, 3]);
        let wide = ImageShape { height: 20, width: 64, channels: 3, classes: 0 };
        let any = settled(Layers::default(), wide);
        assert_eq!((any.model.image_size, any.model.channel_mults.len()), (64, 4));
        assert_eq!(any.data.pad_to_multiple, Some(8));

        let file = file("preset = 'small-32'\n[train]\nsteps = 5\nbatch = 6\n[data]\nsource = 'a'");
        let set = [parse_set("train.batch=7").unwrap()];
        let layers = Layers { file: Some(&file), data: Some("b"), set: &set, ..Layers::default() };
        let config = settled(layers, GREY);
        assert_eq!((config.train.steps, config.train.batch, config.data.source.as_str()), (5, 7, "b"));
        assert_eq!((config.model.image_size, config.data.pad_to_multiple), (32, Some(32)));
        let named = settled(Layers { preset: Some("fashion-28"), ..layers }, GREY);
        assert_eq!(named.model.image_size, 28);
    }

    #[test]
    fn only_mistakes_in_the_file_name_the_file() {
        let message = |text: &str, set: &str| {
            let (file, set) = (file(text), [parse_set(set).unwrap()]);
            let error =
                Layers { file: Some(&file), set: &set, ..Layers::default() }.settle(&GREY).unwrap_err();
            assert!(error.is_usage(), "{error}");
            error.to_string()
        };
        assert!(
            message("train.stepps = 5", "seed=1").starts_with("--config my.toml: configuration: train: ")
        );
        assert!(message("seed = = 5", "seed=1").starts_with("--config my.toml: line 1: "));
        assert!(message("seed = 5", "train.stepps=1").starts_with("configuration: train: "));
        assert_eq!(message("preset = 5", "seed=1"), "preset: expected a name in quotes");
        assert_eq!(message("seed = 5", "model=1"), "the configuration has no [model] group");
    }
}
