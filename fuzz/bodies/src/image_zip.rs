//! Zip archives of images.

use std::fs;
use std::path::PathBuf;

use dataset::{Dataset, Fit, OpenOptions, Source, image_size, parse_image};

use crate::archive::{Claims, of_one};
use crate::npz::{CLAIMS, ENTRY};
use crate::picture::PIXELS;

/// An archive as it is, or one image in an archive with honest or made-up headers.
pub(crate) fn body(data: &[u8]) {
    match data {
        [ENTRY, entry @ ..] => {
            let Some((height, width)) = size(entry) else { return };
            let opened = open(&of_one("a.png", entry, Claims::honest(entry)));
            // With one image, it sets the size and the colours of the set.
            let expected = parse_image("fuzz", entry, None, None, Fit::Crop).ok();
            match expected.filter(|_| height == width) {
                Some(expected) => {
                    let set = opened.expect("an image that reads alone should read in an archive");
                    assert_eq!(set.image(0).expect("an opened image should be readable"), expected);
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

/// The size of an image, if it is small enough.
fn size(entry: &[u8]) -> Option<(usize, usize)> {
    image_size("fuzz", entry).ok().filter(|(height, width)| height * width <= PIXELS)
}

/// Opens an archive. It has to be a file, because its images may be read at any time. All images in it must be
/// readable.
fn open(bytes: &[u8]) -> Option<Dataset> {
    let path = file("zip");
    fs::write(&path, bytes).expect("the temporary folder should be writable");
    let opened = Source::detect(&path.to_string_lossy())
        .and_then(|source| Dataset::open(&source, &OpenOptions::default()));
    // An opened set keeps the file open.
    fs::remove_file(&path).expect("our own file should be removable");
    let set = opened.ok()?;
    assert!(!set.is_empty());
    for index in 0..set.len() {
        assert_eq!(set.image(index).expect("an opened image should be readable").dim(), set.shape());
    }
    Some(set)
}

/// One file per thread and ending, overwritten each time.
pub(crate) fn file(ending: &str) -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    std::env::temp_dir().join(format!("ddpm-fuzz-{}-{thread}.{ending}", std::process::id()))
}
