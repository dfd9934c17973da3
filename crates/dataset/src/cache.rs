//! The cache file, which keeps decoded images for the next start.
//!
//! The file has a header of 128 bytes, the pixels of all items, a u32 label for each item if there are labels, and a
//! CRC-32 for each item. The header holds the key, six numbers, and the SHA-256 of everything after the pixels. The
//! key is the SHA-256 of everything that determines the content. So every changed byte is detected, and one item can be
//! checked without reading the others.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use files::PendingFile;
use sha2::{Digest, Sha256};

use crate::items::Items;
use crate::limits::checked_product;
use crate::store::{Store, StoreFile, checksum};

const MAGIC: &[u8; 16] = b"ddpm pixels v3\r\n";
pub(crate) const HEADER: usize = 128;
const NUMBERS: usize = 6;
/// How long unused pixels are kept; mostly they belong to images that have changed since.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The path of the cache file for a key.
pub(crate) fn cache_path(folder: &Path, key: &[u8; 32]) -> PathBuf {
    folder.join(format!("pixels-{}.bin", hex(&key[..16])))
}

/// Creates a file under construction for `path`, locked while it is open. By the lock [`remove_abandoned`]
/// distinguishes it from a file left by a killed process.
pub(crate) fn create_locked(path: &Path) -> io::Result<PendingFile> {
    for _ in 0..10 {
        let pending = PendingFile::create(path)?;
        let file = pending.reopen()?;
        match file.try_lock() {
            // Before it was locked, another process may have removed it as abandoned.
            Ok(()) if has_name(&file)? => return Ok(pending),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // If locks are not supported, nobody can take the file for abandoned.
            Err(TryLockError::Error(_)) => return Ok(pending),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(unix)]
fn has_name(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) > 0)
}

#[cfg(not(unix))]
fn has_name(_: &File) -> io::Result<bool> {
    // On other systems an open file keeps its name.
    Ok(true)
}

/// Removes unfinished files of killed processes from a cache folder, and pixels that no dataset has used for [`KEPT`].
/// Files that a running process writes are locked and stay. Anything that cannot be removed is left for the next time.
pub(crate) fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let pending = name.starts_with(".pixels-") && name.ends_with(".tmp");
        let finished = name.starts_with("pixels-") && name.ends_with(".bin");
        if !(pending || finished) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        let age = || file.metadata().ok()?.modified().ok()?.elapsed().ok();
        if finished && age().is_none_or(|age| age < KEPT) {
            continue;
        }
        if file.try_lock().is_ok() && fs::remove_file(entry.path()).is_ok() {
            tracing::debug!(file = %entry.path().display(), "removed an abandoned cache file");
        }
    }
}

/// The items of an earlier start, if the cache holds all of them under this key. `like` has what the folder says about
/// them. A file with a changed byte is rejected.
pub(crate) fn open_cached(cache: &Path, key: &[u8; 32], like: &Items) -> Option<Items> {
    let path = cache_path(cache, key);
    let mut file = files::open_regular(&path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut found = [0; HEADER];
    file.read_exact(&mut found).ok()?;
    let number = |place: usize| {
        let at = 48 + 8 * place;
        found[at..at + 8].try_into().ok().map(u64::from_le_bytes).and_then(|n| usize::try_from(n).ok())
    };
    let (count, height, width, channels) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let (skipped, shortened) = (number(4)?, number(5)?);
    let pixels = checked_product(&[count as u64, height as u64, width as u64, channels as u64])?;
    let labelled = !like.class_names.is_empty();
    let tail_bytes = count.checked_mul(if labelled { 8 } else { 4 })?;
    let expected = HEADER.checked_add(pixels)?.checked_add(tail_bytes)?;
    if count == 0 || pixels == 0 || !(channels == 1 || channels == 3) || length != expected as u64 {
        return None;
    }
    file.seek(SeekFrom::Start((HEADER + pixels) as u64)).ok()?;
    let mut tail = vec![0; tail_bytes];
    file.read_exact(&mut tail).ok()?;
    let mut numbers = tail.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let labels: Option<Vec<u32>> = labelled.then(|| numbers.by_ref().take(count).collect());
    let checksums: Vec<u32> = numbers.collect();
    let in_range = |label: &u32| (*label as usize) < like.class_names.len();
    let items = Items {
        store: Store::Memory(Vec::new()),
        count,
        height,
        width,
        channels,
        labels,
        class_names: like.class_names.clone(),
        skipped,
        shortened,
        notes: like.notes.clone(),
        identity: like.identity,
        streamed: false,
    };
    let whole = found == header(key, &items, &tail)
        && items.labels.iter().flatten().all(in_range)
        && sound(&mut file, &checksums, pixels / count).unwrap_or(false);
    if !whole {
        tracing::warn!("{}: damaged, so the images are decoded again", path.display());
        return None;
    }
    // Record the last use for `remove_abandoned`. If that fails, the file is only rebuilt some day.
    let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
    let offset = HEADER as u64;
    Some(Items { store: Store::File(StoreFile { file, path, offset, checksums, _unkept: None }), ..items })
}

/// Whether the checksums of all items match.
fn sound(file: &mut File, checksums: &[u32], item_bytes: usize) -> io::Result<bool> {
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut item = vec![0; item_bytes];
    for &known in checksums {
        reader.read_exact(&mut item)?;
        if checksum(&item) != known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes after the pixels.
pub(crate) fn tail(labels: Option<&[u32]>, checksums: &[u32]) -> Vec<u8> {
    labels.unwrap_or_default().iter().chain(checksums).flat_map(|number| number.to_le_bytes()).collect()
}

/// The header for these items; `tail` follows their pixels.
pub(crate) fn header(key: &[u8; 32], items: &Items, tail: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(MAGIC);
    header[16..48].copy_from_slice(key);
    let Items { count, height, width, channels, skipped, shortened, .. } = *items;
    let numbers: [usize; NUMBERS] = [count, height, width, channels, skipped, shortened];
    for (place, number) in header[48..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&(number as u64).to_le_bytes());
    }
    header[48 + 8 * NUMBERS..][..32].copy_from_slice(&Sha256::digest(tail));
    header
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_nobody_writes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = cache_path(folder.path(), &[7; 32]);
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let alive = create_locked(&path).unwrap();
        let living = names();
        // Left by an interrupted process, of this version and of one that did not lock.
        fs::write(folder.path().join(".pixels-00.bin.77-0.tmp"), "half").unwrap();
        let kept = ["pixels-00.bin", ".other.77-0.tmp"];
        kept.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        remove_abandoned(folder.path());
        assert_eq!(names().len(), living.len() + kept.len());
        assert!(names().contains(&living[0]));
        // A process that ends releases its lock, even if it removes nothing.
        std::mem::forget(alive.reopen().unwrap().unlock());
        std::mem::forget(alive);
        remove_abandoned(folder.path());
        assert_eq!(names().len(), kept.len());
        remove_abandoned(&folder.path().join("nowhere"));
        // Pixels that have not been used for a long time are removed too.
        let old = File::options().write(true).open(folder.path().join("pixels-00.bin")).unwrap();
        old.set_modified(SystemTime::now() - KEPT + Duration::from_secs(100)).unwrap();
        remove_abandoned(folder.path());
        assert_eq!(names().len(), kept.len());
        old.set_modified(SystemTime::now() - KEPT - Duration::from_secs(100)).unwrap();
        remove_abandoned(folder.path());
        assert_eq!(names(), [".other.77-0.tmp"]);
    }
}
