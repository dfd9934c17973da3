//! Configurations: TOML, and `--set`.

use config::{Config, ConfigError, ImageShape, Layers, UserFile, from_toml, parse_set, to_toml};

/// Longer texts only repeat what shorter ones do.
const LENGTH: usize = 4096;

/// The outermost keys of a configuration.
const GROUPS: [&str; 8] = ["seed", "precision", "data", "schedule", "model", "train", "sample", "images"];

/// TOML, as the file of a run and as the file of a user.
pub(crate) fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(LENGTH)]);
    // What is not valid may hold an f64 that is no number, which differs from itself.
    reads_back(from_toml(&text).and_then(|config| config.validate().map(|()| config)));
    let file = UserFile { name: "fuzz".to_owned(), text: text.into_owned() };
    if file.table().is_ok() {
        reads_back(Layers { file: Some(&file), ..Layers::default() }.settle(&images(data)));
    }
}

/// `--set`, one a line.
pub(crate) fn overrides(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(LENGTH)]);
    // Tables of a thousand steps would take most of the time.
    let set = ["schedule.steps=9"].into_iter().chain(text.lines().take(8));
    let set: Vec<_> = set.filter_map(|line| parse_set(line).ok()).collect();
    for change in &set {
        let key = change.key();
        assert!(!key.is_empty() && key.split('.').next() == Some(change.group()));
    }
    // A key of no group is refused at the very end: seeing that now and then is enough.
    let known = set.iter().skip(1).any(|change| GROUPS.contains(&change.group()));
    if known || data.len().is_multiple_of(16) {
        reads_back(Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() }.settle(&images(data)));
    }
}

fn reads_back(result: Result<Config, ConfigError>) {
    match result {
        Ok(config) => {
            let written = to_toml(&config).expect("a valid configuration is TOML");
            assert_eq!(from_toml(&written).expect("what was written reads back"), config);
        }
        Err(error) => {
            assert!(
                error.is_usage() || matches!(error, ConfigError::Write { .. } | ConfigError::Data { .. }),
                "{error:?}"
            );
        }
    }
}

/// Images that one of the presets is for, or none.
fn images(data: &[u8]) -> ImageShape {
    let (side, channels, classes) = [(28, 1, 10), (16, 1, 0), (32, 3, 10), (57, 3, 2)][data.len() % 4];
    ImageShape { height: side, width: side, channels, classes }
}
