//! Verifies a folder against its manifest. Nothing of a checkpoint is used before this passes.

use std::path::Path;

use tensor_file::{MAX_FILE_BYTES, read_header};

use crate::layout::{AVERAGES, EMA, MODEL, OPTIMIZER, STATE, step_of};
use crate::manifest::{Manifest, ManifestEntry};
use crate::{CheckpointError, agreement, read, state};

/// Files that may be large.
const TENSOR_FILES: [&str; 4] = [MODEL, EMA, OPTIMIZER, AVERAGES];

/// Maximum size of any other file: 64 MiB, above the limits of their readers.
const MAX_OTHER_BYTES: u64 = 64 << 20;

/// Checks that a folder is a complete, unchanged checkpoint. Every file of the manifest must have its size and hash.
/// The state must have a known version and the step in the folder's name. The tensor files must agree with each other.
/// Large files are read in pieces.
///
/// # Errors
/// [`CheckpointError`] with the file, what was expected and what was found.
pub fn verify(folder: &Path) -> Result<(), CheckpointError> {
    verified_state(folder).map(|_| ())
}

/// Like [`verify`], and returns the text of the state.
pub(crate) fn verified_state(folder: &Path) -> Result<Vec<u8>, CheckpointError> {
    let manifest = Manifest::read(folder)?;
    // Check sizes and headers first: they cost nothing, while hashing a sparse file of terabytes takes hours.
    for entry in &manifest.files {
        check_size(folder, entry)?;
    }
    for name in TENSOR_FILES.into_iter().filter(|name| manifest.entry(name).is_some()) {
        read_header(&folder.join(name))?;
    }
    let mut text = Vec::new();
    for entry in &manifest.files {
        let path = folder.join(&entry.name);
        let found = if entry.name == STATE {
            text = read::small_file(&path)?;
            read::sha256(&text)
        } else {
            read::sha256_of(read::open(&path)?).map_err(|source| CheckpointError::of_read(&path, source))?
        };
        if found != entry.sha256 {
            let expected = entry.sha256.chars().take(64).collect::<String>();
            return Err(CheckpointError::altered(
                &path,
                "SHA-256",
                format!("{expected} as in the manifest"),
                found,
            ));
        }
    }

    let state = state::check(&folder.join(STATE), &text)?;
    // A folder with another name, for example a copy, may hold any step.
    let named = folder.file_name().and_then(|name| step_of(name.to_str()?));
    if let Some(step) = named.filter(|step| *step != state.step) {
        return Err(CheckpointError::altered(&folder.join(STATE), "step", step, state.step));
    }
    agreement::check(folder)?;
    Ok(text)
}

fn check_size(folder: &Path, entry: &ManifestEntry) -> Result<(), CheckpointError> {
    let path = folder.join(&entry.name);
    let metadata = read::open(&path)?.metadata();
    let found = metadata.map_err(|source| CheckpointError::of_read(&path, source))?.len();
    let holds_tensors = TENSOR_FILES.contains(&entry.name.as_str());
    let most = if holds_tensors { MAX_FILE_BYTES } else { MAX_OTHER_BYTES };
    if found > most {
        return Err(CheckpointError::altered(
            &path,
            "size",
            format!("at most {most} bytes"),
            files::counted(found, "byte"),
        ));
    }
    if found == entry.bytes {
        return Ok(());
    }
    let expected = format!("{} as in the manifest", files::counted(entry.bytes, "byte"));
    Err(CheckpointError::altered(&path, "size", expected, files::counted(found, "byte")))
}
