//! Configuration files: a user's file sets some keys, a run's file sets all.

use std::path::Path;

use crate::error::ConfigError;
use crate::run::Config;
use crate::text::{MAX_TEXT, read_as, read_run_text, read_text};

/// Maximum size of a run's file, which names every class of its data: some 100,000. A list of short numbers takes 75
/// times its size in memory.
const MAX_RUN_TEXT: u64 = 2 << 20;

/// A user's file, whose values override a preset's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFile {
    /// The name for error messages: its path as the user wrote it.
    pub name: String,
    /// The TOML text.
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

/// Parses a configuration that [`to_toml`] wrote.
///
/// # Errors
/// [`ConfigError::Syntax`] with the line, including for unknown and missing keys; [`ConfigError::TooLong`] above 2 MiB;
/// [`ConfigError::TooDeep`]; [`ConfigError::Value`] for an impossible size in `[images]`.
pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
    let mut config: Config = read_as(text, MAX_RUN_TEXT)?;
    config.schedule.settle_as_read();
    if let Some(images) = &config.images {
        images.validate()?;
    }
    Ok(config)
}

/// Returns the text of `config.toml`.
///
/// # Errors
/// [`ConfigError::Write`] for numbers above 2^63 - 1, which TOML cannot represent; [`ConfigError::TooLong`] for a text
/// that [`from_toml`] would refuse.
pub fn to_toml(config: &Config) -> Result<String, ConfigError> {
    let text = toml::to_string_pretty(config).map_err(|error| ConfigError::Write { error })?;
    if text.len() as u64 > MAX_RUN_TEXT {
        Err(ConfigError::TooLong { limit: MAX_RUN_TEXT })
    } else {
        Ok(text)
    }
}

/// Reads the `config.toml` of a run or a checkpoint.
///
/// # Errors
/// [`ConfigError::InRun`], which names the file, if it cannot be read or [`from_toml`] refuses it.
pub fn read_run(path: &Path) -> Result<Config, ConfigError> {
    read_run_text(path, MAX_RUN_TEXT)
        .and_then(|text| from_toml(&text))
        .map_err(|error| ConfigError::InRun { path: path.to_owned(), error: Box::new(error) })
}
