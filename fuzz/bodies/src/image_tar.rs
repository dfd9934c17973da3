//! Tar shards of images.

use std::fs;
use std::path::Path;

use dataset::{Dataset, DatasetError, OpenOptions, Order, Source};

use crate::image_zip::file;
use crate::tar::repaired;

/// The first byte of an archive whose checksums are to be repaired.
pub(crate) const REPAIR: u8 = 1;

/// An archive as it is, or with the right checksums.
pub(crate) fn body(data: &[u8]) {
    match data {
        [REPAIR, rest @ ..] => compare(&repaired(rest)),
        _ => compare(data),
    }
}

/// If all images of an archive can be decoded, they are the same when they are read one by one, in any order.
fn compare(bytes: &[u8]) {
    let path = file("tar");
    fs::write(&path, bytes).expect("the temporary folder should be writable");
    let whole = open(&path, u64::MAX, Order::Images);
    let blocks = open(&path, 0, Order::Blocks { buffer: 1000 });
    // An opened set keeps the file open.
    fs::remove_file(&path).expect("our own file should be removable");
    let Ok(whole) = whole else { return };
    let blocks = blocks.expect("a set that can be decoded should be readable");
    assert!(!whole.is_empty() && blocks.is_streamed());
    assert_eq!((whole.len(), whole.shape()), (blocks.len(), blocks.shape()));
    for index in (0..whole.len()).rev() {
        let image = whole.image(index).expect("an opened image should be readable");
        assert_eq!(blocks.image(index).expect("the same image should be readable"), image);
        assert_eq!(blocks.label(index), whole.label(index));
    }
}

/// Opens a shard. Images of any size become small ones.
fn open(path: &Path, keep: u64, order: Order) -> Result<Dataset, DatasetError> {
    let source = Source::Shards { path: path.to_owned(), split: None };
    let options = OpenOptions {
        size: Some(4.into()),
        channels: Some(3),
        keep_limit: Some(keep),
        order,
        ..OpenOptions::default()
    };
    Dataset::open(&source, &options)
}
