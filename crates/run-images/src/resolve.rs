//! Builds a complete [`Config`] from layers and opens its images.

use std::collections::BTreeSet;
use std::path::Path;

use config::{Config, ImageShape, ImagesConfig, Layers, Settled};
use dataset::Dataset;

use crate::error::DataError;
use crate::open::{located, open_with, with_notes};

/// A complete configuration with its images.
pub struct Resolved {
    /// Valid, with [`Config::images`] filled in.
    pub config: Config,
    /// The preset it is based on.
    pub preset: String,
    /// The objective on top of it, if one was named.
    pub objective: Option<String>,
    /// The images that `config.data` names.
    pub dataset: Dataset,
}

/// Merges the layers, opens the data, and fills in what follows from it. `cache_dir` is where decoded images are kept
/// for the next start.
///
/// # Errors
/// The first mistake, or the reason why the data cannot be read; [`DataError::is_usage`] distinguishes them.
pub fn resolve(layers: &Layers<'_>, cache_dir: Option<&Path>) -> Result<Resolved, DataError> {
    let data = located(layers.data_group()?)?;
    // Report a mistyped key before decoding all images.
    let dataset = open_with(&data.unpadded(), cache_dir, layers.wants_labels()?)?;
    let (height, width, channels) = dataset.shape();
    let images = ImageShape { height, width, channels, classes: dataset.classes() };
    let settled = layers.settle_with(&images, Some(data)).map_err(|error| with_notes(error, &dataset))?;
    let Settled { mut config, preset, objective } = settled;
    let dataset = dataset.with_border(config.data.pad_to_multiple.unwrap_or(1))?;
    config.images = Some(described(&config, &dataset)?);
    config.validate()?;
    Ok(Resolved { config, preset, objective, dataset })
}

/// Describes the data for the configuration.
fn described(config: &Config, data: &Dataset) -> Result<ImagesConfig, DataError> {
    let (height, width, channels) = data.shape();
    let padding = data.padding();
    Ok(ImagesConfig {
        height,
        width,
        channels,
        padding: [padding.top, padding.bottom, padding.left, padding.right],
        count: data.len(),
        sha256: data.fingerprint()?,
        class_names: config.model.classes.map_or(Vec::new(), |_| data.class_names().to_vec()),
        absent_classes: config.model.classes.map_or(Vec::new(), |classes| absent(classes, data)),
    })
}

