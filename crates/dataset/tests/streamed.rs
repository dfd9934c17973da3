//! Sets that are larger than the memory they may take: the same images, batches and identity as in memory.

// Clippy does not recognise helpers as tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dataset::{
    BatchPlan, Dataset, DatasetError, Fit, OnBad, OpenOptions, Order, Prefetch, Source, encode_png,
};
use ndarray::Array3;
use tempfile::TempDir;

/// A file of a set: its path within the set, and its bytes.
type Files = Vec<(String, Vec<u8>)>;

fn png(height: usize, width: usize, value: usize) -> Vec<u8> {
    let pixel = |(y, x, c): (usize, usize, usize)| (value * 31 + y * 5 + x * 3 + c * 40) as u8;
    encode_png(Array3::from_shape_fn((height, width, 3), pixel).view()).unwrap()
}

/// `count` images in classes `bird` and `cat`, sorted by path.
fn images(count: usize) -> Files {
    let class = |i: usize| if i < count / 2 { "bird" } else { "cat" };
    (0..count).map(|i| (format!("{}/{i:03}.png", class(i)), png(8, 6, i))).collect()
}

/// A tar archive (POSIX.1-1988 ustar).
fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, data) in files {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Shards `00.tar`, `01.tar`, ... with `each` files.
fn shards(folder: &Path, files: &Files, each: usize) {
    fs::create_dir_all(folder).unwrap();
    for (number, files) in files.chunks(each).enumerate() {
        fs::write(folder.join(format!("{number:02}.tar")), tar(files)).unwrap();
    }
}

/// The same images as a folder, an archive and shards.
fn everywhere(files: &Files) -> (TempDir, [PathBuf; 3]) {
    let all = tempfile::tempdir().unwrap();
    let places = ["folder", "a.zip", "shards"].map(|name| all.path().join(name));
    let mut zip = zip::ZipWriter::new(File::create(&places[1]).unwrap());
    for (name, data) in files {
        let path = places[0].join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
        zip.start_file(name.as_str(), zip::write::FileOptions::default()).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap();
    shards(&places[2], files, 7);
    (all, places)
}

fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    Dataset::open(&Source::detect(path.to_str().unwrap())?, options)
}

fn streaming() -> OpenOptions {
    OpenOptions { keep_limit: Some(0), channels: Some(3), ..OpenOptions::default() }
}

/// Streams the 30 images of a set, and may keep a few encoded ones.
fn buffering(order: Order) -> OpenOptions {
    OpenOptions { keep_limit: Some(30 * 8 * 6 * 3 - 1), order, ..streaming() }
}

fn in_memory() -> OpenOptions {
    OpenOptions { keep_limit: Some(u64::MAX), ..streaming() }
}

const ORDERS: [Order; 3] = [Order::Images, Order::Blocks { buffer: 5 }, Order::Blocks { buffer: 300 }];

#[test]
fn batches_are_the_same_bit_for_bit() {
    let (_all, places) = everywhere(&images(30));
    for order in ORDERS {
        let plan = BatchPlan::new(30, 8, 5).unwrap().with_flip(true).with_crop(0.4).unwrap();
        let plan = plan.with_jitter(0.3).unwrap().with_order(order).unwrap();
        let want = open(&places[0], &in_memory()).unwrap();
        for path in &places {
            for pad_to_multiple in [None, Some(8)] {
                let want = want.clone().with_border(pad_to_multiple.unwrap_or(1)).unwrap();
                let set = open(path, &OpenOptions { pad_to_multiple, ..buffering(order) }).unwrap();
                assert!(set.is_streamed() && !want.is_streamed() && !set.is_spooled());
                assert_eq!(set.class_names(), ["bird", "cat"]);
                for step in [0, 1, 7, 1000] {
                    assert_eq!(plan.batch(&set, step).unwrap(), plan.batch(&want, step).unwrap());
                }
                assert_eq!(set.images([29, 0]).unwrap(), want.images([29, 0]).unwrap());
            }
        }
    }
}

/// The kept shards, the archive and the folder have the same pixels.
#[test]
fn shards_in_memory_are_the_folder_they_were_made_of() {
    let (_all, places) = everywhere(&images(30));
    let of = |path: &Path| open(path, &in_memory()).unwrap().fingerprint().unwrap();
    let want = of(&places[0]);
    assert_eq!((of(&places[1]), of(&places[2])), (want.clone(), want));
    // One shard that is named, and a pattern.
    let first = open(&places[2].join("00.tar"), &in_memory()).unwrap();
    assert_eq!((first.len(), first.classes()), (7, 1));
    let some = open(&places[2].join("{00..01}.tar"), &in_memory()).unwrap();
    assert_eq!(
        (some.len(), some.image(9).unwrap()),
        (14, open(&places[0], &in_memory()).unwrap().image(9).unwrap())
    );
}

#[test]
fn a_resumed_run_sees_the_next_image() {
    let (_all, places) = everywhere(&images(30));
    for order in ORDERS {
        let options = buffering(order);
        let plan = || BatchPlan::new(30, 4, 9).unwrap().with_flip(true).with_order(order).unwrap();
        let whole = Prefetch::new(open(&places[2], &options).unwrap(), plan(), 0, 2).unwrap();
        let whole: Vec<_> = whole.take(20).map(Result::unwrap).collect();
        // Stopped after any step, and opened again.
        for stop in [1, 6, 7, 8, 15] {
            let rest = Prefetch::new(open(&places[2], &options).unwrap(), plan(), stop, 1).unwrap();
            let rest: Vec<_> = rest.take(20 - stop as usize).map(Result::unwrap).collect();
            assert_eq!(rest, whole[stop as usize..]);
        }
    }
}

#[test]
fn memory_holds_one_group_of_encoded_images() {
    let files = images(200);
    let (_all, places) = everywhere(&files);
    let largest = files.iter().map(|(_, data)| data.len() as u64 + 1024).max().unwrap();
    let plan = |order| BatchPlan::new(200, 16, 1).unwrap().with_order(order).unwrap();
    // Blocks of 1 image need no header in between, those of 2 do.
    for buffer in [10, 256] {
        let order = Order::Blocks { buffer };
        let options = OpenOptions { order, keep_limit: Some(8 * 6 * 3 * 200 - 1), ..streaming() };
        let set = open(&places[2], &options).unwrap();
        assert!(set.is_streamed());
        let mut most = 0;
        for step in 0..30 {
            let _ = plan(order).batch(&set, step).unwrap();
            most = set.held_bytes().max(most);
        }
        let limit = buffer as u64 * largest;
        assert!(most <= limit.min(8 * 6 * 3 * 200), "{most} of {limit}");
        // A group that fits is kept; otherwise nothing is, and a note says so.
        let noted = set.notes().iter().any(|note| note.starts_with("blocks of images are not kept"));
        assert_eq!(most == 0, noted, "{most} {:?}", set.notes());
    }
    // A buffer for more images than there are holds those that there are.
    let options = OpenOptions { order: Order::Blocks { buffer: 10_000 }, ..streaming() };
    let notes = open(&places[2], &options).unwrap().notes().join("\n");
    assert!(notes.contains("not kept: 200 encoded images take more than 0 MiB"), "{notes}");
    let set = open(&places[2], &streaming()).unwrap();
    let _ = plan(Order::Images).batch(&set, 0).unwrap();
    assert_eq!(set.held_bytes(), 0);
    assert_eq!(open(&places[2], &in_memory()).unwrap().held_bytes(), 200 * 8 * 6 * 3);
}

#[test]
fn the_identity_of_a_streamed_set_follows_its_content_and_not_its_place() {
    let files = images(30);
    let (_all, places) = everywhere(&files);
    let elsewhere = tempfile::tempdir().unwrap();
    let of = |files: &Files, options: &OpenOptions| {
        let folder = tempfile::tempdir_in(elsewhere.path()).unwrap();
        shards(folder.path(), files, 7);
        open(folder.path(), options).unwrap().fingerprint().unwrap()
    };
    let streamed = open(&places[2], &streaming()).unwrap();
    let known = streamed.fingerprint().unwrap();
    assert!(known.starts_with("index:") && known.len() == 6 + 64, "{known}");
    assert_eq!(of(&files, &streaming()), known);
    let with = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        of(&files, &streaming())
    };
    let others = [
        with(&|files| files.truncate(29)),
        with(&|files| files[3].1.extend([0; 600])),
        with(&|files| files[29].0 = "dog/029.png".to_owned()),
        // The first image is one of those whose bytes count.
        with(&|files| files[0].1 = png(8, 6, 99)),
        of(&files, &OpenOptions { size: Some(4.into()), ..streaming() }),
        of(&files, &OpenOptions { fit: Fit::Stretch, ..streaming() }),
        of(&files, &OpenOptions { pad_to_multiple: Some(16), ..streaming() }),
        of(&files, &OpenOptions { limit: Some(20), ..streaming() }),
    ];
    assert!(others.iter().all(|other| *other != known && other.starts_with("index:")), "{others:?}");
    assert_ne!(streamed.subset(0..29).unwrap().fingerprint().unwrap(), known);
    // A set that fits into memory on another machine is recognised there, and the other way round.
    let kept = open(&places[2], &in_memory()).unwrap();
    let pixels = kept.fingerprint().unwrap();
    assert_ne!(pixels, known);
    assert_eq!(kept.fingerprint_like(&known).unwrap(), known);
    assert_eq!(streamed.fingerprint_like(&pixels).unwrap(), pixels);
    let archive = open(&places[1], &streaming()).unwrap();
    assert_ne!(archive.fingerprint_like(&known).unwrap(), known);
    assert_eq!(archive.fingerprint_like(&pixels).unwrap(), pixels);
}

