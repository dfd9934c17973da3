//! Images in tar shards, read by position: an index of 16 bytes per image, made once from the headers of the shards.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::error::DatasetError;
use crate::handles::Handles;
use crate::limits::open_regular;
use crate::store::read_at;
use crate::unread::Unread;

/// Where an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) shard: u32,
}

/// One tar file.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    /// Time of the last change in nanoseconds.
    pub(crate) modified: u128,
    /// Its number in the set.
    number: usize,
    /// The open files of the set.
    handles: Arc<Handles>,
}

/// Images in shards, possibly with labels.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    pub(crate) files: Arc<Vec<Shard>>,
    pub(crate) spots: Vec<Spot>,
    /// One per image.
    pub(crate) labels: Option<Vec<u32>>,
}

impl Shard {
    /// Opens a shard, the `number`th of its set.
    pub(crate) fn open(
        path: &Path,
        number: usize,
        handles: &Arc<Handles>,
    ) -> Result<(Self, Arc<File>), DatasetError> {
        let (file, length) = open_regular(path)?;
        let modified = file.metadata().ok().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |d| d.as_nanos());
        let shard = Self { path: path.to_owned(), length, modified, number, handles: Arc::clone(handles) };
        Ok((shard, handles.keep(number, file)))
    }

    /// Its name without folders.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The bytes at `offset`. The error gives the reason.
    pub(crate) fn read(&self, offset: u64, count: usize) -> Result<Vec<u8>, Unread> {
        let file = match self.handles.get(self.number) {
            Some(file) => file,
            None => {
                let (file, length) = open_regular(&self.path)?;
                if length != self.length {
                    let found = format!("expected a shard of {} bytes, found {length}", self.length);
                    return Err(found.into());
                }
                self.handles.keep(self.number, file)
            }
        };
        // The index only has spots within the shard, so this is at most its size.
        let mut bytes = vec![0; count];
        read_at(&file, offset, &mut bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => "the shard ends before the image does".to_owned(),
            _ => e.to_string(),
        })?;
        Ok(bytes)
    }
}

impl Shards {
    pub(crate) fn len(&self) -> usize {
        self.spots.len()
    }

    /// The images with these indices.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        let labels = |labels: &Vec<u32>| indices.iter().filter_map(|&i| labels.get(i).copied()).collect();
        Self {
            files: Arc::clone(&self.files),
            spots: indices.iter().filter_map(|&i| self.spots.get(i).copied()).collect(),
            labels: self.labels.as_ref().map(labels),
        }
    }

    /// Reads an encoded image. The error gives the reason.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>, Unread> {
        let (spot, shard) = self.at(index)?;
        shard.read(spot.offset, spot.length as usize)
    }

    /// An image in messages: its shard and its place there.
    pub(crate) fn name(&self, index: usize) -> String {
        match self.at(index) {
            Ok((spot, shard)) => format!("{}[{}]", shard.path.display(), spot.offset),
            Err(reason) => reason,
        }
    }

    fn at(&self, index: usize) -> Result<(Spot, &Shard), String> {
        let spot = self.spots.get(index).copied();
        let found = spot.and_then(|spot| Some((spot, self.files.get(spot.shard as usize)?)));
        found.ok_or_else(|| format!("expected an image below {}, found {index}", self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_from_open_and_closed_shards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, b"0123456789").unwrap();
        let spots = vec![
            Spot { offset: 2, length: 3, shard: 0 },
            Spot { offset: 9, length: 1, shard: 1 },
            Spot { offset: 8, length: 3, shard: 1 },
        ];
        // Only one of them stays open.
        let handles = Handles::of(1);
        let files = [0, 1].map(|number| Shard::open(&path, number, &handles).unwrap().0);
        let reason = |unread: Unread| unread.reason().unwrap();
        assert!(handles.get(0).is_none() && handles.get(1).is_some());
        let shards = Shards { files: Arc::new(files.into()), spots, labels: Some(vec![5, 6, 7]) };
        assert_eq!(shards.read(0).unwrap(), b"234");
        assert_eq!(shards.read(1).unwrap(), b"9");
        assert!(handles.get(0).is_none() && handles.get(1).is_some());
        assert!(reason(shards.read(2).unwrap_err()).contains("ends before"));
        assert!(reason(shards.read(3).unwrap_err()).contains("below 3"));
        let part = shards.select(&[1]);
        assert_eq!(
            (part.len(), part.labels.as_deref(), part.read(0).unwrap()),
            (1, Some(&[6][..]), b"9".to_vec())
        );
        // A shard that is opened again must still be the same.
        std::fs::write(&path, b"0123456789a").unwrap();
        let found = reason(shards.read(0).unwrap_err());
        assert!(found.contains("expected a shard of 10 bytes, found 11"), "{found}");
    }
}
