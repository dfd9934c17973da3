//! Parquet files, ours and pyarrow's: the same images and batches as in a folder, in memory or streamed.
#![cfg(feature = "parquet")]
// Clippy does not recognise helpers as tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataset::{BatchPlan, Dataset, DatasetError, OpenOptions, Order, Prefetch, Source, encode_png, save_png};
use ndarray::Array3;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;
use tempfile::TempDir;

const COUNT: usize = 30;

/// Bytes of the image and label of a row; either may be missing.
type Row = (Option<Vec<u8>>, Option<i64>);

fn pixels(value: usize) -> Array3<u8> {
    Array3::from_shape_fn((8, 6, 3), |(y, x, c)| (value * 31 + y * 5 + x * 3 + c * 40) as u8)
}

fn rows(count: usize) -> Vec<Row> {
    (0..count).map(|i| (Some(encode_png(pixels(i).view()).unwrap()), Some((i % 3) as i64))).collect()
}

/// The layout of the datasets library: a structure with bytes and a path, and labels.
fn write(path: &Path, rows: &[Row], each: usize, properties: WriterProperties) {
    let schema = "message schema {
        optional group image { optional binary bytes; optional binary path (UTF8); }
        optional int64 label;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    for rows in rows.chunks(each) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = rows.iter().filter_map(|row| Some(row.0.clone()?.into())).collect();
        let levels: Vec<i16> = rows.iter().map(|row| if row.0.is_some() { 2 } else { 1 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images[..], Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.1.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels[..], Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Small pages, so that a row group has several, each a few rows.
fn small_pages(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(compression)
        .set_data_page_size_limit(300)
        .set_write_batch_size(2)
        .set_dictionary_page_size_limit(300)
        .build()
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// Two files, with 7 rows per group.
fn files(folder: &Path, rows: &[Row], compression: Compression) {
    fs::create_dir_all(folder).unwrap();
    let (first, second) = rows.split_at(rows.len() / 3);
    write(&folder.join("a-0.parquet"), first, 7, small_pages(compression));
    write(&folder.join("a-1.parquet"), second, 7, small_pages(compression));
}

fn set(rows: &[Row], compression: Compression) -> (TempDir, PathBuf) {
    let all = tempfile::tempdir().unwrap();
    let path = all.path().join("set");
    files(&path, rows, compression);
    (all, path)
}

fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    Dataset::open(&Source::detect(path.to_str().unwrap())?, options)
}

fn in_memory() -> OpenOptions {
    OpenOptions { keep_limit: Some(u64::MAX), channels: Some(3), ..OpenOptions::default() }
}

/// Streams the images, and may keep a few pages.
fn streaming(order: Order) -> OpenOptions {
    OpenOptions { keep_limit: Some((COUNT * 8 * 6 * 3 - 1) as u64), order, ..in_memory() }
}

const ORDERS: [Order; 3] = [Order::Images, Order::Blocks { buffer: 5 }, Order::Blocks { buffer: 300 }];

#[test]
fn images_and_batches_are_those_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..COUNT {
        save_png(&folder.path().join(format!("{index:02}.png")), pixels(index).view()).unwrap();
    }
    let want = open(folder.path(), &in_memory()).unwrap();
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd()] {
        let (_all, path) = set(&rows(COUNT), compression);
        let kept = open(&path, &in_memory()).unwrap();
        assert!(!kept.is_streamed() && (kept.len(), kept.classes()) == (COUNT, 3));
        for order in ORDERS {
            let streamed = open(&path, &streaming(order)).unwrap();
            assert!(streamed.is_streamed());
            let plan = BatchPlan::new(COUNT, 8, 5).unwrap().with_flip(true).with_order(order).unwrap();
            for step in [0, 1, 7, 1000] {
                let batch = plan.batch(&streamed, step).unwrap();
                assert_eq!(batch, plan.batch(&kept, step).unwrap());
                assert_eq!(batch.images, plan.batch(&want, step).unwrap().images);
            }
            assert!((0..COUNT).all(|i| streamed.label(i) == Some(i as u32 % 3)));
            assert_eq!(streamed.images(0..COUNT).unwrap(), want.images(0..COUNT).unwrap());
        }
    }
}

/// Files of pyarrow: scripts/make_parquet_goldens.py.
#[test]
fn files_of_pyarrow() {
    for name in ["struct-snappy.parquet", "binary-zstd.parquet"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name);
        for keep_limit in [Some(0), Some(u64::MAX)] {
            let options = OpenOptions {
                keep_limit,
                channels: Some(1),
                labels_required: true,
                ..OpenOptions::default()
            };
            let set = open(&path, &options).unwrap();
            assert_eq!((set.len(), set.shape(), set.classes()), (10, (4, 6, 1), 3));
            for index in (0..10).rev() {
                assert!(set.image(index).unwrap().iter().all(|&pixel| usize::from(pixel) == 20 * index));
                assert_eq!(set.label(index), Some(index as u32 % 3));
            }
        }
    }
}

