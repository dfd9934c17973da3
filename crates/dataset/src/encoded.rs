//! The encoded images of a set, wherever they are: they are read one by one, in any order and from any thread.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::DatasetError;
use crate::options::OpenOptions;
use crate::scan::{Entry, Place};
use crate::shards::Shards;
use crate::tables::Tables;
use crate::unread::Unread;

/// Images whose bytes are part of [`Encoded::identity`].
const SAMPLED: usize = 16;

/// The images of a folder, an archive, of shards or of Parquet files, in order.
#[derive(Debug, Clone)]
pub(crate) enum Encoded {
    Listed(Vec<Entry>),
    Shards(Arc<Shards>),
    Tables(Arc<Tables>),
}

impl Encoded {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Listed(entries) => entries.len(),
            Self::Shards(shards) => shards.len(),
            Self::Tables(tables) => tables.len(),
        }
    }

    /// Reads an encoded image. The error gives the reason.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>, Unread> {
        match self {
            Self::Listed(entries) => match entries.get(index) {
                Some(entry) => entry.read(),
                None => Err(format!("expected an image below {}, found {index}", entries.len()).into()),
            },
            Self::Shards(shards) => shards.read(index),
            Self::Tables(tables) => tables.read(index),
        }
    }

    /// The full name of an image, for messages.
    pub(crate) fn name(&self, index: usize) -> String {
        match self {
            Self::Listed(entries) => entries.get(index).map(Entry::whole_name).unwrap_or_default(),
            Self::Shards(shards) => shards.name(index),
            Self::Tables(tables) => tables.name(index),
        }
    }

    /// The labels of all images, which the shards need no longer.
    pub(crate) fn take_labels(&mut self) -> Vec<u32> {
        match self {
            Self::Listed(entries) => entries.iter().filter_map(|entry| entry.label).collect(),
            Self::Shards(shards) => match Arc::get_mut(shards) {
                Some(shards) => shards.labels.take().unwrap_or_default(),
                None => shards.labels.clone().unwrap_or_default(),
            },
            Self::Tables(tables) => match Arc::get_mut(tables) {
                Some(tables) => tables.labels.take().unwrap_or_default(),
                None => tables.labels.clone().unwrap_or_default(),
            },
        }
    }

    /// The images one by one, which takes more memory than the shards' index.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        let shards = match self {
            Self::Listed(entries) => return entries,
            Self::Shards(shards) => shards,
            Self::Tables(tables) => return rows(&tables),
        };
        let entry = |index: usize| {
            let shard = shards.spots.get(index).and_then(|spot| shards.files.get(spot.shard as usize));
            Entry {
                place: Place::Member(Arc::clone(&shards), index),
                relative: PathBuf::from(shards.name(index)),
                label: shards.labels.as_ref().and_then(|labels| labels.get(index).copied()),
                length: shards.spots.get(index).map_or(0, |spot| spot.length.into()),
                modified: shard.map_or(0, |shard| shard.modified),
            }
        };
        (0..shards.len()).map(entry).collect()
    }

    /// `most` images at most, spread evenly over all of them.
    pub(crate) fn spread(&self, most: usize) -> Vec<usize> {
        OpenOptions { limit: Some(most), ..OpenOptions::default() }.chosen(self.len())
    }

    /// SHA-256 over what identifies the images without reading them: names within the set, sizes, places in their shards,
    /// checksums in an archive, and labels. The bytes of a few images are included, so that names and sizes alone do not
    /// give it. Times and the location of the set are not, since copies have others.
    ///
    /// # Errors
    /// [`DatasetError::Io`] if too many files are open.
    pub(crate) fn identity(
        &self,
        class_names: &[String],
        options: &OpenOptions,
    ) -> Result<[u8; 32], DatasetError> {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        text(&format!("ddpm index 1 {:?} {}", options.fit, class_names.len()));
        class_names.iter().for_each(|name| text(name));
        match self {
            Self::Listed(entries) => {
                for entry in entries {
                    let (path, length) = (entry.relative.to_string_lossy(), entry.length);
                    // An archive keeps a checksum above the time.
                    text(&format!("{path} {length} {} {:?}", (entry.modified >> 64) as u64, entry.label));
                }
            }
            Self::Shards(shards) => {
                shards.files.iter().for_each(|shard| text(&format!("{} {}", shard.name(), shard.length)));
                let labels = shards.labels.as_deref().unwrap_or_default();
                for (index, spot) in shards.spots.iter().enumerate() {
                    let label = labels.get(index);
                    text(&format!("{} {} {} {label:?}", spot.shard, spot.offset, spot.length));
                }
            }
            Self::Tables(tables) => tables.identify(&mut text),
        }
        for index in self.spread(SAMPLED) {
            // An image that cannot be used is reported elsewhere.
            let bytes = self.read(index).or_else(|unread| unread.reason().map(|_| Vec::new()))?;
            hash.update(Sha256::digest(bytes));
        }
        Ok(hash.finalize().into())
    }
}

