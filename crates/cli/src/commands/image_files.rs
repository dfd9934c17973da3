//! The single images of a sampling, `00003.png` or `00003-sneaker.png`: their names, and what becomes of the files that an
//! earlier sampling left in the same folder.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use tracing::{info, warn};

use crate::{inputs, output, own_png};

/// Digits of a number, at least.
const DIGITS: usize = 5;
/// Most characters of a class in a file name.
const CLASS: usize = 40;
/// A larger file is not read, so it stays.
const MAX_BYTES: u64 = 1 << 30;

/// The file name of image `number`, with its class if it has one.
pub(crate) fn name(number: usize, class: Option<i64>, names: &[String]) -> String {
    match class.and_then(|label| usize::try_from(label).ok()) {
        Some(label) => format!("{number:05}-{}.png", class_text(label, names)),
        None => format!("{number:05}.png"),
    }
}

/// A class as lower-case ASCII letters, digits and single hyphens.
fn class_text(label: usize, names: &[String]) -> String {
    let mut text = String::new();
    for c in names.get(label).map_or("", String::as_str).chars() {
        if c.is_ascii_alphanumeric() {
            text.push(c.to_ascii_lowercase());
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
        if text.len() == CLASS {
            break;
        }
    }
    let text = text.trim_end_matches('-');
    if text.is_empty() { format!("class-{label}") } else { text.to_owned() }
}

/// The number of the image that has this file name; `None` for any name that [`name`] does not give.
fn number(name: &str) -> Option<usize> {
    let stem = name.strip_suffix(".png")?;
    let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    let (digits, class) = stem.split_at(end);
    let is_class = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let known = class.is_empty() || class.strip_prefix('-').is_some_and(is_class);
    let padded = digits.len() == DIGITS || (digits.len() > DIGITS && !digits.starts_with('0'));
    if known && padded { digits.parse().ok() } else { None }
}

/// Files in the folder of a sampling that have the names of single images.
pub(crate) struct Earlier {
    /// Those not yet dealt with.
    files: Vec<(usize, String)>,
    /// Those that are not unchanged files of the program, so they stay.
    foreign: Vec<(usize, String)>,
}

impl Earlier {
    /// Lists a folder, which need not exist.
    pub(crate) fn find(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut files: Vec<_> = names.filter_map(|name| Some((number(&name)?, name))).collect();
        files.sort();
        Self { files, foreign: Vec::new() }
    }

    /// Those with a number in a range, with their numbers.
    pub(crate) fn within<'a>(
        &'a self,
        range: &'a Range<usize>,
    ) -> impl Iterator<Item = (usize, &'a str)> + 'a {
        let files = self.files.iter().map(|(number, name)| (*number, &**name));
        files.filter(move |(number, _)| range.contains(number))
    }

    /// Removes earlier images before the images `range` are written, whose names are `new`: those of the same numbers, and
    /// with `all` every other one too. A file of one of the new names stays, to be replaced.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub(crate) fn make_way(
        &mut self,
        folder: &Path,
        (range, new): (&Range<usize>, &[String]),
        all: bool,
    ) -> anyhow::Result<()> {
        let files = std::mem::take(&mut self.files);
        let (concerned, rest): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(number, _)| all || range.contains(number));
        self.files = rest;
        let mut removed = 0;
        for (number, name) in concerned {
            let path = folder.join(&name);
            if number.checked_sub(range.start).and_then(|place| new.get(place)) == Some(&name) {
                continue;
            }
            if is_own(&path) {
                fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
                removed += 1;
            } else {
                self.foreign.push((number, name));
            }
        }
        if removed > 0 {
            info!("removed {} of an earlier sampling from {}", output::images(removed), folder.display());
        }
        Ok(())
    }

    /// Warns of files that stay among the new images; `is_new` tells which have been replaced meanwhile.
    pub(crate) fn warn_of_foreign(&self, folder: &Path, is_new: impl Fn(usize, &str) -> bool) {
        let mut left = self.foreign.iter().filter(|(number, name)| !is_new(*number, name));
        if let Some((_, name)) = left.next() {
            warn!(
                "{}: kept {} named like a sample, such as {name}: ddpm did not write it, it was changed since, or this command \
                 reads it; move such files, or choose another --out",
                folder.display(),
                output::images(1 + left.count()),
            );
        }
    }
}

