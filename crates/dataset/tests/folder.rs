//! Folders of images, from files on disk to pixels: classes, colour, sizes, bad files, the cache.

// Clippy does not recognise helpers as tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use dataset::{Dataset, DatasetError, Fit, OnBad, OpenOptions, Size, Source, save_png};
use ndarray::Array3;
use tempfile::TempDir;

fn image(height: usize, width: usize, channels: usize, value: usize) -> Array3<u8> {
    Array3::from_shape_fn((height, width, channels), |(y, x, c)| (value * 31 + y * 5 + x * 3 + c * 40) as u8)
}

/// Classes `bird` and `cat` with `count` images each, numbered from 00; item `i` of the dataset is `image(.., i)`.
fn classes(count: usize, channels: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, name) in ["bird", "cat"].into_iter().enumerate() {
        fs::create_dir(folder.path().join(name)).unwrap();
        for i in 0..count {
            let path = folder.path().join(format!("{name}/{i:02}.png"));
            save_png(&path, image(8, 6, channels, class * count + i).view()).unwrap();
        }
    }
    folder
}

fn open(folder: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    Dataset::open(&Source::Folder { path: folder.to_owned(), split: None }, options)
}

fn fail(folder: &Path, options: &OpenOptions) -> String {
    open(folder, options).unwrap_err().to_string()
}

#[test]
fn size_channels_and_classes_come_from_the_data() {
    for channels in [1, 3] {
        let folder = classes(4, channels);
        let set = open(folder.path(), &OpenOptions::default()).unwrap();
        assert_eq!((set.len(), set.shape(), set.classes()), (8, (8, 6, channels), 2));
        assert_eq!(set.class_names(), ["bird", "cat"]);
        for i in 0..8 {
            assert_eq!(set.image(i).unwrap(), image(8, 6, channels, i));
            assert_eq!(set.label(i), Some(i as u32 / 4));
        }
        assert!(!set.is_spooled());
    }
}

#[test]
fn one_colour_image_makes_the_whole_set_colour() {
    let folder = classes(2, 1);
    save_png(&folder.path().join("cat/99.png"), image(8, 6, 3, 4).view()).unwrap();
    // In memory, in a file that switches to colour, and in memory that becomes a file at that moment.
    let spooled = |memory_limit| OpenOptions { memory_limit, ..OpenOptions::default() };
    for options in
        [OpenOptions::default(), spooled(0), spooled(100), spooled(4 * 48), spooled(5 * 48 * 3 - 1)]
    {
        let set = open(folder.path(), &options).unwrap();
        assert_eq!(set.is_spooled(), options.memory_limit < 1000);
        assert_eq!(set.shape(), (8, 6, 3));
        for i in 0..4 {
            let grey = image(8, 6, 1, i);
            assert_eq!(set.image(i).unwrap(), grey.broadcast((8, 6, 3)).unwrap());
        }
        assert_eq!(set.image(4).unwrap(), image(8, 6, 3, 4));
    }
    let grey = open(folder.path(), &OpenOptions { channels: Some(1), ..OpenOptions::default() }).unwrap();
    assert_eq!(grey.shape(), (8, 6, 1));
    assert_eq!(grey.image(1).unwrap(), image(8, 6, 1, 1));
}

#[test]
fn mixed_sizes_need_a_target_size() {
    let folder = classes(1, 1);
    save_png(&folder.path().join("cat/99.png"), image(20, 10, 1, 0).view()).unwrap();
    let error = fail(folder.path(), &OpenOptions::default());
    for part in ["bird/00.png is 6x8", "cat/99.png is 10x20", "target size"] {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
    for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
        let options = OpenOptions { size: Some(16.into()), fit, ..OpenOptions::default() };
        let set = open(folder.path(), &options).unwrap();
        assert_eq!((set.len(), set.shape()), (3, (16, 16, 1)));
        // Only padding leaves black columns beside the portrait image.
        let black = set.image(2).unwrap().index_axis(ndarray::Axis(1), 0).iter().all(|&v| v == 0);
        assert_eq!(black, fit == Fit::Pad, "{fit:?}");
    }
}

