//! Damage to a checkpoint with an honest manifest: bytes change, and files disappear, appear or are swapped.

use std::fs;

use checkpoints::{CONFIG, EMA, FILES, MANIFEST, MODEL, OPTIMIZER};
use random::Stream;
use trainer::BoxError;

use super::Expected;
use super::place::Place;
use super::resigned;

/// Damages the newest checkpoint of a place. Returns what the refusal must name.
pub(crate) type Damage = fn(&Place, &mut Stream) -> Result<Expected, BoxError>;

/// Every kind. Bit flips come in four versions, since most damage is of that kind.
pub(crate) const KINDS: [(&str, Damage); 20] = [
    ("one bit flipped", flip),
    ("one bit of the weights flipped", flip_weights),
    ("one bit of the average flipped", flip_average),
    ("one bit of the manifest flipped", flip_manifest),
    ("cut", cut),
    ("longer", longer),
    ("two files swapped", swap),
    ("a file of an older checkpoint", older_file),
    ("a file is gone", gone),
    ("a file is empty", empty),
    ("a folder in the place of a file", folder),
    ("a link to nowhere in the place of a file", dangling),
    ("the manifest lies", resigned::lying_manifest),
    ("another shape", resigned::shape),
    ("another type", resigned::dtype),
    ("a tensor is gone", resigned::missing),
    ("a tensor too many", resigned::surplus),
    ("a tensor renamed", resigned::renamed),
    ("another network", resigned::other_network),
    ("another state", resigned::state),
];

/// The tensor files.
pub(crate) const TENSOR_FILES: [&str; 3] = [MODEL, EMA, OPTIMIZER];

pub(crate) fn names(file: &'static str) -> Expected {
    Expected { files: vec![file], tensor: None, foreign: false, unreadable: false }
}

/// Any of the files, including the manifest.
fn any(draws: &mut Stream) -> &'static str {
    let index = draws.below(FILES.len() as u32 + 1) as usize;
    FILES.get(index).copied().unwrap_or(MANIFEST)
}

fn flip(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    flip_in(place, any(draws), draws)
}

fn flip_weights(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    flip_in(place, MODEL, draws)
}

fn flip_average(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    flip_in(place, EMA, draws)
}

fn flip_manifest(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let expected = flip_in(place, MANIFEST, draws)?;
    // The flip may hit the name, the size or the hash of any file.
    Ok(Expected { files: FILES.iter().copied().chain([MANIFEST]).collect(), ..expected })
}

fn flip_in(place: &Place, file: &'static str, draws: &mut Stream) -> Result<Expected, BoxError> {
    let mut bytes = fs::read(place.file(file))?;
    let at = draws.below(bytes.len() as u32) as usize;
    bytes[at] ^= 1 << draws.below(8);
    fs::write(place.file(file), bytes)?;
    let files = if file == MANIFEST { FILES.iter().copied().chain([MANIFEST]).collect() } else { vec![file] };
    Ok(Expected { files, ..names(file) })
}

fn cut(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let file = any(draws);
    let bytes = fs::read(place.file(file))?;
    let keep = draws.below(bytes.len() as u32) as usize;
    fs::write(place.file(file), &bytes[..keep])?;
    Ok(names(file))
}

fn longer(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let file = any(draws);
    let mut bytes = fs::read(place.file(file))?;
    bytes.extend((0..=draws.below(100)).map(|_| b'x'));
    fs::write(place.file(file), bytes)?;
    Ok(names(file))
}

fn swap(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let first = draws.below(FILES.len() as u32) as usize;
    let second = (first + 1 + draws.below(FILES.len() as u32 - 1) as usize) % FILES.len();
    let aside = place.newest().join("aside");
    fs::rename(place.file(FILES[first]), &aside)?;
    fs::rename(place.file(FILES[second]), place.file(FILES[first]))?;
    fs::rename(aside, place.file(FILES[second]))?;
    Ok(Expected { files: vec![FILES[first], FILES[second]], ..names(MODEL) })
}

fn older_file(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    // The configuration is the same in all checkpoints of a run.
    let others: Vec<&'static str> =
        FILES.iter().copied().chain([MANIFEST]).filter(|file| *file != CONFIG).collect();
    let file = others[draws.below(others.len() as u32) as usize];
    fs::copy(place.older().join(file), place.file(file))?;
    let files = if file == MANIFEST { FILES.to_vec() } else { vec![file] };
    Ok(Expected { files, ..names(file) })
}

fn gone(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let file = any(draws);
    fs::remove_file(place.file(file))?;
    Ok(names(file))
}

fn empty(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let file = any(draws);
    fs::write(place.file(file), b"")?;
    Ok(names(file))
}

fn folder(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let expected = gone(place, draws)?;
    fs::create_dir(place.file(expected.files[0]))?;
    Ok(Expected { unreadable: true, ..expected })
}

fn dangling(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let expected = gone(place, draws)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", place.file(expected.files[0]))?;
    Ok(Expected { unreadable: true, ..expected })
}