#[test]
fn a_damaged_image_is_an_error_when_it_is_read() {
    let mut files = images(200);
    let count = files.len();
    // Neither of them is among those that are checked at the start.
    files[1].1 = b"no image".to_vec();
    files[2].1 = png(8, 7, 2);
    let (_all, places) = everywhere(&files);
    for path in &places {
        let set = open(path, &streaming()).unwrap();
        assert_eq!(set.len(), count);
        assert!(
            set.notes().iter().any(|note| note.contains("only 64 images were checked")),
            "{:?}",
            set.notes()
        );
        let error = set.image(1).unwrap_err().to_string();
        assert!(error.contains("expected a whole image that can be read, found expected PNG"), "{error}");
        let error = set.image(2).unwrap_err().to_string();
        assert!(error.contains("expected 6x8 pixels, found 7x8"), "{error}");
        set.image(3).unwrap();
        let batch = BatchPlan::new(count, count, 1).unwrap().batch(&set, 0);
        assert!(matches!(batch, Err(DatasetError::Unsuitable { .. })));
    }
    // With a size, images of any size are used.
    let sized = open(&places[2], &OpenOptions { size: Some(4.into()), ..streaming() }).unwrap();
    assert_eq!(sized.image(2).unwrap().dim(), (4, 4, 3));
}

