//! Lists a folder of images in a fixed order, and derives classes from paths.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::error::DatasetError;
use crate::image_archive::Packed;
use crate::image_format::is_image_of_any_name;
use crate::limits::{MAX_ENCODED_IMAGE, read_file};
use crate::shards::Shards;
use crate::tables::Tables;
use crate::unread::Unread;

/// Files with these extensions are meant to be images, so one that cannot be read is reported.
const IMAGE_ENDINGS: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "avif", "heic", "heif"];
/// Maximum nesting of folders.
const MAX_DEPTH: usize = 32;
/// Maximum number of links to one folder that are followed. Twenty folders that link to each other have more paths
/// through them than can be walked.
const MAX_LINKS: u32 = 16;

/// Where the bytes of an image are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a separate file.
    File(PathBuf),
    /// In an archive.
    Packed(Packed),
    /// An image of these in tar shards.
    Member(Arc<Shards>, usize),
    /// An image of these in Parquet files.
    Row(Arc<Tables>, usize),
}

/// One image.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// The path within the folder or archive.
    pub(crate) relative: PathBuf,
    pub(crate) label: Option<u32>,
    /// Size in bytes and time of the last change in nanoseconds, to notice that the file was replaced.
    pub(crate) length: u64,
    pub(crate) modified: u128,
}

impl Entry {
    /// Reads the encoded image. The error gives the reason.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Unread> {
        match &self.place {
            Place::File(path) => Ok(read_file(path, MAX_ENCODED_IMAGE)?),
            Place::Packed(packed) => packed.read().map_err(Unread::Image),
            Place::Member(shards, index) => shards.read(*index),
            Place::Row(tables, index) => tables.read(*index),
        }
    }

    /// Its full path, for a message or a hash.
    pub(crate) fn whole_name(&self) -> String {
        match &self.place {
            Place::File(path) => path.to_string_lossy().into_owned(),
            Place::Packed(packed) => format!("{packed}[{}]", self.relative.to_string_lossy()),
            Place::Member(shards, index) => shards.name(*index),
            Place::Row(tables, index) => tables.name(*index),
        }
    }

    #[cfg(test)]
    pub(crate) fn example(relative: &str) -> Self {
        let (relative, place) = (PathBuf::from(relative), Place::File(PathBuf::from(relative)));
        Self { place, relative, label: None, length: 0, modified: 0 }
    }
}

/// The images of a folder or an archive, sorted by path.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) others: Others,
}

/// Visible files that are not recognised as images: their count and extensions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Others {
    pub(crate) count: usize,
    endings: BTreeSet<String>,
}

impl Others {
    /// Maximum number of extensions in a note.
    const SHOWN: usize = 6;

    pub(crate) fn add(&mut self, path: &Path) {
        self.count += 1;
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy().to_lowercase()));
        self.endings.insert(ending.unwrap_or_else(|| "without an extension".to_owned()));
    }

    /// A note about them, if there are any.
    pub(crate) fn note(&self) -> Option<String> {
        let shown: Vec<&str> = self.endings.iter().take(Self::SHOWN).map(String::as_str).collect();
        let more = if self.endings.len() > Self::SHOWN { ", ..." } else { "" };
        let (count, files) = (self.count, if self.count == 1 { "file is" } else { "files are" });
        (count > 0)
            .then(|| format!("left out: {count} {files} not read as images ({}{more})", shown.join(", ")))
    }
}

/// Folders that systems or programs add to a folder of images.
const FOREIGN: [&str; 3] = ["__MACOSX", "@eaDir", "lost+found"];

/// Whether a file or folder does not belong to the user's images, judging by its name.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || FOREIGN.contains(&name)
}

/// Lists the images below `root`: files whose content starts like an image, whatever their name, and files named like
/// one. Hidden files and folders are skipped.
pub(crate) fn scan(root: &Path) -> Result<Listing, DatasetError> {
    let mut walk = Walk {
        root,
        entries: Vec::new(),
        others: Others::default(),
        open: HashSet::new(),
        links: HashMap::new(),
    };
    walk.folder(root, 0)?;
    let Walk { mut entries, others, .. } = walk;
    // Sort by component, so that the order does not depend on how the system lists a folder.
    entries.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(Listing { entries, others })
}