#[test]
fn bad_images_are_listed_in_one_error_or_skipped() {
    let folder = classes(3, 1);
    let at = |name: &str| folder.path().join("cat").join(name);
    let png = fs::read(at("00.png")).unwrap();
    fs::write(at("empty.png"), "").unwrap();
    fs::write(at("text.jpg"), "no image").unwrap();
    fs::write(at("gif.gif"), b"GIF89a\x06\0\x08\0\0\0\0;").unwrap();
    // The header is complete, the pixels are not.
    fs::write(at("cut.png"), &png[..png.len() - 30]).unwrap();
    for i in 0..8 {
        fs::write(at(&format!("x{i}.png")), &png[..20]).unwrap();
    }
    fs::write(at(".hidden.png"), "").unwrap();
    fs::write(at("readme.txt"), "not meant as an image").unwrap();
    for size in [None, Some(Size::from(8))] {
        let options = OpenOptions { size, ..OpenOptions::default() };
        let error = fail(folder.path(), &options);
        for part in [
            "12 of 18 images",
            "cat/empty.png: the file is empty",
            "cat/text.jpg: expected PNG",
            "and 2 more",
        ] {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        let set = open(folder.path(), &OpenOptions { on_bad: OnBad::Skip, ..options }).unwrap();
        assert_eq!((set.len(), set.skipped()), (6, 12));
        assert!((0..6).all(|i| set.label(i) == Some(i as u32 / 3)));
    }
    let only_bad = tempfile::tempdir().unwrap();
    fs::write(only_bad.path().join("a.png"), "").unwrap();
    for size in [None, Some(Size::from(8))] {
        let error =
            fail(only_bad.path(), &OpenOptions { size, on_bad: OnBad::Skip, ..OpenOptions::default() });
        assert!(error.contains("1 of 1 image "), "{error}");
    }
}

#[test]
fn a_folder_without_images_says_what_else_is_there() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path(), &OpenOptions::default()), Err(DatasetError::Empty { .. })));
    fs::write(folder.path().join("a.csv"), "1,2").unwrap();
    assert!(fail(folder.path(), &OpenOptions::default()).contains("found none (1 other files)"));
    assert!(open(&folder.path().join("none"), &OpenOptions::default()).is_err());
}

