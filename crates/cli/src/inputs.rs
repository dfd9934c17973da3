//! What this process reads because a flag or a configuration names it. An output must not replace any of it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dataset::{Source, Split};

/// Something that is read.
struct Input {
    /// The flag that names it, such as `--data`.
    by: String,
    path: PathBuf,
    /// The images there, as the user names them; `None` for a file or a model.
    data: Option<String>,
}

static INPUTS: Mutex<Vec<Input>> = Mutex::new(Vec::new());

/// Remembers a file, a run or a model that `by` names.
pub(crate) fn remember_file(by: &str, path: &Path) {
    remember(Input { by: by.to_owned(), path: path.to_owned(), data: None });
}

/// Remembers images that `by` names, such as `photos:test`.
pub(crate) fn remember_data(by: &str, source: &str) {
    let path = PathBuf::from(Split::of_spec(source).0);
    remember(Input { by: by.to_owned(), path, data: Some(source.to_owned()) });
}

fn remember(input: Input) {
    if let Ok(mut inputs) = INPUTS.lock() {
        inputs.push(input);
    }
}

/// What names this existing path for reading: the file itself, or the folder of the model, run or images that it belongs
/// to. A folder of images is such a path too, since all images in it are read.
pub(crate) fn reader(path: &Path) -> Option<String> {
    let place = path.canonicalize().ok()?;
    let inputs = INPUTS.lock().ok()?;
    inputs.iter().find(|input| input.includes(&place)).map(|input| input.by.clone())
}

impl Input {
    /// Whether a path, without links, is part of it.
    fn includes(&self, place: &Path) -> bool {
        let Ok(input) = self.path.canonicalize() else { return false };
        match (place.strip_prefix(&input), &self.data) {
            (Ok(within), Some(data)) if input.is_dir() => is_of_data(data, place, within),
            (Ok(within), None) if input.is_dir() => is_of_model(within),
            _ => input == place,
        }
    }
}

/// Whether a file in a folder belongs to the model or run itself, and is not a result put there.
fn is_of_model(within: &Path) -> bool {
    const FOLDERS: [&str; 5] = ["unet", "scheduler", "checkpoints", "best", "averages"];
    const ENDINGS: [&str; 4] = ["json", "jsonl", "safetensors", "toml"];
    let mut parts = within.components();
    let first = parts.next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
    match parts.next() {
        Some(_) => FOLDERS.iter().any(|folder| first == *folder),
        None => has_ending(within, &ENDINGS),
    }
}

/// Whether a path in a folder of data is read with it. Images are found at any depth, so what is written into the folder
/// would become part of them.
fn is_of_data(source: &str, place: &Path, within: &Path) -> bool {
    const IMAGES: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];
    let is = |path: &Path| path.canonicalize().is_ok_and(|path| path == place);
    match Source::detect(source) {
        Ok(Source::Folder { .. }) => within.as_os_str().is_empty() || has_ending(within, &IMAGES),
        Ok(Source::Idx { images, labels }) => is(&images) || labels.is_some_and(|labels| is(&labels)),
        Ok(Source::Cifar { .. }) => has_ending(within, &["bin"]),
        Ok(Source::CifarArchive { path, .. }) => is(&path),
        _ => false,
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&&*ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list is shared by all tests of this process, so each has its own folder and its own name for the flag.
    #[test]
    fn images_are_read_and_results_beside_them_are_not() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["photos/a.png", "photos/cats/b.JPG", "photos/notes.txt", "out/a.png"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), b"\x89PNG\r\n\x1a\n").unwrap();
        }
        let photos = at("photos").to_str().unwrap().to_owned();
        remember_data("--photos", &format!("{photos}:test"));
        for read in ["photos", "photos/a.png", "photos/cats/b.JPG", "out/../photos/a.png"] {
            assert_eq!(reader(&at(read)).as_deref(), Some("--photos"), "{read}");
        }
        for free in ["photos/notes.txt", "photos/cats", "photos/new.png", "out", "out/a.png", ""] {
            assert_eq!(reader(&at(free)), None, "{free}");
        }
    }

    #[test]
    fn a_folder_of_other_data_may_have_pictures_in_it() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let batch = vec![0; 3073];
        std::fs::write(at("data_batch_1.bin"), &batch).unwrap();
        std::fs::write(at("grid.png"), "picture").unwrap();
        let source = place.path().to_str().unwrap();
        assert!(matches!(Source::detect(source), Ok(Source::Cifar { .. })), "{:?}", Source::detect(source));
        remember_data("--cifar", source);
        assert_eq!(reader(&at("data_batch_1.bin")).as_deref(), Some("--cifar"));
        assert_eq!((reader(&at("grid.png")), reader(place.path())), (None, None));
    }

    #[test]
    fn of_a_run_only_its_own_files_are_read() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["00003.png", "run/config.toml", "run/checkpoints/step-1/x", "run/samples/a.png"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
        }
        remember_file("--image", &at("00003.png"));
        remember_file("--run", &at("run"));
        assert_eq!(reader(&at("00003.png")).as_deref(), Some("--image"));
        for own in ["run/config.toml", "run/checkpoints/step-1/x"] {
            assert_eq!(reader(&at(own)).as_deref(), Some("--run"), "{own}");
        }
        for result in ["run", "run/samples/a.png"] {
            assert_eq!(reader(&at(result)), None, "{result}");
        }
    }
}