/// Whether a file is an unchanged image of the program, and no flag names it as an input.
fn is_own(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file
        && inputs::reader(path).is_none()
        && files::read_regular(path, MAX_BYTES).is_ok_and(|bytes| own_png::is_marked(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    fn own() -> Vec<u8> {
        own_png::marked(dataset::encode_png(ndarray::Array3::zeros((2, 2, 1)).view()).unwrap())
    }

    /// A folder with files of the program and of someone else.
    fn folder(own_names: &[&str], foreign: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in own_names {
            fs::write(folder.path().join(name), own()).unwrap();
        }
        for name in foreign {
            fs::write(folder.path().join(name), "mine").unwrap();
        }
        folder
    }

    fn listed(folder: &tempfile::TempDir) -> Vec<String> {
        let mut found: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        found
    }

    #[test]
    fn names_carry_the_class_in_safe_characters() {
        let classes = names(&["Sneaker", "T-shirt/top", "../..", "雪", "Ankle boot ", &"x".repeat(90)]);
        let name = |number, class| name(number, class, &classes);
        assert_eq!(name(3, None), "00003.png");
        assert_eq!(name(3, Some(-1)), "00003.png");
        assert_eq!(name(3, Some(0)), "00003-sneaker.png");
        assert_eq!(name(123_456, Some(1)), "123456-t-shirt-top.png");
        assert_eq!([name(0, Some(2)), name(0, Some(3))], ["00000-class-2.png", "00000-class-3.png"]);
        assert_eq!(name(1, Some(4)), "00001-ankle-boot.png");
        assert_eq!(name(1, Some(5)), format!("00001-{}.png", "x".repeat(CLASS)));
        // A network may have more classes than the data has names.
        assert_eq!(name(1, Some(9)), "00001-class-9.png");
        for number_of in [0, 7, 99_999, 100_000, 1_234_567] {
            for class in (-1..10).map(Some) {
                assert_eq!(number(&name(number_of, class)), Some(number_of));
            }
        }
        for other in ["grid.png", "0001.png", "000001.png", "00001.jpg", "00001-.png", "00001-A.png"] {
            assert_eq!(number(other), None, "{other}");
        }
        for other in ["00001 copy.png", "00001_a.png", "-00001.png", "00001.png.png", ""] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn a_new_sampling_leaves_none_of_an_earlier_one() {
        let own = ["00000.png", "00001.png", "00001-bag.png", "00002.png", "00130.png"];
        let folder = folder(&own, &["00003.png", "grid.png", "photo.png"]);
        let mut earlier = Earlier::find(folder.path());
        earlier.make_way(folder.path(), (&(0..2), &names(&["00000.png", "00001.png"])), true).unwrap();
        let left = ["00000.png", "00001.png", "00003.png", "grid.png", "photo.png"];
        assert_eq!(listed(&folder), left);
        // The images written meanwhile are not old ones.
        earlier.make_way(folder.path(), (&(2..4), &names(&["00002.png", "00003.png"])), true).unwrap();
        assert_eq!(listed(&folder), left);
        assert_eq!(earlier.foreign, [(3, "00003.png".to_owned())]);
    }

    #[test]
    fn a_continued_sampling_removes_the_same_numbers_only() {
        let folder = folder(&["00000.png", "00002-bag.png", "00003.png", "00004.png"], &["00002-hat.png"]);
        let mut earlier = Earlier::find(folder.path());
        earlier.make_way(folder.path(), (&(2..4), &names(&["00002.png", "00003.png"])), false).unwrap();
        assert_eq!(listed(&folder), ["00000.png", "00002-hat.png", "00003.png", "00004.png"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_folders_stay() {
        let folder = folder(&["photo.png"], &[]);
        std::os::unix::fs::symlink("photo.png", folder.path().join("00007.png")).unwrap();
        fs::create_dir(folder.path().join("00008.png")).unwrap();
        let mut earlier = Earlier::find(folder.path());
        earlier.make_way(folder.path(), (&(0..1), &names(&["00000.png"])), true).unwrap();
        assert_eq!(listed(&folder), ["00007.png", "00008.png", "photo.png"]);
    }
}
