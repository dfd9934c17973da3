//! Lists the images of tar shards in WebDataset's layout: the files of one sample share their path up to the first dot of
//! the name, `000017.jpg` with its class in `000017.cls`, and lie next to each other. A tar archive of folders of images
//! is read like these folders.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::DatasetError;
use crate::handles::Handles;
use crate::labels::Labels;
use crate::limits::{MAX_ENCODED_IMAGE, check_size};
use crate::parts::take;
use crate::scan::{Entry, Others, Place, is_hidden, named_as_image};
use crate::shard_names::{choose, expand, in_folder};
use crate::shards::{Shard, Shards, Spot};
use crate::split::Split;
use crate::tar::FORMAT;
use crate::tar_members::{Found, Members};

/// What the shards of a set hold.
#[derive(Debug)]
pub(crate) struct Sharded {
    pub(crate) shards: Shards,
    pub(crate) class_names: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Lists the images of one shard, of a folder of shards or of a pattern, in the order of the shards.
pub(crate) fn list(path: &Path, part: Option<Split>, labels_required: bool) -> Result<Sharded, DatasetError> {
    let name = path.display().to_string();
    let chosen = choose(&name, paths(path)?, part)?;
    let (mut files, handles) = (Vec::with_capacity(chosen.shards.len()), Handles::new());
    let mut gather = Gather { names: Some(Vec::new()), ..Gather::default() };
    for (number, path) in chosen.shards.iter().enumerate() {
        let (shard, file) = Shard::open(path, number, &handles)?;
        let shard_name = path.display().to_string();
        gather.shard(number as u32, &shard_name, &mut Members::new(&shard_name, &file, shard.length))?;
        files.push(shard);
    }
    let mut notes = Vec::from_iter(chosen.note);
    notes.extend(gather.others.note());
    notes.extend((gather.special > 0).then(|| format!("left out: {} links and devices", gather.special)));
    if gather.spots.is_empty() {
        let others = files::counted(gather.others.count, "other file");
        let hint = format!(" ({others} in {})", files::counted(files.len(), "shard"));
        return Err(DatasetError::Empty { file: name, hint });
    }
    let shards = Shards { files: Arc::new(files), spots: gather.spots, labels: None };
    if let Some(names) = gather.names {
        return by_folders(&name, shards, names, part.filter(|_| !chosen.decided), notes);
    }
    if let Some(asked) = part.filter(|_| !chosen.decided) {
        return Err(DatasetError::NoPart { file: name, asked, found: Vec::new() });
    }
    let (expected, got) = (shards.len(), gather.labels.len());
    let read = match gather.wrong_label {
        Some(error) => Err(error),
        None if expected != got => Err(DatasetError::LabelCount { file: name.clone(), expected, got }),
        None => Ok(gather.labels),
    };
    let Labels { labels, class_names, note } = Labels::new(&name, read, labels_required)?;
    notes.extend(note);
    Ok(Sharded { shards: Shards { labels, ..shards }, class_names, notes })
}

fn paths(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if path.is_dir() {
        let none = || DatasetError::Empty { file: path.display().to_string(), hint: String::new() };
        return in_folder(path, "tar")?.ok_or_else(none);
    }
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |reason| DatasetError::UnknownSource { spec: path.display().to_string(), reason };
    expand(&path.to_string_lossy()).map_err(wrong)
}

/// Classes and parts by the folders within the shards, as for a folder of images. The order of the shards stays, so that
/// images that lie next to each other can be read together.
fn by_folders(
    name: &str,
    shards: Shards,
    names: Vec<String>,
    part: Option<Split>,
    mut notes: Vec<String>,
) -> Result<Sharded, DatasetError> {
    if part.is_none() && !names.iter().any(|name| name.contains('/')) {
        return Ok(Sharded { shards, class_names: Vec::new(), notes });
    }
    let shards = Arc::new(shards);
    let entry = |(index, name): (usize, String)| Entry {
        place: Place::Member(Arc::clone(&shards), index),
        relative: PathBuf::from(name),
        label: None,
        length: 0,
        modified: 0,
    };
    let mut entries: Vec<Entry> = names.into_iter().enumerate().map(entry).collect();
    entries.sort_by(|a, b| a.relative.cmp(&b.relative));
    let taken = take(name, entries, part)?;
    notes.extend(taken.notes);
    let index = |entry: &Entry| match entry.place {
        Place::Member(_, index) => Some((index, entry.label.unwrap_or(0))),
        _ => None,
    };
    let mut chosen: Vec<(usize, u32)> = taken.entries.iter().filter_map(index).collect();
    chosen.sort_unstable();
    let (indices, labels): (Vec<usize>, Vec<u32>) = chosen.into_iter().unzip();
    let labels = (!taken.class_names.is_empty()).then_some(labels);
    Ok(Sharded {
        shards: Shards { labels, ..shards.select(&indices) },
        class_names: taken.class_names,
        notes,
    })
}

/// What was found so far.
#[derive(Debug, Default)]
struct Gather {
    spots: Vec<Spot>,
    /// Their paths, as long as no sample has a class of its own.
    names: Option<Vec<String>>,
    labels: Vec<u32>,
    /// The first class that cannot be used.
    wrong_label: Option<DatasetError>,
    others: Others,
    special: usize,
    sample: Sample,
}

/// The files of one sample.
#[derive(Debug, Default)]
struct Sample {
    key: String,
    images: Vec<(Spot, String)>,
    label: Option<u32>,
}

impl Gather {
    fn shard(&mut self, number: u32, name: &str, members: &mut Members<'_>) -> Result<(), DatasetError> {
        while let Some(found) = members.advance()? {
            let Some(path) = inner(name, &found)? else { continue };
            let (key, ending) = key_and_ending(&path);
            if key != self.sample.key {
                self.end_sample();
                key.clone_into(&mut self.sample.key);
            }
            if ending.eq_ignore_ascii_case("cls") {
                self.class(name, members, &found)?;
            } else if named_as_image(Path::new(&path)) {
                check_size(name, &path, found.size, MAX_ENCODED_IMAGE)?;
                let spot = Spot { offset: found.offset, length: found.size as u32, shard: number };
                self.sample.images.push((spot, path));
            } else {
                self.others.add(Path::new(&path));
            }
        }
        self.special += members.special();
        self.end_sample();
        Ok(())
    }