/// Derives classes from the sorted paths of images within a folder. The first component of a path is its class. There
/// is one label per path, and labels count the classes from 0. If an image is directly in the folder, there are no
/// classes and both lists are empty.
///
/// ```
/// let paths = ["bird/9.png", "cat/1.png", "cat/deep/3.png"].map(std::path::Path::new);
/// let (names, labels) = dataset::class_labels(paths);
/// assert_eq!(names, ["bird", "cat"]);
/// assert_eq!(labels, [0, 1, 1]);
/// ```
#[must_use]
pub fn class_labels<'a>(paths: impl IntoIterator<Item = &'a Path>) -> (Vec<String>, Vec<u32>) {
    let (mut folders, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let mut components = path.components();
        let (Some(folder), Some(_)) = (components.next(), components.next()) else {
            return (Vec::new(), Vec::new());
        };
        if folders.last() != Some(&folder) {
            folders.push(folder);
        }
        labels.push(u32::try_from(folders.len() - 1).unwrap_or(u32::MAX));
    }
    (folders.iter().map(|folder| folder.as_os_str().to_string_lossy().into_owned()).collect(), labels)
}

struct Walk<'a> {
    root: &'a Path,
    entries: Vec<Entry>,
    others: Others,
    /// The folders currently being listed, with links resolved: a link to one of them is a loop.
    open: HashSet<PathBuf>,
    /// How often a link led to a folder, by its resolved path.
    links: HashMap<PathBuf, u32>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), DatasetError> {
        let real = folder.canonicalize().map_err(|e| DatasetError::io(folder, "list", e))?;
        if !self.open.insert(real.clone()) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            let expected = format!("folders nested at most {MAX_DEPTH} deep");
            return Err(DatasetError::unsuitable(&folder.display().to_string(), expected, "one more"));
        }
        for entry in fs::read_dir(folder).map_err(|e| DatasetError::io(folder, "list", e))? {
            let entry = entry.map_err(|e| DatasetError::io(folder, "list", e))?;
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    self.count_link(&path)?;
                }
                self.folder(&path, depth + 1)?;
            } else if named_as_image(&path) || begins_as_image(&path)? {
                self.entries.push(self.entry(path));
            } else {
                self.others.add(&path);
            }
        }
        self.open.remove(&real);
        Ok(())
    }

    /// Refuses a folder that too many links lead to, unless it is currently being listed.
    fn count_link(&mut self, link: &Path) -> Result<(), DatasetError> {
        let real = link.canonicalize().map_err(|e| DatasetError::io(link, "list", e))?;
        if self.open.contains(&real) {
            return Ok(());
        }
        let count = self.links.entry(real).or_default();
        *count += 1;
        if *count > MAX_LINKS {
            let expected = format!("at most {MAX_LINKS} links to one folder");
            return Err(DatasetError::unsuitable(&link.display().to_string(), expected, "one more"));
        }
        Ok(())
    }

    fn entry(&self, path: PathBuf) -> Entry {
        // List a file even if its metadata cannot be read; reading it will give the reason.
        let metadata = fs::metadata(&path).ok();
        let modified = metadata.as_ref().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        Entry {
            relative: path.strip_prefix(self.root).unwrap_or(&path).to_owned(),
            label: None,
            length: metadata.map_or(0, |m| m.len()),
            modified: modified.map_or(0, |d| d.as_nanos()),
            place: Place::File(path),
        }
    }
}

pub(crate) fn named_as_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    IMAGE_ENDINGS.contains(&ending.as_str())
}