#[test]
fn what_needs_all_images_is_refused() {
    let mut files = images(20);
    let (_all, places) = everywhere(&files);
    for path in &places {
        let options = OpenOptions { on_bad: OnBad::Skip, ..streaming() };
        let error = open(path, &options).unwrap_err();
        assert!(matches!(error, DatasetError::NeedsMemory { needed: 2880, limit: 0, .. }), "{error}");
    }
    files[19].1 = png(9, 6, 1);
    files[7].1 = b"no image".to_vec();
    let (_all, places) = everywhere(&files);
    for path in &places {
        assert!(matches!(open(path, &streaming()), Err(DatasetError::MixedSizes { .. })));
        let error = open(path, &OpenOptions { size: Some(4.into()), ..streaming() }).unwrap_err();
        assert!(
            matches!(error, DatasetError::BadImages { total: 20, ref reasons, .. } if reasons.len() == 1),
            "{error}"
        );
    }
}

#[test]
fn grey_images_are_read_as_colour_unless_asked() {
    let grey = Array3::from_shape_fn((8, 6, 1), |(y, x, _)| (y * 20 + x) as u8);
    let files = vec![("1.png".to_owned(), encode_png(grey.view()).unwrap())];
    let (_all, places) = everywhere(&files);
    for path in &places {
        let any = open(path, &OpenOptions { channels: None, ..streaming() }).unwrap();
        assert_eq!(any.image(0).unwrap(), grey.broadcast((8, 6, 3)).unwrap());
        assert!(any.notes().iter().any(|note| note.contains("read as colour")), "{:?}", any.notes());
        let one = open(path, &OpenOptions { channels: Some(1), ..streaming() }).unwrap();
        assert_eq!(one.image(0).unwrap(), grey);
        assert_eq!(one.classes(), 0);
    }
}

#[test]
fn samples_with_a_class_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    for i in 0..12 {
        files.push((format!("{i:06}.cls"), (i % 3).to_string().into_bytes()));
        files.push((format!("{i:06}.json"), b"{}".to_vec()));
        files.push((format!("{i:06}.png"), png(8, 6, i)));
    }
    shards(folder.path(), &files, 9);
    for options in [streaming(), in_memory()] {
        let set = open(folder.path(), &OpenOptions { labels_required: true, ..options }).unwrap();
        assert_eq!((set.len(), set.classes()), (12, 3));
        assert!((0..12).all(|i| set.label(i) == Some(i as u32 % 3)));
        let want = open(folder.path(), &in_memory()).unwrap();
        assert_eq!(set.images(0..12).unwrap(), want.images(0..12).unwrap());
    }
}
