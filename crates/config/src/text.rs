//! Parses TOML text into tables, and tables into types, with errors in the user's terms.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::nesting;
use crate::suggest::nearest;

/// Maximum size of a user's text in bytes: a hundred times the longest preset. A list of short numbers takes 75 times
/// its size in memory.
pub(crate) const MAX_TEXT: u64 = 512 << 10;

/// Parses a TOML text of at most 512 KiB into tables.
///
/// # Errors
/// [`ConfigError::TooLong`], [`ConfigError::TooDeep`], [`ConfigError::Syntax`].
///
/// ```
/// let table = config::parse("[train]\nsteps = 5")?;
/// assert_eq!(table["train"]["steps"].as_integer(), Some(5));
/// assert_eq!(config::parse("[train").unwrap_err().to_string().split(':').next(), Some("line 1"));
/// # Ok::<(), config::ConfigError>(())
/// ```
pub fn parse(text: &str) -> Result<Table, ConfigError> {
    read_as(text, MAX_TEXT)
}

/// Parses text of at most `limit` bytes into any type that TOML can represent.
pub(crate) fn read_as<T: for<'a> serde::Deserialize<'a>>(text: &str, limit: u64) -> Result<T, ConfigError> {
    if text.len() as u64 > limit {
        return Err(ConfigError::TooLong { limit });
    }
    nesting::check(text)?;
    toml::from_str(text).map_err(|error| {
        // Only the message, without the excerpt that TOML draws around it.
        let before = error.span().and_then(|span| text.as_bytes().get(..span.start.min(text.len())));
        ConfigError::Syntax {
            line: before.map(|before| nesting::newlines(before) + 1),
            hint: suggestion(error.message()),
            message: error.message().to_owned(),
        }
    })
}

/// Reads a file of at most `limit` bytes as text.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ConfigError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| ConfigError::Read { error })?;
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| ConfigError::Read { error })?;
    if text.len() as u64 > limit { Err(ConfigError::TooLong { limit }) } else { Ok(text) }
}

/// Reads a regular file of at most `limit` bytes as text, for a folder that may come from elsewhere. A user's own file
/// may be a pipe, see [`read_text`].
pub(crate) fn read_run_text(path: &Path, limit: u64) -> Result<String, ConfigError> {
    let bytes = files::read_regular(path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => ConfigError::TooLong { limit },
        _ => ConfigError::Read { error },
    })?;
    let invalid = |error| ConfigError::Read { error: io::Error::new(io::ErrorKind::InvalidData, error) };
    String::from_utf8(bytes).map_err(invalid)
}

/// Converts tables into a configuration or a part of one.
pub(crate) fn deserialize<T: for<'a> serde::Deserialize<'a>>(table: Table) -> Result<T, ConfigError> {
    T::deserialize(Value::Table(table)).map_err(|error| {
        let message = in_plain_words(error.message());
        let at =
            error.to_string().lines().find_map(|line| line.trim().strip_prefix("in ").map(str::to_owned));
        let place = at.map(|at| at.trim_matches('`').to_owned()).unwrap_or_default();
        let hint = suggestion(&message);
        // With a suggestion, the list of all keys adds nothing.
        let message = match message.split_once(", expected one of ") {
            Some((unknown, _)) if hint.is_some() => unknown.to_owned(),
            _ => message,
        };
        ConfigError::Mismatch { place, hint, message }
    })
}

/// Replaces the names of Rust types in serde's messages by words for users.
fn in_plain_words(message: &str) -> String {
    let words = [
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list such as [1, 2]"),
        ("invalid type: map", "invalid type: a group"),
    ];
    words.iter().fold(message.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// The known key nearest to the unknown one in serde's message "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    if message.starts_with("unknown") { nearest(unknown, names).map(str::to_owned) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Numbers {
        #[expect(dead_code, reason = "only parsing matters here")]
        steps: u64,
    }

    #[test]
    fn errors_mention_numbers_and_the_nearest_key() {
        let error =
            |text: &str| deserialize::<Numbers>(toml::from_str(text).unwrap()).unwrap_err().to_string();
        assert!(error("steps = -1").contains("a whole number, 0 or more"), "{}", error("steps = -1"));
        assert!(error("stesp = 1").contains("did you mean steps?"), "{}", error("stesp = 1"));
        assert!(error("").contains("pass --set steps=VALUE"), "{}", error(""));
    }

    #[test]
    fn syntax_errors_name_their_line() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error("a = 1\n\n= 2").starts_with("line 3: "), "{}", error("a = 1\n\n= 2"));
        assert!(error("= 2").starts_with("line 1: "), "{}", error("= 2"));
        let unknown = read_as::<Numbers>("\nstesp = 1", MAX_TEXT).unwrap_err().to_string();
        assert!(unknown.starts_with("line 2: ") && unknown.ends_with("did you mean steps?"), "{unknown}");
    }

    #[test]
    fn a_long_text_is_refused_before_it_is_parsed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.toml");
        let long = "#".repeat(MAX_TEXT as usize + 1);
        std::fs::write(&path, &long).unwrap();
        assert!(matches!(parse(&long), Err(ConfigError::TooLong { limit: MAX_TEXT })));
        assert!(matches!(read_text(&path, MAX_TEXT), Err(ConfigError::TooLong { .. })));
        assert_eq!(read_text(&path, MAX_TEXT + 1).unwrap(), long);
        assert!(parse(&long[1..]).unwrap().is_empty());
    }
}
