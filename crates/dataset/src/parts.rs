//! Selects images from a listing: one part of a dataset that is split into parts, and the classes of its images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::DatasetError;
use crate::scan::{Entry, class_labels};
use crate::split::Split;

/// The images of one part, or all images, with their labels.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) entries: Vec<Entry>,
    pub(crate) class_names: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Selects `part` of `entries`; by default the training part if there are parts. `name` is for error messages.
///
/// The folders of one level are parts if all are named like parts, or if one is for training and another for something
/// else; everything beside them is left out. That level may be below folders that all images share
/// (`photos/train/cat/1.png`), or inside the classes (`cat/train/1.png`).
pub(crate) fn take(name: &str, entries: Vec<Entry>, part: Option<Split>) -> Result<Taken, DatasetError> {
    let paths: Vec<Folders> = entries.iter().map(|entry| folders(&entry.relative)).collect();
    let Some(level) = level(&paths) else {
        return match part {
            Some(asked) => Err(DatasetError::NoPart { file: name.to_owned(), asked, found: Vec::new() }),
            None => Ok(all(entries, &paths)),
        };
    };
    let of = |folders: &Folders| folders.get(level.at).and_then(|name| Split::of_folder(name));
    let mut counts: BTreeMap<Option<Split>, usize> = BTreeMap::new();
    paths.iter().for_each(|folders| *counts.entry(of(folders)).or_default() += 1);
    let wanted = part.unwrap_or_default();
    if !counts.contains_key(&Some(wanted)) {
        let found = counts.into_keys().flatten().collect();
        return Err(DatasetError::NoPart { file: name.to_owned(), asked: wanted, found });
    }

    // Without the folder of the part and the shared folders, a path starts with the class.
    let mut training: Vec<PathBuf> = Vec::new();
    let mut chosen: Vec<(PathBuf, Entry)> = Vec::new();
    for (entry, folders) in entries.into_iter().zip(&paths) {
        let part = of(folders);
        let kept = |(at, _): &(usize, _)| *at >= level.shared && *at != level.at;
        let path: PathBuf = entry.relative.components().enumerate().filter(kept).map(|(_, c)| c).collect();
        if part == Some(Split::Train) {
            training.push(path.clone());
        }
        if part == Some(wanted) {
            chosen.push((path, entry));
        }
    }
    training.sort();
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    let (names, labels) = class_labels(chosen.iter().map(|(path, _)| path.as_path()));
    // A class has the same label as in training, even if a part lacks some classes.
    let mut class_names = class_labels(training.iter().map(PathBuf::as_path)).0;
    if names.is_empty() {
        class_names.clear();
    }
    let numbers: Vec<u32> = names.iter().map(|name| number(&mut class_names, name)).collect();
    let mut entries: Vec<Entry> = chosen.into_iter().map(|(_, entry)| entry).collect();
    for (entry, label) in entries.iter_mut().zip(labels) {
        entry.label = numbers.get(label as usize).copied();
    }
    Ok(Taken { entries, class_names, notes: vec![note(wanted, &counts)] })
}

/// Selects all images. The class is the first folder that the images do not all share, since an archive often has its
/// own name around everything.
fn all(mut entries: Vec<Entry>, paths: &[Folders]) -> Taken {
    let mut notes = Vec::new();
    let shared = shared(paths);
    // If a single folder directly contains all images, it is their class.
    let around = if paths.iter().all(|folders| folders.len() == shared) { 0 } else { shared };
    let inner = |entry: &Entry| entry.relative.components().skip(around).collect::<PathBuf>();
    let inner: Vec<PathBuf> = entries.iter().map(inner).collect();
    let (class_names, labels) = class_labels(inner.iter().map(PathBuf::as_path));
    if class_names.is_empty() && inner.iter().any(|path| path.components().nth(1).is_some()) {
        notes.push(
            "there are images next to sub-folders with images: all are used, without labels".to_owned(),
        );
    } else if let (true, [first, ..]) = (around > 0 && !class_names.is_empty(), paths) {
        notes.push(format!("the classes are the sub-folders of {}", first[..around].join("/")));
    }
    if let Some(deep) =
        inner.iter().find(|path| !class_names.is_empty() && path.components().nth(2).is_some())
    {
        notes.push(format!("sub-folders of a class belong to it, such as {}", deep.display()));
    }
    for part in class_names.iter().filter(|name| Split::of_folder(name).is_some()) {
        notes.push(format!(
            "the folder {part} is treated as a class, because there is no other part beside it; give that folder alone to train \
             on it"
        ));
    }
    for (entry, label) in entries.iter_mut().zip(labels) {
        entry.label = Some(label);
    }
    Taken { entries, class_names, notes }
}