/// The classes below `classes` in the data that have no images.
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
    use config::{UserFile, parse_set};
    use std::fs;

    #[test]
    fn the_presets_chosen_by_image_size_have_the_same_data() {
        let group = |preset| Layers { preset: Some(preset), ..Layers::default() }.data_group().unwrap();
        assert_eq!(group("images"), group("fashion-28"));
    }

    #[test]
    fn the_embedded_set_resolves_by_its_shape() {
        let set = [parse_set("data.limit=20").unwrap(), parse_set("precision=f32").unwrap()];
        let file = UserFile { name: "a".to_owned(), text: "[train]\nsteps = 5".to_owned() };
        let layers = Layers { file: Some(&file), set: &set, ..Layers::default() };
        let resolved = resolve(&layers, None).unwrap();
        assert_eq!(resolved.preset, "fashion-28");
        let images = resolved.config.images.clone().unwrap();
        assert_eq!((images.height, images.width, images.channels, images.count), (28, 28, 1, 20));
        let pure = layers.settle(&ImageShape { height: 28, width: 28, channels: 1, classes: 10 }).unwrap();
        assert_eq!(pure, Config { images: None, ..resolved.config });
    }

    fn source(layers: Layers<'_>) -> String {
        resolve(&layers, None).unwrap().config.data.source
    }

    #[test]
    fn user_images_are_not_mirrored_by_default() {
        let set = ["data.limit=20", "precision=f32"].map(|text| parse_set(text).unwrap());
        let flips = |layers: Layers<'_>| resolve(&layers, None).unwrap().config.train.flip;
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
            let layers = Layers { data, set: &set, ..Layers::default() };
            assert!(!flips(layers), "{data:?}");
            // As the peers that it is compared with.
            assert!(flips(Layers { preset: Some("small-32"), ..layers }), "{data:?}");
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
    fn labels_are_strict_only_when_classes_are_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let data = path.to_str();
        let images = || ("images", ndarray::Array3::<u8>::zeros((6, 16, 16)).into());
        let resolve = |set: &[&str]| {
            let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
            resolve(&Layers { data, set: &set, ..Layers::default() }, None).map_err(|e| e.to_string())
        };
        let many = ndarray::Array2::<u8>::ones((6, 14));
        dataset::write_npz(&path, &[images(), ("labels", many.into())]).unwrap();
        assert_eq!(resolve(&[]).unwrap().dataset.classes(), 0);
        let error = resolve(&["model.classes=14"]).map(|_| ()).unwrap_err();
        assert!(error.contains("one class per image"), "{error}");
        // Labels counted from 1: the error explains the extra class.
        let from_one = ndarray::Array1::from_shape_fn(6, |n| 1 + n as i64 % 5);
        dataset::write_npz(&path, &[images(), ("labels", from_one.into())]).unwrap();
        let error = resolve(&["model.classes=5"]).map(|_| ()).unwrap_err();
        assert!(error.contains("model.classes=6") && error.contains("class 0 has no images"), "{error}");
    }

    #[test]
    fn the_home_folder_is_expanded_in_any_layer() {
        let home = std::env::home_dir().unwrap();
        let file =
            UserFile { name: "a".to_owned(), text: "[data]\nsource = \"~/no such photos:test\"".to_owned() };
        let named = Layers { file: Some(&file), ..Layers::default() }.data_group();
        let text = located(named.unwrap()).unwrap().source;
        assert_eq!(text, format!("{}:test", home.join("no such photos").display()));
    }

    #[test]
    fn a_pattern_of_shards_gets_its_folder() {
        let mut data = Layers::default().data_group().unwrap();
        data.source = "no such folder/a-{0..3}.tar:val".to_owned();
        let folder = std::env::current_dir().unwrap().join("no such folder");
        let want = format!("{}/a-{{0..3}}.tar:validation", folder.display());
        assert_eq!(located(data).unwrap().source, want);
    }

    #[cfg(unix)]
    #[test]
    fn a_source_below_a_non_utf_8_folder_is_kept_as_written() {
        use std::os::unix::ffi::OsStringExt;
        let folder = tempfile::tempdir().unwrap();
        let strange = folder.path().join(std::ffi::OsString::from_vec(b"a\xff".to_vec()));
        fs::create_dir(&strange).unwrap();
        let link = folder.path().canonicalize().unwrap().join("link");
        std::os::unix::fs::symlink(&strange, &link).unwrap();
        let mut data = Layers::default().data_group().unwrap();
        data.source = link.display().to_string();
        assert_eq!(located(data.clone()).unwrap().source, data.source);
    }

    #[test]
    fn classes_without_images_are_noted() {
        let set = ["data.limit=60", "model.classes=12"].map(|text| parse_set(text).unwrap());
        let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
        let images = resolve(&layers, None).unwrap().config.images.unwrap();
        // The network has two more classes than the data.
        assert_eq!(images.learned_classes(12), (0..10).collect::<Vec<i64>>());
        let gap = ImagesConfig { absent_classes: vec![3], ..images };
        assert_eq!(gap.learned_classes(12), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        let set = ["data.limit=2", "model.classes=10"].map(|text| parse_set(text).unwrap());
        let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
        let two = resolve(&layers, None).unwrap().config.images.unwrap();
        assert!(
            two.absent_classes.len() >= 8 && two.learned_classes(10).len() == 10 - two.absent_classes.len()
        );
        assert_eq!(ImagesConfig::square(8, 1).learned_classes(3), [0, 1, 2]);
    }

    #[test]
    fn an_unknown_source_is_a_usage_error() {
        let error =
            |data| resolve(&Layers { data: Some(data), ..Layers::default() }, None).map(|_| ()).unwrap_err();
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