    /// The class of the current sample.
    fn class(&mut self, name: &str, members: &mut Members<'_>, found: &Found) -> Result<(), DatasetError> {
        self.names = None;
        let text = String::from_utf8_lossy(members.data(found)?).into_owned();
        match text.trim().parse::<u32>().ok().filter(|&label| label < 1 << 16) {
            Some(label) => self.sample.label = Some(label),
            None if self.wrong_label.is_none() => {
                let shown: String = text.chars().take(20).collect();
                let error = format!("{shown:?} in {}", found.path);
                self.wrong_label = Some(DatasetError::unsuitable(name, "classes in 0..65536", error));
            }
            None => {}
        }
        Ok(())
    }

    /// Keeps the images of the sample. Beside `17.jpg`, a `17.seg.png` is something else.
    fn end_sample(&mut self) {
        let Sample { key, images, label } = std::mem::take(&mut self.sample);
        let plain = |path: &str| path.get(key.len() + 1..).is_some_and(|ending| !ending.contains('.'));
        let any_plain = images.iter().any(|(_, path)| plain(path));
        for (spot, path) in images {
            if any_plain && !plain(&path) {
                self.others.add(Path::new(&path));
                continue;
            }
            self.spots.push(spot);
            self.labels.extend(label);
            if let Some(names) = &mut self.names {
                names.push(path);
            }
        }
    }
}

/// The path of a file without a leading `./`; `None` for a hidden one.
fn inner(name: &str, found: &Found) -> Result<Option<String>, DatasetError> {
    let mut parts = Vec::new();
    for component in Path::new(&found.path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            _ => {
                let found = format!("{:?}", found.path);
                return Err(DatasetError::malformed(name, FORMAT, "names inside the archive", found));
            }
        }
    }
    let hidden = parts.iter().any(|part| is_hidden(part));
    Ok((!hidden && !parts.is_empty()).then(|| parts.join("/")))
}

