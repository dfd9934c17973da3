//! Configurations: TOML, and `--set`.

use config::{
    Config, ConfigError, ImageShape, Layers, PRESETS, UserFile, from_toml, parse, parse_set, to_toml,
};

/// Longer texts only repeat shorter ones.
const LENGTH: usize = 4096;

/// The top-level keys of a configuration.
const GROUPS: [&str; 9] =
    ["seed", "precision", "data", "schedule", "model", "train", "sample", "images", "init"];

/// Images that have a preset, images that have none, and images that no network accepts.
const IMAGES: [ImageShape; 6] = [
    ImageShape { height: 28, width: 28, channels: 1, classes: 10 },
    ImageShape { height: 16, width: 16, channels: 1, classes: 0 },
    ImageShape { height: 32, width: 32, channels: 3, classes: 10 },
    ImageShape { height: 57, width: 57, channels: 3, classes: 2 },
    ImageShape { height: 20, width: 64, channels: 3, classes: 0 },
    ImageShape { height: 1, width: usize::MAX, channels: 1, classes: usize::MAX },
];

/// TOML as a run's file, as the configuration of initial weights, and as a user's file.
pub(crate) fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(LENGTH)]);
    // An invalid configuration may hold NaN, which differs from itself.
    let run = from_toml(&text);
    let images = &IMAGES[data.len() % IMAGES.len()];
    if let Ok(source) = &run {
        reads_back(Layers { init: Some(source), ..Layers::default() }.settle(images));
    }
    reads_back(run.and_then(|config| config.validate().map(|()| config)));
    let file = UserFile { name: "fuzz".to_owned(), text: text.into_owned() };
    if file.table().is_ok() {
        reads_back(Layers { file: Some(&file), ..Layers::default() }.settle(images));
    }
}

/// The byte that selects this preset and these images in [`overrides`]: a letter or a sign, so that seeds are text.
pub(crate) fn choice(preset: Option<&str>, images: usize) -> u8 {
    let preset = PRESETS.iter().position(|(name, _, _)| Some(*name) == preset).unwrap_or(PRESETS.len());
    b'0' + (images * 8 + preset) as u8
}

/// The first byte selects preset and images; `--set` arguments follow, one per line.
pub(crate) fn overrides(data: &[u8]) {
    let Some((choice, lines)) = data.split_first() else { return };
    let choice = usize::from(*choice);
    let text = String::from_utf8_lossy(&lines[..lines.len().min(LENGTH)]);
    // Tables of a thousand steps would dominate the time.
    let set = ["schedule.steps=9"].into_iter().chain(text.lines().take(8));
    let set: Vec<_> = set.filter_map(|line| parse_set(line).ok()).collect();
    for change in &set {
        let key = change.key();
        assert!(!key.is_empty() && key.split('.').next() == Some(change.group()));
    }
    // An unknown group is refused only at the very end, so testing that now and then is enough.
    let known = set.iter().skip(1).any(|change| GROUPS.contains(&change.group()));
    if known || data.len().is_multiple_of(16) {
        // Past the last preset there is none; the images choose it.
        let preset = PRESETS.get(choice % 8).map(|(name, _, _)| *name);
        let images = IMAGES[choice / 8 % IMAGES.len()];
        reads_back(Layers { preset, set: &set, ..Layers::default() }.settle(&images));
    }
}

fn reads_back(result: Result<Config, ConfigError>) {
    match result {
        Ok(config) => {
            let written = to_toml(&config).expect("a valid configuration is TOML");
            assert!(parse(&written).is_ok(), "{written}");
            assert_eq!(from_toml(&written).expect("written data should read back"), config);
        }
        Err(error) => {
            assert!(error.is_usage() || matches!(error, ConfigError::Write { .. }), "{error:?}");
        }
    }
}
