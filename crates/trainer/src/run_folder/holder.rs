//! Which process holds the lock, by the note it leaves in the file.

use std::fs::File;
use std::io::{Read, Seek};
use std::thread;
use std::time::Duration;

/// How often the holder's note is read at most, and the pause between reads. A machine may be busy, but the holder does
/// nothing else in between.
const HOLDER_READS: usize = 20;
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// The number of the process; `None` if it leaves no note.
pub(super) fn holder(lock: &mut File) -> Option<String> {
    settled(|| {
        let mut pid = String::new();
        lock.rewind().and_then(|()| lock.read_to_string(&mut pid)).ok()?;
        Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty())
    })
}

/// The note, once two reads some time apart agree. A holder writes its number just after it gets the lock; until then
/// the note is missing or from an earlier holder.
fn settled(mut read: impl FnMut() -> Option<String>) -> Option<String> {
    let mut before = None;
    for _ in 0..HOLDER_READS {
        let now = read();
        if now.is_some() && now == before {
            return now;
        }
        before = now;
        thread::sleep(HOLDER_PAUSE);
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_holder_is_not_an_earlier_one() {
        let settles = |notes: &[&str]| {
            // The last value repeats.
            let mut at = 0..notes.len();
            settled(|| {
                let note = notes[at.next().unwrap_or(notes.len() - 1)];
                (!note.is_empty()).then(|| note.to_owned())
            })
        };
        assert_eq!(settles(&["41", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&["", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&["41", "", "42"]).as_deref(), Some("42"));
        assert_eq!(settles(&[""]), None);
    }
}
