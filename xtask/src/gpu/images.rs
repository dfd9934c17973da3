//! The images of the folder: 32 pixels and three colours, in the binary format of CIFAR-10.

use std::f64::consts::TAU;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::kit::bytes_of;
use crate::draws::Draws;
use crate::package::{copy as copy_file, make};

/// A record of CIFAR-10: the class, then a red, a green and a blue plane.
const SIDE: usize = 32;
const RECORD: usize = 1 + 3 * SIDE * SIDE;
/// Generated images.
const COUNT: usize = 512;
const GENERATED: &str = "generated.bin";

/// Writes coloured waves and discs: smooth enough to be learned in minutes, each different. Returns the file's name.
pub(super) fn generate(folder: &Path) -> anyhow::Result<String> {
    let mut draws = Draws::new(1, 0);
    let mut bytes = Vec::with_capacity(COUNT * RECORD);
    for index in 0..COUNT {
        let class = index % 10;
        bytes.push(u8::try_from(class)?);
        let (angle, waves) = (draws.unit() * TAU, 1.0 + class as f64 / 3.0);
        let (x_0, y_0, radius) = (draws.unit() * 32.0, draws.unit() * 32.0, 4.0 + draws.unit() * 8.0);
        for _plane in 0..3 {
            let (phase, inside) = (draws.unit() * TAU, draws.unit() * 255.0);
            for pixel in 0..SIDE * SIDE {
                let (x, y) = ((pixel % SIDE) as f64, (pixel / SIDE) as f64);
                let along = (x * angle.cos() + y * angle.sin()) / SIDE as f64;
                let wave = 127.5 + 100.0 * (TAU * waves * along + phase).sin();
                let is_inside = (x - x_0).hypot(y - y_0) < radius;
                bytes.push(if is_inside { inside } else { wave } as u8);
            }
        }
    }
    let path = folder.join(GENERATED);
    fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(GENERATED.to_owned())
}

/// Copies the user's images, at most `room` bytes. Of CIFAR-10 batches, which do not fit, the first records are taken.
/// Returns the name below `folder`.
pub(super) fn copy(source: &Path, folder: &Path, room: u64) -> anyhow::Result<String> {
    let batches = batches(source)?;
    if !batches.is_empty() {
        let each = room as usize / batches.len() / RECORD * RECORD;
        let mut bytes = Vec::new();
        for path in &batches {
            let read = File::open(path).and_then(|file| file.take(each as u64).read_to_end(&mut bytes));
            read.with_context(|| format!("--data {}: cannot be read", path.display()))?;
        }
        let path = folder.join("cifar10.bin");
        fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        return Ok("cifar10.bin".to_owned());
    }
    let name = source.file_name().and_then(|name| name.to_str());
    let name =
        name.with_context(|| format!("--data {}: expected the name of a file or folder", source.display()))?;
    let bytes =
        if source.is_dir() { bytes_of(source)? } else { fs::metadata(source).map_or(0, |meta| meta.len()) };
    ensure!(
        bytes <= room,
        "--data {}: expected at most {room} bytes beside the programs, found {bytes}; name fewer images",
        source.display(),
    );
    tree(source, &folder.join(name))?;
    Ok(name.to_owned())
}

/// The training batches of CIFAR-10 in a folder, or such a file; none for anything else.
fn batches(source: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let meta =
        fs::metadata(source).with_context(|| format!("--data {}: cannot be read", source.display()))?;
    if meta.is_file() {
        let is_one =
            source.extension().is_some_and(|ext| ext == "bin") && meta.len().is_multiple_of(RECORD as u64);
        return Ok(if is_one { vec![source.to_owned()] } else { Vec::new() });
    }
    let mut found = Vec::new();
    for entry in
        fs::read_dir(source).with_context(|| format!("--data {}: cannot be read", source.display()))?
    {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("data_batch_") && name.ends_with(".bin") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a file, or a folder with all below it.
fn tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        return copy_file(from, to);
    }
    make(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("--data {}: cannot be read", from.display()))? {
        let entry = entry?;
        tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_images_are_records_that_differ() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = generate(one.path()).unwrap();
        generate(two.path()).unwrap();
        let bytes = fs::read(one.path().join(&name)).unwrap();
        assert_eq!(bytes.len(), COUNT * RECORD);
        assert_eq!(bytes, fs::read(two.path().join(name)).unwrap());
        let records: Vec<&[u8]> = bytes.chunks(RECORD).collect();
        assert!(records.iter().enumerate().all(|(index, record)| usize::from(record[0]) == index % 10));
        assert!(records.windows(2).all(|pair| pair[0][1..] != pair[1][1..]));
        let (low, high) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
        assert!(*low < 32 && *high > 223, "{low} {high}");
    }

    #[test]
    fn whole_records_of_all_batches_are_taken() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, class) in [("data_batch_1.bin", 1), ("data_batch_2.bin", 2), ("test_batch.bin", 3)] {
            fs::write(from.path().join(name), vec![class; 5 * RECORD]).unwrap();
        }
        let name = copy(from.path(), to.path(), 4 * RECORD as u64 + 100).unwrap();
        let bytes = fs::read(to.path().join(name)).unwrap();
        assert_eq!(bytes, [vec![1; 2 * RECORD], vec![2; 2 * RECORD]].concat());
    }

    #[test]
    fn other_images_are_copied_whole_or_refused() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let photos = from.path().join("photos");
        make(&photos.join("cats")).unwrap();
        fs::write(photos.join("cats/a.png"), "1234").unwrap();
        assert_eq!(copy(&photos, to.path(), 4).unwrap(), "photos");
        assert_eq!(fs::read(to.path().join("photos/cats/a.png")).unwrap(), b"1234");
        let error = copy(&photos, to.path(), 3).unwrap_err().to_string();
        assert!(error.starts_with("--data ") && error.contains("at most 3 bytes"), "{error}");
        let error = copy(&from.path().join("none"), to.path(), 9).unwrap_err();
        assert!(error.to_string().contains("none: cannot be read"), "{error}");
    }
}