fn begins_as_image(path: &Path) -> Result<bool, DatasetError> {
    // Opening a pipe would wait for its writer.
    if !path.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    match read {
        // Whether it is an image is not known.
        Err(error) if files::is_out_of_handles(&error) => Err(DatasetError::io(path, "read", error)),
        read => Ok(read.is_ok() && is_image_of_any_name(&start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::take;

    fn folder(files: &[impl AsRef<Path>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"\x89PNG\r\n\x1a\n").unwrap();
        }
        folder
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.entries.iter().map(|e| e.relative.display().to_string()).collect()
    }

    #[test]
    fn sub_folders_are_classes_in_sorted_order() {
        let dir =
            folder(&["cat/2", "cat/1.png", "cat/deep/3.png", "bird/9.png", ".hidden/1.png", "cat/.DS_Store"]);
        fs::write(dir.path().join("cat/notes.txt"), "notes").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        let listing = scan(dir.path()).unwrap();
        assert_eq!(names(&listing), ["bird/9.png", "cat/1.png", "cat/2", "cat/deep/3.png"]);
        assert_eq!(listing.others.note().as_deref(), Some("left out: 1 file is not read as images (.txt)"));
        let taken = take("", listing.entries, None).unwrap();
        assert_eq!(taken.class_names, ["bird", "cat"]);
        assert!(taken.entries.iter().map(|e| e.label.unwrap()).eq([0, 1, 1, 1]));
    }

    #[test]
    fn system_folders_and_deep_nesting_are_not_data() {
        let dir = folder(&["a/1.png", "@eaDir/1.png", "lost+found/2.png", "__MACOSX/a/1.png"]);
        assert_eq!(names(&scan(dir.path()).unwrap()), ["a/1.png"]);
        let dir = folder(&[PathBuf::from("d/".repeat(MAX_DEPTH + 1)).join("1.png")]);
        assert!(scan(dir.path()).unwrap_err().to_string().contains("nested at most 32 deep"));
        let mut others = Others::default();
        (0..9).for_each(|n| others.add(Path::new(&format!("x.e{n}"))));
        others.add(Path::new("README"));
        assert!(
            others.note().unwrap().ends_with("(.e0, .e1, .e2, .e3, .e4, .e5, ...)"),
            "{:?}",
            others.note()
        );
    }

    #[test]
    fn images_in_the_folder_itself_have_no_labels() {
        for files in [&["b.png", "a.png"][..], &["a.png", "sub/b.png"]] {
            let listing = scan(folder(files).path()).unwrap();
            assert_eq!(listing.entries.len(), 2);
            let taken = take("", listing.entries, None).unwrap();
            assert!(taken.class_names.is_empty() && taken.entries.iter().all(|e| e.label.is_none()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_loops() {
        use std::os::unix::fs::symlink;
        let dir = folder(&["a/1.png"]);
        symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        symlink(dir.path().join("a"), dir.path().join("b")).unwrap();
        symlink(dir.path().join("none"), dir.path().join("a/broken.png")).unwrap();
        let listing = scan(dir.path()).unwrap();
        assert_eq!(names(&listing), ["a/1.png", "a/broken.png", "b/1.png", "b/broken.png"]);
    }

    #[cfg(unix)]
    #[test]
    fn folders_that_link_to_each_other_are_refused() {
        use std::os::unix::fs::symlink;
        let names: Vec<String> = (0..20).map(|i| format!("f{i}")).collect();
        let dir = folder(&names.iter().map(|name| format!("{name}/1.png")).collect::<Vec<_>>());
        for from in &names {
            for to in names.iter().filter(|to| *to != from) {
                symlink(dir.path().join(to), dir.path().join(from).join(to)).unwrap();
            }
        }
        let error = scan(dir.path()).unwrap_err().to_string();
        assert!(error.contains("at most 16 links to one folder, found one more"), "{error}");
        // The maximum number of links to one folder, for example one per class, is accepted.
        let dir = folder(&["a/1.png"]);
        for i in 0..16 {
            symlink(dir.path().join("a"), dir.path().join(format!("b{i}"))).unwrap();
        }
        assert_eq!(scan(dir.path()).unwrap().entries.len(), 17);
    }
}
