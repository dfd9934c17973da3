//! Configurations as files: those of a user, of which each says a part, and those of runs, which say all.

use std::path::Path;

use crate::error::ConfigError;
use crate::run::Config;
use crate::text::{MAX_TEXT, read_as, read_run_text, read_text};

/// Bytes of the file of a run, which names every class of its data: some 100,000. A list of short numbers takes 75 times
/// as much in memory.
const MAX_RUN_TEXT: u64 = 2 << 20;

/// The file of a user: what it says is laid over a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFile {
    /// What errors call it: its path as the user wrote it.
    pub name: String,
    /// TOML.
    pub text: String,
}

impl UserFile {
    /// Reads a file of at most 512 KiB. The text is parsed later, with the other layers.
    ///
    /// # Errors
    /// [`ConfigError::InFile`], which names the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        match read_text(path, MAX_TEXT) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => Err(ConfigError::InFile { file: name, error: Box::new(error) }),
        }
    }
}

/// A configuration that [`to_toml`] wrote.
///
/// # Errors
/// [`ConfigError::Syntax`] with the line, also for unknown and missing keys; [`ConfigError::TooLong`] above
/// 2 MiB, [`ConfigError::TooDeep`]; [`ConfigError::Value`] for a size in `[images]` that no image has.
pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
    let config: Config = read_as(text, MAX_RUN_TEXT)?;
    if let Some(images) = &config.images {
        images.validate()?;
    }
    Ok(config)
}

/// The text of `config.toml`.
///
/// # Errors
/// [`ConfigError::Write`] for numbers above 2^63 - 1, which TOML does not have; [`ConfigError::TooLong`] for a text that
/// [`from_toml`] would refuse.
pub fn to_toml(config: &Config) -> Result<String, ConfigError> {
    let text = toml::to_string_pretty(config).map_err(|error| ConfigError::Write { error })?;
    if text.len() as u64 > MAX_RUN_TEXT {
        Err(ConfigError::TooLong { limit: MAX_RUN_TEXT })
    } else {
        Ok(text)
    }
}

/// The `config.toml` of a run or a checkpoint.
///
/// # Errors
/// [`ConfigError::InRun`], which names the file, for what [`from_toml`] refuses and files that do not read.
pub fn read_run(path: &Path) -> Result<Config, ConfigError> {
    read_run_text(path, MAX_RUN_TEXT)
        .and_then(|text| from_toml(&text))
        .map_err(|error| ConfigError::InRun { path: path.to_owned(), error: Box::new(error) })
}