/// One column of bytes, without missing values.
fn write_required(path: &Path, properties: WriterProperties) {
    let schema = "message schema { required int32 cls; required binary image; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[2, 0, 1][..], None, None).unwrap();
    column.close().unwrap();
    let images: Vec<ByteArray> = (0..3).map(|i| encode_png(pixels(i).view()).unwrap().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images[..], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn required_columns_and_both_versions_of_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for dictionary in [false, true] {
            let properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_dictionary_enabled(dictionary)
                .set_compression(Compression::SNAPPY)
                .set_column_encoding(ColumnPath::from("image"), Encoding::PLAIN);
            write_required(&path, properties.build());
            let set = open(&path, &OpenOptions { labels_required: true, ..in_memory() }).unwrap();
            assert_eq!((0..3).filter_map(|index| set.label(index)).collect::<Vec<_>>(), [2, 0, 1]);
            assert!((0..3).all(|index| set.image(index).unwrap() == pixels(index)));
        }
    }
}

#[test]
fn encodings_that_are_not_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // A page of prefixes may claim any size.
    let prefixes = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_column_encoding(ColumnPath::from("image"), Encoding::DELTA_BYTE_ARRAY);
    write_required(&path, prefixes.build());
    let error = open(&path, &in_memory()).unwrap_err().to_string();
    assert!(error.contains("expected values that are plain, in a dictionary, or differences"), "{error}");
}

#[test]
fn a_resumed_run_sees_the_next_image() {
    let (_all, path) = set(&rows(COUNT), zstd());
    for order in ORDERS {
        let options = streaming(order);
        let plan = || BatchPlan::new(COUNT, 4, 9).unwrap().with_flip(true).with_order(order).unwrap();
        let whole = Prefetch::new(open(&path, &options).unwrap(), plan(), 0, 2).unwrap();
        let whole: Vec<_> = whole.take(20).map(Result::unwrap).collect();
        // Stopped after any step, and opened again.
        for stop in [1, 6, 7, 8, 15] {
            let rest = Prefetch::new(open(&path, &options).unwrap(), plan(), stop, 1).unwrap();
            let rest: Vec<_> = rest.take(20 - stop as usize).map(Result::unwrap).collect();
            assert_eq!(rest, whole[stop as usize..]);
        }
    }
}

#[test]
fn the_limit_and_the_identity_follow_the_content_and_not_the_place() {
    let options = streaming(Order::Images);
    let of = |rows: &[Row], options: &OpenOptions| {
        let (_all, path) = set(rows, zstd());
        open(&path, options).unwrap().fingerprint().unwrap()
    };
    let known = of(&rows(COUNT), &options);
    assert!(known.starts_with("index:"), "{known}");
    assert_eq!(of(&rows(COUNT), &options), known);
    let mut other_label = rows(COUNT);
    other_label[4].1 = Some(2);
    let mut other_image = rows(COUNT);
    other_image[0].0 = Some(encode_png(pixels(99).view()).unwrap());
    let streamed_anyway = OpenOptions { keep_limit: Some(0), ..options.clone() };
    for other in [
        of(&other_label, &options),
        of(&other_image, &options),
        of(&rows(COUNT - 1), &streamed_anyway),
        of(&rows(COUNT), &OpenOptions { limit: Some(20), ..streamed_anyway.clone() }),
    ] {
        assert!(other != known && other.starts_with("index:"), "{other}");
    }
    let (_all, path) = set(&rows(COUNT), zstd());
    let some = open(&path, &OpenOptions { limit: Some(10), ..in_memory() }).unwrap();
    assert!((0..10).all(|i| some.image(i).unwrap() == pixels(3 * i) && some.label(i) == Some(0)));
}

