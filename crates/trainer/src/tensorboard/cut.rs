//! Cuts event files after a kill: events beyond the checkpoint will be written again.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use super::wire::{masked_crc32c, step_of};
use super::{MARK, PREFIX};

/// Most bytes of a record: several times those of the largest grid of samples.
const MAX_RECORD: u64 = 64 << 20;

/// Removes the events after `step` from this program's files in a folder, and an incomplete last record left by a kill.
/// Other files are left alone.
///
/// # Errors
/// File system errors.
pub(crate) fn cut_after(folder: &Path, step: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A link does not belong to this program.
        if name.starts_with(PREFIX) && name.contains(MARK) && entry.file_type()?.is_file() {
            cut_file(&entry.path(), step)?;
        }
    }
    Ok(())
}

fn cut_file(path: &Path, step: u64) -> io::Result<()> {
    let mut reader = BufReader::new(files::open_own(path, File::options().read(true))?);
    let (mut beyond, mut record) = (false, Vec::new());
    let end = loop {
        match next(&mut reader, &mut record)? {
            Next::Event(at) => beyond |= at > step,
            other => break other,
        }
    };
    // From another program, or damaged: not ours to repair.
    if matches!(end, Next::Foreign) || !(beyond || matches!(end, Next::Torn)) {
        return Ok(());
    }
    reader.rewind()?;
    files::write_atomic_with(path, |out| {
        while let Next::Event(at) = next(&mut reader, &mut record)? {
            if at <= step {
                out.write_all(&record)?;
            }
        }
        Ok(())
    })
}

/// The next item in a file.
enum Next {
    /// A complete record, with the step of its event.
    Event(u64),
    /// The end of the file.
    End,
    /// An incomplete record.
    Torn,
    /// Anything else.
    Foreign,
}

/// Reads a record with its frame into `record`.
fn next(reader: &mut impl Read, record: &mut Vec<u8>) -> io::Result<Next> {
    record.clear();
    if reader.take(12).read_to_end(record)? < 12 {
        return Ok(if record.is_empty() { Next::End } else { Next::Torn });
    }
    let (length, crc) = record.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let bytes = number(length);
    if number(crc) != u64::from(masked_crc32c(length)) || bytes > MAX_RECORD {
        return Ok(Next::Foreign);
    }
    if (reader.take(bytes + 4).read_to_end(record)? as u64) < bytes + 4 {
        return Ok(Next::Torn);
    }
    Ok(step_of(&record[12..record.len() - 4]).map_or(Next::Foreign, Next::Event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventFile;

    /// The steps in a file, in order.
    fn steps(path: &Path) -> Vec<u64> {
        let (mut reader, mut record, mut steps) = (File::open(path).unwrap(), Vec::new(), Vec::new());
        while let Next::Event(step) = next(&mut reader, &mut record).unwrap() {
            steps.push(step);
        }
        steps
    }

    #[test]
    fn what_lies_beyond_the_checkpoint_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 0).unwrap();
        for step in 1..=5 {
            events.scalar("train/loss", step, 0.5).unwrap();
        }
        let path = events.path().to_owned();
        // The file version has no step; the session begins before step 1.
        assert_eq!(steps(&path), [0, 1, 1, 2, 3, 4, 5]);
        let before = fs::read(&path).unwrap();
        cut_after(folder.path(), 5).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        // A kill in the middle of a record.
        fs::write(&path, &before[..before.len() - 3]).unwrap();
        cut_after(folder.path(), 9).unwrap();
        assert_eq!(steps(&path), [0, 1, 1, 2, 3, 4]);
        assert!(before.starts_with(&fs::read(&path).unwrap()));
        cut_after(folder.path(), 2).unwrap();
        assert_eq!(steps(&path), [0, 1, 1, 2]);
        assert!(before.starts_with(&fs::read(&path).unwrap()));
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 0).unwrap();
        events.scalar("train/loss", 7, 0.5).unwrap();
        let sound = fs::read(events.path()).unwrap();
        fs::remove_file(events.path()).unwrap();
        let mut damaged = sound.clone();
        damaged[8] ^= 1;
        for (name, bytes) in [
            ("events.out.tfevents.1.other.1", &sound),
            ("events.out.tfevents.1.ddpm.1", &damaged),
            ("events.out.tfevents.2.ddpm.1", &vec![0; 100]),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
            cut_after(folder.path(), 2).unwrap();
            assert_eq!(&fs::read(folder.path().join(name)).unwrap(), bytes, "{name}");
        }
        #[cfg(unix)]
        {
            fs::write(folder.path().join("target"), &sound).unwrap();
            std::os::unix::fs::symlink("target", folder.path().join("events.out.tfevents.3.ddpm.1")).unwrap();
            cut_after(folder.path(), 2).unwrap();
            assert_eq!(fs::read(folder.path().join("target")).unwrap(), sound);
        }
    }
}
