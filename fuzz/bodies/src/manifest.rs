//! The JSON files of a checkpoint.

use std::path::Path;

use checkpoints::{FILES, FORMAT_VERSION, MAX_FILES, Manifest, State};
use serde_json::Value;

/// `manifest.json`: names stay in the folder, all required ones are present, and writing it gives the same manifest.
pub(crate) fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(Path::new("fuzz"), data) else { return };
    assert!((FILES.len()..=MAX_FILES).contains(&manifest.files.len()));
    for entry in &manifest.files {
        assert!(Path::new(&entry.name).file_name().is_some_and(|name| name == entry.name.as_str()));
        assert_eq!(manifest.entry(&entry.name), Some(entry));
    }
    assert!(FILES.iter().all(|name| manifest.entry(name).is_some()));
    let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    assert_eq!(
        Manifest::parse(Path::new("fuzz"), &written).expect("written data should read back"),
        manifest
    );
}

/// `state.json`, with any interval; and the names of checkpoint folders.
pub(crate) fn state(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(step) = checkpoints::step_of(&text) {
        assert_eq!(checkpoints::folder_name(step), text);
    }
    let Ok(state) = State::<Value>::parse(Path::new("fuzz"), data) else { return };
    assert_eq!(state.format_version, FORMAT_VERSION);
    let written = serde_json::to_vec(&state).expect("a state is JSON");
    assert_eq!(State::parse(Path::new("fuzz"), &written).expect("written data should read back"), state);
}