#[test]
fn a_limit_keeps_the_share_of_every_class() {
    let folder = classes(10, 1);
    let set = open(folder.path(), &OpenOptions { limit: Some(6), ..OpenOptions::default() }).unwrap();
    let labels: Vec<u32> = (0..6).map(|i| set.label(i).unwrap()).collect();
    assert_eq!(labels, [0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_spooled_set_equals_one_in_memory_and_is_decoded_once() {
    let folder = classes(5, 3);
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        memory_limit: 0,
        cache_dir: Some(cache.path().join("deep/cache")),
        pad_to_multiple: Some(8),
        ..OpenOptions::default()
    };
    let in_memory = OpenOptions { memory_limit: u64::MAX, cache_dir: None, ..options.clone() };
    let fingerprint = open(folder.path(), &in_memory).unwrap().fingerprint().unwrap();
    let first = open(folder.path(), &options).unwrap();
    assert!(first.is_spooled());
    assert_eq!(first.fingerprint().unwrap(), fingerprint);
    let files = || fs::read_dir(cache.path().join("deep/cache")).unwrap().map(|e| e.unwrap().path());
    assert_eq!(files().count(), 1);

    // Same length and time but other content: only a dataset that decodes again can notice.
    let victim = folder.path().join("cat/00.png");
    let modified = fs::metadata(&victim).unwrap().modified().unwrap();
    let length = fs::metadata(&victim).unwrap().len() as usize;
    fs::write(&victim, vec![0; length]).unwrap();
    File::options().write(true).open(&victim).unwrap().set_modified(modified).unwrap();
    assert!(open(folder.path(), &in_memory).is_err());
    let second = open(folder.path(), &options).unwrap();
    assert_eq!(second.fingerprint().unwrap(), fingerprint);
    assert_eq!((second.classes(), second.label(9)), (2, Some(1)));

    // With another time or another option, the cache no longer applies.
    let skipping = OpenOptions { on_bad: OnBad::Skip, ..options.clone() };
    assert_eq!(open(folder.path(), &skipping).unwrap().skipped(), 1);
    File::options().write(true).open(&victim).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(open(folder.path(), &options).is_err());
}

#[test]
fn a_damaged_cache_file_is_rebuilt() {
    let folder = classes(3, 1);
    let cache = tempfile::tempdir().unwrap();
    let cache_dir = Some(cache.path().to_owned());
    let options = OpenOptions { memory_limit: 0, cache_dir, ..OpenOptions::default() };
    let fingerprint = open(folder.path(), &options).unwrap().fingerprint().unwrap();
    let file = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&file).unwrap();
    // Labels and checksums are at the end, six of each.
    let mut bad_label = good.clone();
    bad_label[good.len() - 25] = 9;
    let mut bad_pixel = good.clone();
    bad_pixel[128 + 48 + 7] ^= 1;
    let mut bad_checksum = good.clone();
    bad_checksum[good.len() - 1] ^= 1;
    let mut bad_count = good.clone();
    bad_count[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut bad_key = good.clone();
    bad_key[20] ^= 1;
    for damaged in [
        &good[..good.len() - 1],
        &good[..50],
        &[],
        &bad_label,
        &bad_count,
        &bad_key,
        &bad_pixel,
        &bad_checksum,
    ] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(open(folder.path(), &options).unwrap().fingerprint().unwrap(), fingerprint);
        assert_eq!(fs::read(&file).unwrap(), good);
    }
}

/// If a byte changes while a dataset is in use, only the affected image gives an error.
#[test]
fn a_changed_byte_of_an_open_cache_is_not_trained_on() {
    let folder = classes(3, 1);
    let cache = tempfile::tempdir().unwrap();
    let cache_dir = Some(cache.path().to_owned());
    let options = OpenOptions { memory_limit: 0, cache_dir, ..OpenOptions::default() };
    let set = open(folder.path(), &options).unwrap();
    let file = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    bytes[128 + 2 * 48] ^= 4;
    // In place: the dataset reads the same file.
    std::io::Write::write_all(&mut File::options().write(true).open(&file).unwrap(), &bytes).unwrap();
    for index in 0..6 {
        match set.image(index) {
            Ok(pixels) => assert_eq!(pixels, image(8, 6, 1, index)),
            Err(error) => {
                assert!(
                    index == 2 && error.to_string().contains("other pixels in image 2"),
                    "{index}: {error}"
                );
            }
        }
    }
    assert!(set.image(2).is_err() && set.fingerprint().is_err());
    assert_eq!(open(folder.path(), &options).unwrap().image(2).unwrap(), image(8, 6, 1, 2));
}

/// If the cache folder is a file, nobody can write to it.
#[test]
fn an_unwritable_cache_is_not_needed() {
    let folder = classes(3, 3);
    let file = folder.path().join("bird/00.png");
    let in_memory = open(folder.path(), &OpenOptions::default()).unwrap();
    for cache_dir in [file.join("cache"), file.clone()] {
        for memory_limit in [0, 200] {
            let cache_dir = Some(cache_dir.clone());
            let options = OpenOptions { memory_limit, cache_dir, ..OpenOptions::default() };
            let set = open(folder.path(), &options).unwrap();
            assert_eq!(set.fingerprint().unwrap(), in_memory.fingerprint().unwrap());
            assert_eq!((set.label(5), set.class_names()), (Some(1), in_memory.class_names()));
        }
    }
}

#[test]
fn leftovers_of_killed_processes_are_removed_from_the_cache() {
    let folder = classes(2, 1);
    let cache = tempfile::tempdir().unwrap();
    let left = cache.path().join(".pixels-0123.bin.4711-0.tmp");
    fs::write(&left, vec![0; 1000]).unwrap();
    let cache_dir = Some(cache.path().to_owned());
    let options = OpenOptions { memory_limit: 0, cache_dir, ..OpenOptions::default() };
    open(folder.path(), &options).unwrap();
    assert!(!left.exists());
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
}

/// The first image is broken: either every broken image is listed, or every good one is used.
#[test]
fn a_broken_first_image_is_treated_like_any_other() {
    let folder = classes(3, 1);
    fs::write(folder.path().join("bird/00.png"), "").unwrap();
    fs::write(folder.path().join("cat/02.png"), "x").unwrap();
    let error = fail(folder.path(), &OpenOptions::default());
    assert!(error.contains("2 of 6 images") && error.contains("cat/02.png"), "{error}");
    let set = open(folder.path(), &OpenOptions { on_bad: OnBad::Skip, ..OpenOptions::default() }).unwrap();
    assert_eq!((set.len(), set.skipped(), set.label(0)), (4, 2, Some(0)));
}

#[test]
fn an_archive_is_read_like_a_folder() {
    use zip::write::FileOptions;
    let folder = tempfile::tempdir().unwrap();
    let (path, root) = (folder.path().join("photos.zip"), folder.path().join("photos"));
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for (n, name) in ["train/cat/1.png", "train/dog/2.png", "val/dog/3.png"].into_iter().enumerate() {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        save_png(&root.join(name), image(8, 6, 3, n).view()).unwrap();
        zip.start_file(name, FileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &fs::read(root.join(name)).unwrap()).unwrap();
    }
    zip.start_file("notes.txt", FileOptions::default()).unwrap();
    fs::write(root.join("notes.txt"), "").unwrap();
    zip.finish().unwrap();
    for part in ["", ":train", ":val"] {
        let [packed, plain] = [&path, &root].map(|path| {
            let source = Source::detect(&format!("{}{part}", path.display())).unwrap();
            Dataset::open(&source, &OpenOptions::default()).unwrap()
        });
        assert_eq!(packed.fingerprint().unwrap(), plain.fingerprint().unwrap(), "{part}");
        assert_eq!((packed.class_names(), packed.notes()), (plain.class_names(), plain.notes()));
        assert_eq!(packed.len(), if part == ":val" { 1 } else { 2 });
    }
    let source = Source::detect(&format!("{}:test", path.display())).unwrap();
    assert!(matches!(Dataset::open(&source, &OpenOptions::default()), Err(DatasetError::NoPart { .. })));

    let text = folder.path().join("text.zip");
    let mut zip = zip::ZipWriter::new(File::create(&text).unwrap());
    zip.start_file("a.txt", FileOptions::default()).unwrap();
    zip.finish().unwrap();
    let source = Source::detect(text.to_str().unwrap()).unwrap();
    let error = Dataset::open(&source, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("1 other files; unpack the archive"), "{error}");
}

#[test]
fn formats_are_recognised_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = image(8, 8, 3, 1);
    let rgb = image::RgbImage::from_raw(8, 8, pixels.iter().copied().collect()).unwrap();
    for (name, format) in [
        ("a.png", image::ImageFormat::WebP),
        ("b.jpg", image::ImageFormat::Png),
        ("c.webp", image::ImageFormat::Bmp),
        ("d", image::ImageFormat::Png),
        ("d.tif", image::ImageFormat::Tiff),
        ("e.png", image::ImageFormat::Jpeg),
        // A raw photo begins like this.
        ("photo.nef", image::ImageFormat::Tiff),
    ] {
        rgb.save_with_format(folder.path().join(name), format).unwrap();
    }
    let set = open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!((set.len(), set.classes()), (6, 0));
    assert_eq!(set.notes(), ["left out: 1 file is not read as images (.nef)"]);
    for i in 0..5 {
        assert_eq!(set.image(i).unwrap(), pixels);
    }
    let jpeg = set.image(5).unwrap();
    let error: f64 = jpeg.iter().zip(&pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    assert!(error / 192.0 < 25.0, "{error}");
}

/// A GIF of 2x2 pixels with this many frames, the first one black.
fn gif(frames: u8) -> Vec<u8> {
    let mut encoder = gif::Encoder::new(Vec::new(), 2, 2, &[0, 0, 0, 255, 255, 255]).unwrap();
    for shade in 0..frames {
        encoder.write_frame(&gif::Frame::from_indexed_pixels(2, 2, vec![shade % 2; 4], None)).unwrap();
    }
    encoder.into_inner().unwrap()
}

#[test]
fn the_first_frame_is_used_and_the_others_are_noted() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (n, frames) in [1, 3, 2].into_iter().enumerate() {
        fs::write(folder.path().join(format!("{n}.gif")), gif(frames)).unwrap();
    }
    let cache_dir = Some(cache.path().to_owned());
    let options = OpenOptions { memory_limit: 0, cache_dir, ..OpenOptions::default() };
    // Decoded, and from the cache.
    for _ in 0..2 {
        let set = open(folder.path(), &options).unwrap();
        assert_eq!(set.notes(), ["2 images have several frames or pages: only the first of each is used"]);
        assert!((0..3).all(|i| set.image(i).unwrap().iter().all(|&value| value == 0)));
    }
}

#[test]
fn photos_of_phones_are_refused_with_advice() {
    let folder = classes(1, 1);
    fs::write(folder.path().join("cat/photo.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::write(folder.path().join("cat/photo.avif"), b"\0\0\0\x18ftypavif\0\0\0\0mif1avif").unwrap();
    let error = fail(folder.path(), &OpenOptions::default());
    for name in ["HEIC", "AVIF"] {
        assert!(error.contains(&format!("found {name}; convert it to JPEG or PNG")), "{error}");
    }
}