/// The images of Parquet files one by one.
fn rows(tables: &Arc<Tables>) -> Vec<Entry> {
    let entry = |index: usize| {
        let (length, modified) = tables.version(index);
        Entry {
            place: Place::Row(Arc::clone(tables), index),
            relative: PathBuf::from(tables.name(index)),
            label: tables.labels.as_ref().and_then(|labels| labels.get(index).copied()),
            length,
            modified,
        }
    };
    (0..tables.len()).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn entries(files: &[(&str, &str, Option<u32>)]) -> (tempfile::TempDir, Encoded) {
        let folder = tempfile::tempdir().unwrap();
        let entry = |&(name, data, label): &(&str, &str, Option<u32>)| {
            let path = folder.path().join(name);
            fs::write(&path, data).unwrap();
            Entry { place: Place::File(path), label, length: data.len() as u64, ..Entry::example(name) }
        };
        let entries = files.iter().map(entry).collect();
        (folder, Encoded::Listed(entries))
    }

    #[test]
    fn the_identity_follows_names_sizes_labels_and_some_bytes_but_not_the_place() {
        let options = OpenOptions::default();
        let of = |files: &[(&str, &str, Option<u32>)]| entries(files).1.identity(&[], &options).unwrap();
        let identity = {
            let (_folder, encoded) = entries(&[("a", "12", Some(0)), ("b", "3", None)]);
            encoded.identity(&[], &options).unwrap()
        };
        let (_folder, copy) = entries(&[("a", "12", Some(0)), ("b", "3", None)]);
        assert_eq!(copy.identity(&[], &options).unwrap(), identity);
        assert_eq!(copy.clone().take_labels(), [0]);
        for other in [
            &[("a", "12", Some(1)), ("b", "3", None)][..],
            &[("c", "12", Some(0)), ("b", "3", None)],
            &[("a", "123", Some(0)), ("b", "3", None)],
            &[("a", "12", Some(0))],
        ] {
            assert_ne!(of(other), identity, "{other:?}");
        }
        let (_folder, changed) = entries(&[("a", "21", Some(0)), ("b", "3", None)]);
        assert_ne!(changed.identity(&[], &options).unwrap(), identity);
        assert_ne!(copy.identity(&["x".to_owned()], &options).unwrap(), identity);
        let pad = OpenOptions { fit: crate::Fit::Pad, ..OpenOptions::default() };
        assert_ne!(copy.identity(&[], &pad).unwrap(), identity);
    }

    #[test]
    fn images_are_spread_evenly() {
        let (_folder, encoded) = entries(&[("a", "1", None), ("b", "2", None), ("c", "3", None)]);
        assert_eq!(encoded.spread(2), [0, 1]);
        assert_eq!(encoded.spread(9), [0, 1, 2]);
        assert_eq!(encoded.read(2).unwrap(), b"3");
        assert!(encoded.read(3).unwrap_err().reason().unwrap().contains("below 3"));
    }
}
