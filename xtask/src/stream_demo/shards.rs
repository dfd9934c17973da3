//! Writes the synthetic set: tar shards in WebDataset's layout, in parallel. The content follows from seed and size.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::embedded::Embedded;
use super::sample;
use crate::draws::Draws;
use crate::json_file::{read_json, write_json};
use crate::process::Exit;

/// What the folder holds; written last, so a set without it is incomplete.
const MADE: &str = "made.json";
/// Bytes of a shard at most. With 20 GB, the program can keep all shards open.
const SHARD: u64 = 256 << 20;
/// Shards at least, so that small sets have several too.
const LEAST: u64 = 4;
/// Samples that one shard may have, so that all numbers differ.
const NUMBERS: u64 = 1_000_000;

/// A finished set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) seed: u64,
    /// Bytes that were asked for.
    pub(super) asked: u64,
    pub(super) bytes: u64,
    pub(super) images: u64,
    pub(super) shards: u64,
}

/// Makes a set of `asked` bytes in a folder, or finds it there.
///
/// # Errors
/// A usage error for a folder with other files, and for a disk without enough room.
pub(super) fn make(folder: &Path, embedded: &Embedded, asked: u64, seed: u64) -> anyhow::Result<Made> {
    let what = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(what)?;
    let path = folder.join(MADE);
    if let Some(made) = read_json::<Made>(&path)? {
        if (made.seed, made.asked) == (seed, asked) {
            return Ok(made);
        }
        let (gb, other) = (made.asked as f64 / 1e9, made.seed);
        let text = format!("--dir {}: holds a set of {gb} GB from seed {other}; name another folder", what());
        return Err(Exit::usage(text).into());
    }
    if fs::read_dir(folder).with_context(what)?.next().is_some() {
        let text = format!("--dir {}: expected an empty folder, found files in it", what());
        return Err(Exit::usage(text).into());
    }
    // The archives end with a few bytes more, and other programs write too.
    let (free, needed) = (free(folder)?, asked.saturating_add(asked / 10));
    if free < needed {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        let text = format!(
            "--dir {}: expected {:.1} GB of free space, found {:.1} GB; name a folder on another disk, or fewer --gb",
            what(),
            gb(needed),
            gb(free)
        );
        return Err(Exit::usage(text).into());
    }
    let made = write(folder, embedded, asked, seed)?;
    write_json(&path, &made)?;
    Ok(made)
}

/// Free bytes of the disk that has a folder.
fn free(folder: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(folder).with_context(|| folder.display().to_string())?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Writes all shards on all cores.
fn write(folder: &Path, embedded: &Embedded, asked: u64, seed: u64) -> anyhow::Result<Made> {
    let shards = asked.div_ceil(SHARD).max(LEAST);
    let each = asked.div_ceil(shards);
    let next = AtomicU64::new(0);
    let work = || -> anyhow::Result<(u64, u64)> {
        let (mut bytes, mut images) = (0, 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= shards {
                return Ok((bytes, images));
            }
            let path = folder.join(format!("shard-{number:05}.tar"));
            let (length, count) = shard(&path, embedded, number, each, seed)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            (bytes, images) = (bytes + length, images + count);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<anyhow::Result<(u64, u64)>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, anyhow::Result<(u64, u64)>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread that writes shards ended unexpectedly")))
        };
        threads.into_iter().map(ended).collect()
    });
    let mut made = Made { seed, asked, bytes: 0, images: 0, shards };
    for part in parts {
        let (bytes, images) = part?;
        made.bytes += bytes;
        made.images += images;
    }
    Ok(made)
}

/// Writes a shard of about `length` bytes. Returns its bytes and images.
fn shard(path: &Path, embedded: &Embedded, number: u64, length: u64, seed: u64) -> io::Result<(u64, u64)> {
    let mut draws = Draws::new(seed, number);
    let (mut bytes, mut images) = (0, 0);
    files::write_atomic_with(path, |out| {
        while bytes < length && images < NUMBERS {
            let sample = sample::files(embedded, number * NUMBERS + images, &mut draws)?;
            out.write_all(&sample)?;
            bytes += sample.len() as u64;
            images += 1;
        }
        let end = sample::end();
        bytes += end.len() as u64;
        out.write_all(&end)
    })?;
    Ok((bytes, images))
}

#[cfg(test)]
mod tests {
    use super::super::embedded::tests::two;
    use super::*;

    #[test]
    fn a_set_has_its_size_and_is_made_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("new/set");
        let made = make(&folder, &two(), 100_000, 5).unwrap();
        assert_eq!((made.shards, made.asked), (4, 100_000));
        let length = |number: u64| fs::metadata(folder.join(format!("shard-{number:05}.tar"))).unwrap().len();
        assert_eq!((0..4).map(length).sum::<u64>(), made.bytes);
        assert!(made.bytes >= 100_000 && made.bytes < 100_000 + 4 * 5000, "{made:?}");
        assert_eq!(made.bytes, made.images * 2560 + 4 * 1024);
        // The same set is found, also if it could not be written again.
        let first = fs::read(folder.join("shard-00000.tar")).unwrap();
        assert_eq!(make(&folder, &two(), 100_000, 5).unwrap(), made);
        let other = place.path().join("other");
        make(&other, &two(), 100_000, 5).unwrap();
        assert_eq!(fs::read(other.join("shard-00000.tar")).unwrap(), first);
        assert_ne!(fs::read(other.join("shard-00001.tar")).unwrap(), first);
    }

    #[test]
    fn other_folders_and_full_disks_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let refused = |folder: &Path, asked: u64, seed: u64, reason: &str| {
            let error = make(folder, &two(), asked, seed).unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
            assert!(error.to_string().contains(reason), "{error}");
        };
        let set = place.path().join("set");
        make(&set, &two(), 50_000, 5).unwrap();
        refused(&set, 50_000, 6, "holds a set of 0.00005 GB from seed 5");
        refused(&set, 60_000, 5, "name another folder");
        let full = place.path().join("full");
        refused(&full, u64::MAX / 2, 5, "GB of free space, found");
        assert_eq!(fs::read_dir(&full).unwrap().count(), 0);
        fs::write(full.join("notes.txt"), "x").unwrap();
        refused(&full, 50_000, 5, "expected an empty folder");
    }
}
