//! From layers to a complete [`Config`] and the images it is about.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dataset::{Dataset, Split};
use toml::Table;

use crate::data::{DataConfig, explain};
use crate::draft::{ImageShape, border_multiple};
use crate::effects;
use crate::error::ConfigError;
use crate::layers::{Layers, Merged};
use crate::objectives::base_table;
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
    /// The objective over it, where one was named.
    pub objective: Option<String>,
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
        let Merged { preset, objective, table } = self.merged()?;
        // Data nobody chose a preset for is looked at by the [data] of `images`, which is that of the other candidate
        // as well.
        let candidate = preset.as_deref().unwrap_or("images");
        let data = located(data_group(candidate, &table)?)?;
        // A slip in a key is told before all images are decoded. Nothing else of this draft is used but whether
        // classes are asked for.
        let labels_required = self
            .draft(&base_table(candidate, objective.as_deref())?, table.clone(), &ANY)?
            .model
            .classes
            .is_some_and(|classes| classes > 0);
        let dataset = data.unpadded().open_with(cache_dir, labels_required)?;
        let images = shape(&dataset);
        let preset = preset.unwrap_or_else(|| images.preset().to_owned());
        let base = base_table(&preset, objective.as_deref())?;
        let mut config = self.draft(&base, table.clone(), &images)?;
        config.data = data;

        let multiple = *config.data.pad_to_multiple.get_or_insert(border_multiple(&config.model, &images));
        let dataset = dataset.with_border(multiple).map_err(explain)?;
        config.settle_labels(&dataset)?;
        config.settle_model(&shape(&dataset))?;
        config.schedule.settle()?;
        config.train.settle_objective();
        config.images = Some(described(&config, &dataset)?);
        config.validate()?;
        effects::check(&config, &table, &base)?;
        Ok(Resolved { config, preset, objective, dataset })
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

/// Images before they are known.
const ANY: ImageShape = ImageShape { height: 32, width: 32, channels: 1, classes: 0 };

/// The data by its whole path: a run resumed from another folder must find it, also where it is a part such as
/// `photos:test`.
fn located(mut data: DataConfig) -> Result<DataConfig, ConfigError> {
    data.source = data.at_home()?;
    let (path, part) = Split::of_spec(&data.source);
    if Path::new(path).exists() {
        let absolute = fs::canonicalize(path)
            .map_err(|error| ConfigError::DataPath { data: data.source.clone(), error })?;
        let part = part.map(|part| format!(":{part}")).unwrap_or_default();
        // A folder on the way may have a name that is not UTF-8, which no configuration can hold. Then what the user wrote
        // has to do: from this folder it is found.
        let texts = [Some(absolute), std::path::absolute(path).ok()];
        if let Some(text) = texts.iter().flatten().find_map(|path| path.to_str()) {
            data.source = format!("{text}{part}");
        }
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
        sha256: data.fingerprint().map_err(explain)?,
        class_names: config.model.classes.map_or(Vec::new(), |_| data.class_names().to_vec()),
        absent_classes: config.model.classes.map_or(Vec::new(), |classes| absent(classes, data)),
    })
}

