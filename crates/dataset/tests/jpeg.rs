//! Compares JPEG files of many kinds with libjpeg-turbo, and checks truncated and damaged ones.
//! `scripts/make_jpeg_corpus.py` makes the files.

// Clippy does not recognise helpers as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use dataset::{DatasetError, Fit, image_size, parse_image, read_image};
use ndarray::Array3;

/// Maximum difference of a sample. T.81 lets the inverse DCT of a decoder differ by one step of rounding. One more step
/// each comes from smoothing coarse chroma and from the conversion to RGB, which multiplies it by up to 1.772.
const CLOSE: u8 = 4;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jpeg").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "jpg")).collect();
    paths.sort();
    paths
}

fn read(bytes: &[u8]) -> Result<Array3<u8>, DatasetError> {
    parse_image("a.jpg", bytes, None, Some(3), Fit::Crop)
}

fn farthest(a: &Array3<u8>, b: &Array3<u8>) -> u8 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b)).max().unwrap()
}

/// Where the coded data of the last scan starts and ends.
fn coded(bytes: &[u8]) -> (usize, usize) {
    let scan = bytes.windows(4).rposition(|w| w[..3] == [0xff, 0xda, 0]).unwrap();
    let end = bytes.windows(2).rposition(|w| w == [0xff, 0xd9]).unwrap();
    (scan + 2 + usize::from(bytes[scan + 3]), end)
}

/// Where the image ends; anything after it may be lost.
fn image_end(path: &Path, bytes: &[u8]) -> usize {
    if !path.to_str().unwrap().contains("after-the-end") {
        return bytes.len();
    }
    // In those files this is the first such marker.
    bytes.windows(2).position(|w| w == [0xff, 0xd9]).unwrap() + 2
}

#[test]
fn whole_files_have_the_pixels_of_libjpeg_turbo() {
    let paths = files("read");
    assert!(paths.len() >= 50, "{}", paths.len());
    for path in paths {
        let expected = read_image(&path.with_extension("png"), None, Some(3), Fit::Crop).unwrap();
        let found = read_image(&path, None, Some(3), Fit::Crop).unwrap();
        let far = farthest(&found, &expected);
        assert!(far <= CLOSE, "{}: differs by {far}", path.display());
        let size = image_size("a.jpg", &fs::read(&path).unwrap()).unwrap();
        assert_eq!(size, (expected.dim().0, expected.dim().1), "{}", path.display());
    }
}

#[test]
fn unsupported_kinds_are_named() {
    let reasons = [
        ("12-bits", "found 12"),
        ("arithmetic-progressive", "found arithmetic coding"),
        ("arithmetic", "found arithmetic coding"),
        ("lossless", "found lossless coding"),
        ("one-scan-each-4x1-2x1-1x1", "found 2x1 in a scan of its own"),
        ("wide-gamut", "the JPEG has wide-gamut colours"),
    ];
    let paths = files("refused");
    assert_eq!(paths.len(), reasons.len());
    for (path, (name, reason)) in paths.iter().zip(reasons) {
        assert_eq!(path.file_stem().unwrap(), name);
        let error = read_image(path, None, None, Fit::Crop).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn cut_files_are_refused() {
    for path in files("read") {
        let bytes = fs::read(&path).unwrap();
        let whole = image_end(&path, &bytes);
        for tenth in 0..10 {
            let cut = &bytes[..whole * tenth / 10];
            assert!(read(cut).is_err(), "{}: {tenth} tenths of it are read", path.display());
        }
        let error = read(&bytes[..whole - 1]).unwrap_err().to_string();
        assert!(error.contains("the JPEG is cut"), "{}: {error}", path.display());
        // As a browser saves an interrupted download, with an end marker added.
        let (start, end) = coded(&bytes[..whole]);
        let ended = [&bytes[..start + (end - start) / 2], &[0xff, 0xd9]].concat();
        assert!(read(&ended).is_err(), "{}: half of the coded data is read", path.display());
    }
}

/// A disk or a download that lost a part often leaves zeros there.
#[test]
fn zeroed_stretches_are_refused() {
    let (mut trials, mut missed) = (0, Vec::new());
    for path in files("read") {
        let bytes = fs::read(&path).unwrap();
        let whole = read(&bytes).unwrap();
        let (start, end) = coded(&bytes[..image_end(&path, &bytes)]);
        for at in (start..end.saturating_sub(40)).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at..at + 40].fill(0);
            trials += 1;
            if read(&damaged).is_ok_and(|found| farthest(&found, &whole) > 0) {
                missed.push(format!("{} at {at}", path.display()));
            }
        }
    }
    assert!(trials > 500, "{trials}");
    assert!(missed.is_empty(), "{} of {trials} are read: {missed:#?}", missed.len());
}

/// Phones and editors append their own data.
#[test]
fn data_after_the_image_is_ignored() {
    let plain =
        fs::read(files("read").iter().find(|path| path.ends_with("fill-bytes-7x5.jpg")).unwrap()).unwrap();
    let whole = read(&plain).unwrap();
    for trailer in [&[0_u8][..], &[0xff], &[0xff, 0xd8], &[0xff, 0xd9], &plain, &[0xa5; 5000]] {
        assert_eq!(read(&[&plain, trailer].concat()).unwrap(), whole, "{:x?}", &trailer[..1]);
    }
}

/// The file with EXIF orientation 1 and its rotations, by the numbers of TIFF 6.0.
#[test]
fn exif_orientation_rotates_the_pixels() {
    let of = |n: u8| {
        let name = format!("exif-orientation-{n}-7x5.jpg");
        let path = files("read").into_iter().find(|path| path.ends_with(&name)).unwrap();
        read_image(&path, None, Some(3), Fit::Crop).unwrap()
    };
    let upright = of(1);
    assert_eq!(upright.dim(), (5, 7, 3));
    for n in 2..=8 {
        let turned = of(n);
        let expected = Array3::from_shape_fn(turned.dim(), |(y, x, c)| {
            let (y, x) = if n < 5 { (y, x) } else { (x, y) };
            let flipped = |side: usize, at: usize| side - 1 - at;
            let y = if [3, 4, 6, 7].contains(&n) { flipped(5, y) } else { y };
            let x = if [2, 3, 7, 8].contains(&n) { flipped(7, x) } else { x };
            upright[[y, x, c]]
        });
        assert_eq!(turned, expected, "{n}");
    }
}
