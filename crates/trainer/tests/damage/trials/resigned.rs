//! Damage with a matching manifest, as a forger would make it.

use std::fs;

use checkpoints::{FILES, MANIFEST, MODEL, Manifest, STATE};
use random::Stream;
use tch::Kind;
use tensor_io::Named;
use trainer::BoxError;

use super::Expected;
use super::kinds::{TENSOR_FILES, names};
use super::place::{Place, TENSORS};

/// Changes one tensor of one tensor file, and makes the manifest agree.
fn change(
    place: &Place,
    draws: &mut Stream,
    change: impl Fn(&mut Vec<Named>, usize) -> Result<(), BoxError>,
) -> Result<Expected, BoxError> {
    let file = TENSOR_FILES[draws.below(TENSOR_FILES.len() as u32) as usize];
    let (name, _) = TENSORS[draws.below(TENSORS.len() as u32) as usize];
    let mut tensors = tensor_io::read(&place.file(file))?;
    let index = tensors.iter().position(|(found, _)| found.ends_with(name)).ok_or("no such tensor")?;
    change(&mut tensors, index)?;
    tensor_io::save(&place.file(file), &tensors)?;
    place.sign()?;
    // The tensor files are compared with each other, so the error may name any of them.
    Ok(Expected { files: TENSOR_FILES.to_vec(), tensor: Some(name), foreign: false, unreadable: false })
}

pub(crate) fn shape(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    change(place, draws, |tensors, index| {
        tensors[index].1 = tensors[index].1.f_view(-1)?;
        Ok(())
    })
}

pub(crate) fn dtype(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let kind = [Kind::Double, Kind::Half, Kind::BFloat16, Kind::Int64, Kind::Uint8][draws.below(5) as usize];
    change(place, draws, |tensors, index| {
        tensors[index].1 = tensors[index].1.f_to_kind(kind)?;
        Ok(())
    })
}

pub(crate) fn missing(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    change(place, draws, |tensors, index| {
        drop(tensors.remove(index));
        Ok(())
    })
}

pub(crate) fn surplus(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let expected = change(place, draws, |tensors, index| {
        let more = tensors[index].1.f_mul_scalar(1.0)?;
        tensors.push(("foreign".to_owned(), more));
        Ok(())
    })?;
    Ok(Expected { tensor: Some("foreign"), ..expected })
}

pub(crate) fn renamed(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    change(place, draws, |tensors, index| {
        tensors[index].0.push_str("_new");
        Ok(())
    })
}

/// All files agree with each other and with the manifest, but belong to a network with another tensor.
pub(crate) fn other_network(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let (name, _) = TENSORS[draws.below(TENSORS.len() as u32) as usize];
    for file in TENSOR_FILES {
        let mut tensors = tensor_io::read(&place.file(file))?;
        for (found, tensor) in tensors.iter_mut().filter(|(found, _)| found.ends_with(name)) {
            let [rows, columns] = tensor.size()[..] else {
                return Err(format!("{found} is no matrix").into());
            };
            *tensor = tensor.f_view([columns, rows, 1])?;
        }
        tensor_io::save(&place.file(file), &tensors)?;
    }
    place.sign()?;
    Ok(Expected { files: vec![MODEL], tensor: Some(name), foreign: true, unreadable: false })
}

/// The state belongs to another run, another step or a later program, or is invalid.
pub(crate) fn state(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let text = fs::read_to_string(place.file(STATE))?;
    let changes = [
        ("\"step\": 4", "\"step\": 3"),
        ("\"seed\": 3", "\"seed\": 4"),
        ("\"format_version\": 1", "\"format_version\": 57"),
        ("\"format_version\": 1", "\"format_version\": 0"),
        ("\"step\": 4", "\"steps\": 4"),
        ("\"step\": 4", "\"step\": -4"),
        ("\"interval\": {", "\"interval\": ["),
    ];
    let (old, new) = changes[draws.below(changes.len() as u32) as usize];
    if !text.contains(old) {
        return Err(format!("the state has no {old}").into());
    }
    fs::write(place.file(STATE), text.replacen(old, new, 1))?;
    place.sign()?;
    // A later program's state cannot be judged here.
    let unreadable = new.contains("57");
    // Version and seed belong to the checkpoint, which is named by its folder.
    let files = vec![STATE, "step-00000004"];
    Ok(Expected { files, foreign: new.contains("seed"), unreadable, ..names(STATE) })
}

/// The manifest is wrong.
pub(crate) fn lying_manifest(place: &Place, draws: &mut Stream) -> Result<Expected, BoxError> {
    let mut manifest = Manifest::read(&place.newest())?;
    let index = draws.below(FILES.len() as u32) as usize;
    let entry = &mut manifest.files[index];
    let mut files = vec![MANIFEST];
    match draws.below(7) {
        0 => {
            entry.bytes += 1;
            files = FILES.to_vec();
        }
        1 => {
            entry.sha256 = "0".repeat(64);
            files = FILES.to_vec();
        }
        2 => entry.name = format!("../{}", entry.name),
        3 => entry.name = "/etc/hostname".to_owned(),
        4 => {
            let twice = entry.clone();
            manifest.files.push(twice);
        }
        5 => drop(manifest.files.remove(index)),
        _ => manifest.files.clear(),
    }
    fs::write(place.file(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    Ok(Expected { files, ..names(MANIFEST) })
}