/// The classes of the data, of those below `classes`, that no image has.
fn absent(classes: usize, data: &Dataset) -> Vec<usize> {
    let mut missing: BTreeSet<usize> = (0..classes.min(data.classes())).collect();
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

    fn source(layers: Layers<'_>) -> String {
        layers.resolve(None).unwrap().config.data.source
    }

    #[test]
    fn images_of_ones_own_are_not_mirrored_unless_asked_for() {
        let set = ["data.limit=20", "precision=f32"].map(|text| parse_set(text).unwrap());
        let flips = |layers: Layers<'_>| layers.resolve(None).unwrap().config.train.flip;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits.npy");
        let digits = ndarray::Array3::from_shape_fn((20, 28, 28), |(n, y, x)| (n + y * 3 + x * 5) as u8);
        dataset::write_npy(&path, &digits).unwrap();
        let data = path.to_str();
        for preset in [None, Some("fashion-28"), Some("tiny-16"), Some("images"), Some("small-32")] {
            let layers = Layers { preset, data, set: &set, ..Layers::default() };
            assert!(!flips(layers), "{preset:?}");
            let asked = [set.to_vec(), vec![parse_set("train.flip=true").unwrap()]].concat();
            assert!(flips(Layers { set: &asked, ..layers }), "{preset:?}");
        }
        for data in [None, Some("fashion-mnist"), Some("fashion-mnist:test")] {
            assert!(flips(Layers { data, set: &set, ..Layers::default() }), "{data:?}");
        }
    }

    #[test]
    fn a_part_stays_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        for (n, name) in ["train/1.png", "val/2.png"].into_iter().enumerate() {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = ndarray::Array3::from_elem((16, 16, 1), n as u8);
            dataset::save_png(&path, image.view()).unwrap();
        }
        let data = format!("{}:Val", folder.path().display());
        let whole = format!("{}:validation", folder.path().canonicalize().unwrap().display());
        assert_eq!(source(Layers { data: Some(&data), ..Layers::default() }), whole);
    }

    #[test]
    fn labels_are_strict_only_where_classes_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let data = path.to_str();
        let images = || ("images", ndarray::Array3::<u8>::zeros((6, 16, 16)).into());
        let resolve = |set: &[&str]| {
            let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
            Layers { data, set: &set, ..Layers::default() }.resolve(None).map_err(|e| e.to_string())
        };
        let many = ndarray::Array2::<u8>::ones((6, 14));
        dataset::write_npz(&path, &[images(), ("labels", many.into())]).unwrap();
        assert_eq!(resolve(&[]).unwrap().dataset.classes(), 0);
        let error = resolve(&["model.classes=14"]).map(|_| ()).unwrap_err();
        assert!(error.contains("one class an image"), "{error}");
        // Counted from 1: the error says why there is one class more.
        let from_one = ndarray::Array1::from_shape_fn(6, |n| 1 + n as i64 % 5);
        dataset::write_npz(&path, &[images(), ("labels", from_one.into())]).unwrap();
        let error = resolve(&["model.classes=5"]).map(|_| ()).unwrap_err();
        assert!(error.contains("model.classes=6") && error.contains("class 0 has no images"), "{error}");
    }

    #[test]
    fn a_file_that_unpacks_to_much_is_told_the_key() {
        let error = explain(dataset::DatasetError::Inflates {
            file: "a.npz".to_owned(),
            what: "the array".to_owned(),
            needed: (10 << 30) + 1,
            limit: 1,
        });
        assert!(
            error.is_data() && error.to_string().ends_with(": --set data.unpacked_limit=10241"),
            "{error}"
        );
    }

    #[test]
    fn the_home_folder_is_found_in_any_layer() {
        let home = std::env::home_dir().unwrap();
        let named =
            data_group("images", &toml::from_str("[data]\nsource = \"~/no such photos:test\"").unwrap());
        let text = located(named.unwrap()).unwrap().source;
        assert_eq!(text, format!("{}:test", home.join("no such photos").display()));
    }

    #[cfg(unix)]
    #[test]
    fn data_behind_a_name_that_is_not_utf_8_is_kept_as_written() {
        use std::os::unix::ffi::OsStringExt;
        let folder = tempfile::tempdir().unwrap();
        let strange = folder.path().join(std::ffi::OsString::from_vec(b"a\xff".to_vec()));
        fs::create_dir(&strange).unwrap();
        let link = folder.path().canonicalize().unwrap().join("link");
        std::os::unix::fs::symlink(&strange, &link).unwrap();
        let mut data = data_group("images", &Table::new()).unwrap();
        data.source = link.display().to_string();
        assert_eq!(located(data.clone()).unwrap().source, data.source);
    }

    #[test]
    fn classes_without_images_are_noted() {
        let set = ["data.limit=60", "model.classes=12"].map(|text| parse_set(text).unwrap());
        let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
        let images = layers.resolve(None).unwrap().config.images.unwrap();
        // The network has two more than the data.
        assert_eq!(images.learned_classes(12), (0..10).collect::<Vec<i64>>());
        let gap = ImagesConfig { absent_classes: vec![3], ..images };
        assert_eq!(gap.learned_classes(12), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        let set = ["data.limit=2", "model.classes=10"].map(|text| parse_set(text).unwrap());
        let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
        let two = layers.resolve(None).unwrap().config.images.unwrap();
        assert!(
            two.absent_classes.len() >= 8 && two.learned_classes(10).len() == 10 - two.absent_classes.len()
        );
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