#[test]
fn memory_holds_the_pages_of_one_group() {
    let many = rows(200);
    let (_all, path) = set(&many, Compression::SNAPPY);
    let whole: u64 = many.iter().map(|row| row.0.as_ref().unwrap().len() as u64).sum();
    let held = |order: Order, limit: u64| {
        let options = OpenOptions { order, keep_limit: Some(limit), ..in_memory() };
        let set = open(&path, &options).unwrap();
        assert!(set.is_streamed());
        let plan = BatchPlan::new(200, 16, 1).unwrap().with_order(order).unwrap();
        let mut most = 0;
        for step in 0..30 {
            let _ = plan.batch(&set, step).unwrap();
            most = set.held_bytes().max(most);
        }
        (most, set.notes().join("\n"))
    };
    let limit = (200 * 8 * 6 * 3 - 1) as u64;
    let (most, notes) = held(Order::Blocks { buffer: 10 }, limit);
    assert!(most > 0 && most <= limit.min(whole), "{most} of {limit}, {whole} in all: {notes}");
    // Less than a page: one at a time.
    let (most, notes) = held(Order::Blocks { buffer: 10 }, 10);
    assert!(most > 10 && most < 5000 && notes.contains("pages are decompressed again"), "{most}: {notes}");
    assert!(held(Order::Images, limit).1.contains("data.order = blocks keeps it"));
}

#[test]
fn labels_that_cannot_be_used_are_dropped_or_refused() {
    let with = |label: Option<i64>| {
        let mut rows = rows(COUNT);
        rows[17].1 = label;
        set(&rows, zstd())
    };
    for (label, reason) in [
        (None, "expected a label for every image, found an empty value"),
        (Some(-1), "expected labels in 0..65536, found the label -1"),
        (Some(65536), "found the label 65536"),
        (Some(i64::MAX), "expected labels in 0..65536"),
    ] {
        let (_all, path) = with(label);
        let required = OpenOptions { labels_required: true, ..in_memory() };
        let error = open(&path, &required).unwrap_err().to_string();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
        let set = open(&path, &in_memory()).unwrap();
        let notes = set.notes().join("\n");
        assert!(set.classes() == 0 && notes.contains(reason), "{notes}");
    }
}

#[test]
fn names_of_files_are_parts() {
    let all = tempfile::tempdir().unwrap();
    let at = |name: &str| all.path().join(name);
    write(&at("train-00000-of-00002.parquet"), &rows(4), 9, small_pages(zstd()));
    write(&at("train-00001-of-00002.parquet"), &rows(5), 9, small_pages(zstd()));
    write(&at("test-00000-of-00001.parquet"), &rows(3), 9, small_pages(zstd()));
    assert_eq!(open(all.path(), &in_memory()).unwrap().len(), 9);
    let part = |name: &str| open(Path::new(&format!("{}:{name}", all.path().display())), &in_memory());
    assert_eq!(part("test").unwrap().len(), 3);
    assert!(matches!(part("validation"), Err(DatasetError::NoPart { .. })));
    let lone = open(&at("test-00000-of-00001.parquet"), &in_memory()).unwrap();
    assert_eq!(lone.len(), 3);
}

#[test]
fn missing_and_damaged_images_are_errors_when_they_are_read() {
    let mut some = rows(200);
    // Neither of them is among those that are checked at the start.
    some[1].0 = None;
    some[2].0 = Some(b"no image".to_vec());
    let (_all, path) = set(&some, zstd());
    let streamed = open(&path, &OpenOptions { keep_limit: Some(0), ..in_memory() }).unwrap();
    let error = streamed.image(1).unwrap_err().to_string();
    assert!(error.contains("a-0.parquet[row 1]") && error.contains("found an empty value"), "{error}");
    let error = streamed.image(2).unwrap_err().to_string();
    assert!(error.contains("[row 2]") && error.contains("found expected PNG"), "{error}");
    // The first row of the second file.
    assert_eq!(streamed.image(66).unwrap(), pixels(66));
    let error = open(&path, &in_memory()).unwrap_err();
    assert!(
        matches!(&error, DatasetError::BadImages { total: 200, reasons, .. } if reasons.len() == 2),
        "{error}"
    );
}

#[test]
fn files_that_end_early_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, &rows(9), 4, small_pages(zstd()));
    let whole = fs::read(&path).unwrap();
    for length in (8..whole.len()).step_by(41) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path, &in_memory()).unwrap_err();
        assert!(
            matches!(error, DatasetError::Malformed { .. } | DatasetError::Unsuitable { .. }),
            "{length}: {error}"
        );
    }
}

/// Opens a file and reads all of it.
fn read_all(path: &Path) -> Result<(), DatasetError> {
    let options = OpenOptions { keep_limit: Some(0), size: Some(4.into()), ..in_memory() };
    let set = open(path, &options)?;
    (0..set.len()).try_for_each(|index| set.image(index).map(drop))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the damage, there is an error or there are images, but no panic.
    #[test]
    fn damage_is_an_error(
        golden in prop::sample::select(vec!["struct-snappy.parquet", "binary-zstd.parquet"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(golden)).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        fs::write(&path, bytes).unwrap();
        match read_all(&path) {
            // A detected kind may be another one.
            Ok(()) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
