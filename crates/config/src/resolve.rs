//! From layers to a complete [`Config`] and the images it is about.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dataset::Dataset;
use toml::Table;

use crate::data::DataConfig;
use crate::draft::{ImageShape, border_multiple};
use crate::effects;
use crate::error::ConfigError;
use crate::layers::{Layers, Merged};
use crate::overrides::merge;
use crate::presets::preset_table;
use crate::run::{Config, ImagesConfig};
use crate::text::deserialize;

/// A complete configuration and the images it is about.
pub struct Resolved {
    /// Valid, with [`Config::images`].
    pub config: Config,
    /// The preset that it started from.
    pub preset: String,
    /// What `config.data` opens.
    pub dataset: Dataset,
}

impl Layers<'_> {
    /// Merges the layers, opens the data, and fills in what follows from it. `cache_dir` is where decoded images
    /// are kept for the next start.
    ///
    /// # Errors
    /// The first mistake, or what keeps the data from being read; [`ConfigError::is_usage`] tells which.
    pub fn resolve(&self, cache_dir: Option<&Path>) -> Result<Resolved, ConfigError> {
        let Merged { preset, table } = self.merged()?;
        // One image tells size and channels without decoding the rest. Data nobody chose a preset for is looked
        // at by the [data] of `images`, which is that of the other candidate as well.
        let data = located(data_group(preset.as_deref().unwrap_or("images"), &table)?)?;
        let one = DataConfig { limit: Some(1), ..data.unpadded() };
        let images = shape(&one.open(cache_dir)?);
        let preset = preset.unwrap_or_else(|| images.preset().to_owned());
        let mut config = self.draft(&preset, table.clone(), &images)?;
        config.data = data;

        let multiple = border_multiple(&config.model, &images);
        config.data.pad_to_multiple.get_or_insert(multiple);
        let dataset = config.data.open(cache_dir)?;
        config.settle_classes(dataset.classes())?;
        config.settle_model(&shape(&dataset))?;
        config.schedule.settle()?;
        config.images = Some(described(&config, &dataset)?);
        config.validate()?;
        effects::check(&config, &table, &preset)?;
        Ok(Resolved { config, preset, dataset })
    }
}

/// The `[data]` group of the layers over a preset.
fn data_group(preset: &str, user: &Table) -> Result<DataConfig, ConfigError> {
    #[derive(serde::Deserialize)]
    struct Part {
        data: DataConfig,
    }
    let mut table = preset_table(preset)?;
    table.retain(|key, _| key == "data");
    merge(&mut table, user.get("data").map(|data| ("data".to_owned(), data.clone())).into_iter().collect());
    Ok(deserialize::<Part>(table)?.data)
}

/// The data by its whole path: a run resumed from another folder must find it, also where it is a part such as
/// `photos:test`.
fn located(mut data: DataConfig) -> Result<DataConfig, ConfigError> {
    let whole = Path::new(&data.source).exists().then_some((data.source.as_str(), ""));
    let of_part = |part| data.source.strip_suffix(part).map(|path| (path, part));
    if let Some((path, part)) = whole.or_else(|| of_part(":test")).or_else(|| of_part(":train"))
        && Path::new(path).exists()
    {
        let absolute = fs::canonicalize(path)
            .map_err(|error| ConfigError::DataPath { data: data.source.clone(), error })?;
        data.source = format!("{}{part}", absolute.to_string_lossy());
    }
    Ok(data)
}

fn shape(data: &Dataset) -> ImageShape {
    let (height, width, channels) = data.shape();
    ImageShape { height, width, channels, classes: data.classes() }
}

impl DataConfig {
    /// The same options for images in another place, by its whole path.
    ///
    /// # Errors
    /// [`ConfigError::DataPath`] for a place whose path cannot be told.
    pub fn moved_to(&self, source: &str) -> Result<Self, ConfigError> {
        located(Self { source: source.to_owned(), ..self.clone() })
    }
}

/// What the data turned out to be.
fn described(config: &Config, data: &Dataset) -> Result<ImagesConfig, ConfigError> {
    let (height, width, channels) = data.shape();
    let padding = data.padding();
    Ok(ImagesConfig {
        height,
        width,
        channels,
        padding: [padding.top, padding.bottom, padding.left, padding.right],
        count: data.len(),
        sha256: data.fingerprint().map_err(|error| ConfigError::Data { error })?,
        class_names: config.model.classes.map_or(Vec::new(), |_| data.class_names().to_vec()),
        absent_classes: config.model.classes.map_or(Vec::new(), |classes| absent(classes, data)),
    })
}

/// The classes below `classes` that no image has.
fn absent(classes: usize, data: &Dataset) -> Vec<usize> {
    let mut missing: BTreeSet<usize> = (0..classes).collect();
    for label in (0..data.len()).filter_map(|index| data.label(index)) {
        missing.remove(&(label as usize));
        if missing.is_empty() {
            break;
        }
    }
    missing.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserFile;
    use crate::overrides::parse_set;

    #[test]
    fn the_presets_that_images_choose_from_have_the_same_data() {
        let user = Table::new();
        assert_eq!(data_group("images", &user).unwrap(), data_group("fashion-28", &user).unwrap());
    }

    #[test]
    fn the_embedded_set_resolves_as_its_shape_settles() {
        let set = [parse_set("data.limit=20").unwrap(), parse_set("precision=f32").unwrap()];
        let file = UserFile { name: "a".to_owned(), text: "[train]\nsteps = 5".to_owned() };
        let layers = Layers { file: Some(&file), set: &set, ..Layers::default() };
        let resolved = layers.resolve(None).unwrap();
        assert_eq!(resolved.preset, "fashion-28");
        let images = resolved.config.images.clone().unwrap();
        assert_eq!((images.height, images.width, images.channels, images.count), (28, 28, 1, 20));
        let pure = layers.settle(&ImageShape { height: 28, width: 28, channels: 1, classes: 10 }).unwrap();
        assert_eq!(pure, Config { images: None, ..resolved.config });
    }

    #[test]
    fn classes_without_images_are_noted() {
        let set = ["data.limit=60", "model.classes=12"].map(|text| parse_set(text).unwrap());
        let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
        let images = layers.resolve(None).unwrap().config.images.unwrap();
        assert_eq!(images.absent_classes, [10, 11]);
        assert_eq!(images.learned_classes(12), (0..10).collect::<Vec<i64>>());
        // A file of an earlier version does not say.
        let earlier = ImagesConfig { absent_classes: Vec::new(), ..images };
        assert_eq!(earlier.learned_classes(12), (0..10).collect::<Vec<i64>>());
        assert_eq!(ImagesConfig::square(8, 1).learned_classes(3), [0, 1, 2]);
    }

    #[test]
    fn what_is_no_data_is_a_mistake_of_usage() {
        let error =
            |data| Layers { data: Some(data), ..Layers::default() }.resolve(None).map(|_| ()).unwrap_err();
        let unknown = error("fashion-minst");
        assert!(
            unknown.is_usage() && unknown.to_string().ends_with("did you mean fashion-mnist?"),
            "{unknown}"
        );
        let folder = tempfile::tempdir().unwrap();
        let empty = error(&folder.path().display().to_string());
        assert!(!empty.is_usage() && empty.to_string().starts_with("--data: "), "{empty}");
    }
}
