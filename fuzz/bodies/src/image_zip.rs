//! Zip archives of images.

use std::fs;
use std::path::PathBuf;

use dataset::{Dataset, Fit, OpenOptions, Source, image_size, parse_image};

use crate::archive::{Claims, of_one};
use crate::npz::{CLAIMS, ENTRY};
use crate::picture::PIXELS;

/// An archive as it is; or one image in an archive, with honest headers or with made-up ones.
pub(crate) fn body(data: &[u8]) {
    match data {
        [ENTRY, entry @ ..] => {
            let Some((height, width)) = size(entry) else { return };
            let opened = open(&of_one("a.png", entry, Claims::honest(entry)));
            // Alone, the image says the size and the colours of the set.
            let expected = parse_image("fuzz", entry, None, None, Fit::Crop).ok();
            match expected.filter(|_| height == width) {
                Some(expected) => {
                    let set = opened.expect("an image that is read alone is read in an archive");
                    assert_eq!(set.image(0).expect("it was opened"), expected);
                }
                None => drop(opened),
            }
        }
        [CLAIMS, method, flags, a, b, c, d, e, entry @ ..] => {
            if size(entry).is_none() {
                return;
            }
            let claims = Claims::made_up([*method, *flags, *a, *b, *c, *d, *e], entry);
            drop(open(&of_one("a.png", entry, claims)));
        }
        _ => drop(open(data)),
    }
}

/// The size of an image that is small enough.
fn size(entry: &[u8]) -> Option<(usize, usize)> {
    image_size("fuzz", entry).ok().filter(|(height, width)| height * width <= PIXELS)
}

/// Opens an archive, which has to be a file: its images are read at any time. What it has can be read.
fn open(bytes: &[u8]) -> Option<Dataset> {
    let path = file();
    fs::write(&path, bytes).expect("the folder for temporary files can be written");
    let opened = Source::detect(&path.to_string_lossy())
        .and_then(|source| Dataset::open(&source, &OpenOptions::default()));
    // A set that was opened holds the file itself.
    fs::remove_file(&path).expect("a file of our own can be removed");
    let set = opened.ok()?;
    assert!(!set.is_empty());
    for index in 0..set.len() {
        assert_eq!(set.image(index).expect("it was opened").dim(), set.shape());
    }
    Some(set)
}

/// One file a thread, written again and again.
fn file() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    std::env::temp_dir().join(format!("ddpm-fuzz-{}-{thread}.zip", std::process::id()))
}
