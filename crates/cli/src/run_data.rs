//! The images of a run that may come from someone else. Its configuration has a path on the machine that trained it. On
//! this machine, that path may hold private images, which must not get into a report that the reader passes on.
//!
//! So a recorded path is used only if the images there have the hash that the run recorded, which shows that its author
//! had the same images. In all other cases `--data` is required.

use std::path::Path;

use crate::config::{self, Config, DataConfig};
use crate::failure::wrong_data;
use crate::inputs;

/// Most files and folders to visit before the hash is known: per image of the run, and in addition.
const ENTRIES_PER_IMAGE: usize = 10;
const FREE_ENTRIES: usize = 10_000;

/// Where the images of a run are: what the user names, or the recorded path if its images have the recorded hash.
pub(crate) fn locate(config: &Config, named: Option<&str>) -> anyhow::Result<DataConfig> {
    if let Some(source) = named {
        return Ok(DataConfig { source: source.to_owned(), ..config.data.clone() });
    }
    let source = &config.data.source;
    if source.is_empty() {
        return Err(wrong_data(
            "nothing is known of the images of this model; pass them with --data".to_owned(),
        ));
    }
    // The embedded images are public.
    if source.split(':').next() == Some("fashion-mnist") {
        return Ok(config.data.clone());
    }
    let known = config.images.as_ref().map(|images| images.sha256.as_str()).unwrap_or_default();
    let advice = "pass them with --data";
    let with_advice = |error: anyhow::Error| wrong_data(format!("{error:#}; {advice}"));
    check_extent(config).map_err(with_advice)?;
    let data = config::open(&config.data).map_err(with_advice)?;
    if known != data.fingerprint_like(known)? {
        let text = format!("the images of {source} are not those that the run was trained on; {advice}");
        return Err(wrong_data(text));
    }
    inputs::remember_data("the data of the run", source);
    Ok(config.data.clone())
}

/// Refuses a folder that holds far more than the run's images: searching `/` would take minutes.
pub(crate) fn check_extent(config: &Config) -> anyhow::Result<()> {
    let source = &config.data.source;
    let count = config.images.as_ref().map_or(0, |images| images.count);
    let most = count.saturating_mul(ENTRIES_PER_IMAGE).saturating_add(FREE_ENTRIES);
    let bare = [":train", ":test"].iter().find_map(|part| source.strip_suffix(part)).unwrap_or(source);
    let mut folders = vec![Path::new(bare).to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            seen += 1;
            if seen > most {
                let images = files::counted(count, "image");
                return Err(wrong_data(format!(
                    "{source} holds more than {most} files, and the run was trained on {images}"
                )));
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ImagesConfig;

    fn config(source: &Path, sha256: &str, count: usize) -> Config {
        let mut config = config::preset_table("tiny-16")
            .unwrap()
            .try_into::<Config>()
            .unwrap_or_else(|error| panic!("{error}"));
        source.to_str().unwrap().clone_into(&mut config.data.source);
        config.data.size = Some(2.into());
        let images = ImagesConfig { sha256: sha256.to_owned(), count, ..ImagesConfig::square(2, 1) };
        config.images = Some(images);
        config
    }

    #[test]
    fn a_recorded_place_is_used_when_its_images_are_those_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let image = ndarray::Array3::from_elem((2, 2, 1), 7_u8);
        dataset::save_png(&folder.path().join("private.png"), image.view()).unwrap();
        let sha256 = config::open(&config(folder.path(), "", 1).data).unwrap().fingerprint().unwrap();
        let own = config(folder.path(), &sha256, 1);
        assert_eq!(locate(&own, None).unwrap(), own.data);
        let foreign = config(folder.path(), &"0".repeat(64), 1);
        assert!(locate(&foreign, None).unwrap_err().to_string().contains("--data"));
        // Images that the user names need no check.
        assert_eq!(locate(&foreign, Some("mine")).unwrap().source, "mine");
    }

    #[test]
    fn a_far_too_large_folder_is_not_searched() {
        let folder = tempfile::tempdir().unwrap();
        (0..=FREE_ENTRIES)
            .for_each(|n| drop(std::fs::File::create(folder.path().join(n.to_string())).unwrap()));
        assert!(
            check_extent(&config(folder.path(), "", 0)).unwrap_err().to_string().contains("more than 10000")
        );
        check_extent(&config(folder.path(), "", 1)).unwrap();
    }
}