/// The index of a class in the list; a new class is appended.
fn number(class_names: &mut Vec<String>, name: &str) -> u32 {
    let place = class_names.iter().position(|known| known == name).unwrap_or_else(|| {
        class_names.push(name.to_owned());
        class_names.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn note(taken: Split, counts: &BTreeMap<Option<Split>, usize>) -> String {
    let left = counts.iter().filter(|(part, _)| **part != Some(taken)).map(|(part, count)| match part {
        Some(part) => format!("{count} of the {part} part"),
        None => format!("{count} outside of the parts"),
    });
    let left: Vec<String> = left.collect();
    let count = counts.get(&Some(taken)).copied().unwrap_or(0);
    let rest = if left.is_empty() { String::new() } else { format!("; left out: {}", left.join(", ")) };
    format!("using the {taken} part, {}{rest}", files::counted(count, "image"))
}

/// Names of the folders that contain an image, outermost first.
type Folders = Vec<String>;

fn folders(relative: &Path) -> Folders {
    let parent = relative.parent().unwrap_or(Path::new(""));
    parent.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect()
}

/// The level of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    /// Which folder of a path names the part, counted from 0.
    at: usize,
    /// How many folders before it are the same for all images.
    shared: usize,
}

/// How many of the outermost folders all images share.
fn shared(paths: &[Folders]) -> usize {
    let Some(first) = paths.first() else { return 0 };
    let same = |at: &usize| paths.iter().all(|folders| folders.get(*at) == Some(&first[*at]));
    (0..first.len()).take_while(same).count()
}

fn level(paths: &[Folders]) -> Option<Level> {
    let shared = shared(paths);
    let names = |at: usize| -> BTreeSet<Option<&String>> { paths.iter().map(|f| f.get(at)).collect() };
    let parts = |at: usize| -> (BTreeSet<Split>, bool) {
        let found: Vec<_> = names(at).into_iter().map(|name| Split::of_folder(name?)).collect();
        (found.iter().flatten().copied().collect(), found.iter().all(Option::is_some))
    };
    for at in 0..=shared {
        let (found, all) = parts(at);
        if all || (found.len() > 1 && found.contains(&Split::Train)) {
            return Some(Level { at, shared: at });
        }
    }
    // Below the classes: each class must be split into parts.
    let (found, all) = parts(shared + 1);
    (all && found.len() > 1 && found.contains(&Split::Train)).then_some(Level { at: shared + 1, shared })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(paths: &[&str]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = paths.iter().map(|path| Entry::example(path)).collect();
        entries.sort_by(|a, b| a.relative.cmp(&b.relative));
        entries
    }

    /// Paths and labels.
    type Labelled = Vec<(String, Option<u32>)>;

    /// The selected images, the classes, and the notes.
    fn taken(paths: &[&str], part: Option<Split>) -> (Labelled, Vec<String>, String) {
        let taken = take("photos", listed(paths), part).unwrap();
        let entries = taken.entries.iter().map(|e| (e.relative.display().to_string(), e.label)).collect();
        (entries, taken.class_names, taken.notes.join("\n"))
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_training_part_is_the_default_and_any_can_be_requested() {
        let paths = ["Train/cat/1", "Train/dog/2", "validation/dog/3", "TEST/dog/4", "TEST/owl/5"];
        let (entries, classes, note) = taken(&paths, None);
        assert_eq!(entries, [("Train/cat/1".to_owned(), Some(0)), ("Train/dog/2".to_owned(), Some(1))]);
        assert_eq!(classes, names(&["cat", "dog"]));
        assert_eq!(
            note,
            "using the train part, 2 images; left out: 1 of the validation part, 2 of the test part"
        );
        assert_eq!(taken(&paths, Some(Split::Train)).0, entries);
        // Labels are those of training; a class that only the test part has comes last.
        let (entries, classes, _) = taken(&paths, Some(Split::Test));
        assert_eq!(entries, [("TEST/dog/4".to_owned(), Some(1)), ("TEST/owl/5".to_owned(), Some(2))]);
        assert_eq!(classes, names(&["cat", "dog", "owl"]));
    }

    #[test]
    fn parts_may_be_flat_below_other_folders_or_inside_the_classes() {
        let (entries, classes, _) = taken(&["train/1", "test/2"], None);
        assert_eq!((entries, classes.len()), (vec![("train/1".to_owned(), None)], 0));
        let (entries, classes, _) = taken(&["a/b/train/cat/1", "a/b/test/cat/2"], None);
        assert_eq!((entries.len(), classes), (1, names(&["cat"])));
        let (entries, classes, _) = taken(&["cat/train/1", "cat/val/2", "dog/train/3"], None);
        assert_eq!(entries, [("cat/train/1".to_owned(), Some(0)), ("dog/train/3".to_owned(), Some(1))]);
        assert_eq!(classes, names(&["cat", "dog"]));
        let (entries, _, note) = taken(&["train/1", "val/2", "docs/3", "4"], None);
        assert_eq!(entries.len(), 1);
        assert!(note.contains("2 outside of the parts"), "{note}");
    }

    #[test]
    fn classes_with_the_name_of_a_part_stay_classes() {
        let (entries, classes, _) = taken(&["train/1", "bus/2"], None);
        assert_eq!((entries.len(), classes), (2, names(&["bus", "train"])));
        let (_, classes, _) = taken(&["car/test/1", "car/other/2", "bus/3"], None);
        assert_eq!(classes, names(&["bus", "car"]));
        let (_, classes, note) = taken(&["train/cat/1", "extra/cat/2"], None);
        assert_eq!(classes, names(&["extra", "train"]));
        assert!(
            note.contains("the folder train is treated as a class") && note.contains("extra/cat/2"),
            "{note}"
        );
    }

    #[test]
    fn a_folder_around_everything_is_not_a_class() {
        let (entries, classes, note) = taken(&["top/cat/1", "top/dog/2"], None);
        assert_eq!(entries, [("top/cat/1".to_owned(), Some(0)), ("top/dog/2".to_owned(), Some(1))]);
        assert_eq!(
            (classes, note.as_str()),
            (names(&["cat", "dog"]), "the classes are the sub-folders of top")
        );
        let (_, classes, note) = taken(&["a/b/cat/1", "a/b/dog/2"], None);
        assert_eq!(
            (classes, note.as_str()),
            (names(&["cat", "dog"]), "the classes are the sub-folders of a/b")
        );
        // A single class stays a class.
        let (_, classes, note) = taken(&["cat/1", "cat/2"], None);
        assert_eq!((classes, note.as_str()), (names(&["cat"]), ""));
        let (entries, classes, note) = taken(&["top/1", "top/dog/2"], None);
        assert_eq!((entries[0].1, classes.len()), (None, 0));
        assert!(note.contains("without labels"), "{note}");
    }

    #[test]
    fn a_missing_part_is_an_error_that_names_the_others() {
        let error = |paths: &[&str], part| take("photos", listed(paths), part).unwrap_err().to_string();
        let text = error(&["train/1", "val/2"], Some(Split::Test));
        assert!(text.contains("expected a test part, found train and validation"), "{text}");
        let text = error(&["test/1", "val/2"], None);
        assert!(text.contains("append :validation to use that part"), "{text}");
        for part in Split::ALL {
            let text = error(&["cat/1", "dog/2"], Some(part));
            assert!(text.contains("found no parts"), "{text}");
        }
    }
}