/// A path up to the first dot of the file's name, and what follows it.
fn key_and_ending(path: &str) -> (&str, &str) {
    let base = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[base..].find('.') {
        Some(dot) => (&path[..base + dot], &path[base + dot + 1..]),
        None => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::tests::tar;
    use std::fs;

    type Files<'a> = &'a [(&'a str, &'a [u8])];

    /// Lists shards `0.tar`, `1.tar`, ... with these files.
    fn listed(shards: &[Files<'_>], part: Option<Split>, required: bool) -> Result<Sharded, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        for (number, files) in shards.iter().enumerate() {
            fs::write(folder.path().join(format!("{number}.tar")), tar("./", files)).unwrap();
        }
        list(folder.path(), part, required)
    }

    /// The bytes of all images, the labels and the notes.
    fn facts(sharded: &Sharded) -> (Vec<String>, Option<Vec<u32>>, String) {
        let shards = &sharded.shards;
        let text = |index| String::from_utf8(shards.read(index).unwrap()).unwrap();
        ((0..shards.len()).map(text).collect(), shards.labels.clone(), sharded.notes.join("\n"))
    }

    #[test]
    fn samples_have_an_image_and_a_class() {
        let first: Files<'_> = &[
            ("007.cls", b"2\n"),
            ("007.jpg", b"a"),
            ("007.json", b"{}"),
            ("007.seg.png", b"x"),
            ("008.png", b"b"),
            ("008.cls", b"0"),
        ];
        let second: Files<'_> = &[("008.webp", b"c"), ("008.cls", b" 1 ")];
        let sharded = listed(&[first, second], None, true).unwrap();
        let (images, labels, notes) = facts(&sharded);
        assert_eq!((images, labels), (["a", "b", "c"].map(str::to_owned).to_vec(), Some(vec![2, 0, 1])));
        assert_eq!(sharded.class_names, ["0", "1", "2"]);
        assert_eq!(notes, "left out: 2 files are not read as images (.json, .png)");
        // A part that neither the names of the shards nor folders have.
        assert!(matches!(listed(&[first], Some(Split::Test), true), Err(DatasetError::NoPart { .. })));
    }

    #[test]
    fn classes_that_cannot_be_used_are_dropped_or_refused() {
        let missing: Files<'_> = &[("1.png", b"a"), ("2.cls", b"1"), ("2.png", b"b")];
        let text: Files<'_> = &[("1.cls", b"cat"), ("1.png", b"a")];
        let large: Files<'_> = &[("1.cls", b"65536"), ("1.png", b"a")];
        for (files, reason) in [
            (missing, "expected 2 labels, one per image, found 1"),
            (text, "found \"cat\" in ./1.cls"),
            (large, "expected classes in 0..65536"),
        ] {
            let error = listed(&[files], None, true).unwrap_err().to_string();
            assert!(error.contains(reason), "{error:?} lacks {reason:?}");
            let (images, labels, notes) = facts(&listed(&[files], None, false).unwrap());
            assert!(!images.is_empty() && labels.is_none());
            assert!(notes.contains("the labels are not used") && notes.contains(reason), "{notes}");
        }
    }

    #[test]
    fn folders_in_shards_are_classes_and_parts() {
        let first: Files<'_> =
            &[("train/dog/2.png", b"a"), ("train/cat/1.png", b"b"), ("val/cat/9.png", b"c")];
        let second: Files<'_> = &[("train/cat/0.png", b"d"), ("train/.x/0.png", b"x")];
        let sharded = listed(&[first, second], None, true).unwrap();
        let (images, labels, notes) = facts(&sharded);
        // The order is that of the shards, the classes are sorted.
        assert_eq!((images, labels), (["a", "b", "d"].map(str::to_owned).to_vec(), Some(vec![1, 0, 0])));
        assert_eq!(sharded.class_names, ["cat", "dog"]);
        assert!(notes.contains("using the train part, 3 images"), "{notes}");
        let validation = listed(&[first, second], Some(Split::Validation), true).unwrap();
        assert_eq!(facts(&validation).0, ["c"]);
        // Hidden files and folders are no part of a set, as in a folder.
        let hidden: Files<'_> =
            &[("._a.png", b"x"), (".a.png", b"x"), ("__MACOSX/a.png", b"x"), ("a.png", b"a")];
        let sharded = listed(&[hidden], None, false).unwrap();
        assert_eq!(facts(&sharded), (vec!["a".to_owned()], None, String::new()));
        let flat: Files<'_> = &[("my.photo.png", b"a"), ("my.other.png", b"b")];
        let sharded = listed(&[flat], None, false).unwrap();
        assert_eq!((sharded.shards.len(), sharded.class_names.len()), (2, 0));
    }

    #[test]
    fn shards_without_images_and_names_outside_are_refused() {
        let none: Files<'_> = &[("a.txt", b"x")];
        let error = listed(&[none], None, false).unwrap_err().to_string();
        assert!(error.contains("found none (1 other file in 1 shard)"), "{error}");
        let empty: Files<'_> = &[];
        let error = listed(&[empty], None, false).unwrap_err().to_string();
        assert!(error.contains("found none (0 other files in 1 shard)"), "{error}");
        let outside: Files<'_> = &[("../a.png", b"x")];
        let error = listed(&[outside], None, false).unwrap_err().to_string();
        assert!(error.contains("names inside the archive"), "{error}");
    }
}
