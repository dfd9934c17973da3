//! What differs between two configurations.

use std::collections::BTreeSet;
use std::fmt;

use toml::Value;

use crate::error::ConfigError;
use crate::run::Config;

/// A key that has another value in one configuration than in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `train.lr`, for example.
    pub key: String,
    /// Its value in the first, on one line; `unset` where it has none.
    pub was: String,
    /// Its value in the second.
    pub is: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} there and {} here", self.key, self.was, self.is)
    }
}

/// The keys in which two configurations differ, in alphabetical order.
///
/// # Errors
/// [`ConfigError::Write`] for numbers above 2^63 - 1.
pub fn changes(old: &Config, new: &Config) -> Result<Vec<Change>, ConfigError> {
    let value = |config| Value::try_from(config).map_err(|error| ConfigError::Write { error });
    let (old, new) = (value(old)?, value(new)?);
    let mut out = Vec::new();
    walk("", Some(&old), Some(&new), &mut out);
    Ok(out)
}

/// The keys in which two configurations differ, with both values, in words.
///
/// # Errors
/// As [`changes`].
pub fn differences(old: &Config, new: &Config) -> Result<Vec<String>, ConfigError> {
    Ok(changes(old, new)?.iter().map(Change::to_string).collect())
}

fn walk(prefix: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<Change>) {
    match (old, new) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                walk(&name, a.get(key), b.get(key), out);
            }
        }
        (a, b) if a != b => out.push(Change { key: prefix.to_owned(), was: show(a), is: show(b) }),
        _ => {}
    }
}

/// On one line: TOML would break a text with a line break over several.
pub(crate) fn show(value: Option<&Value>) -> String {
    match value {
        None => "unset".to_owned(),
        Some(Value::String(text)) => format!("{text:?}"),
        Some(value) => value.to_string().replace('\n', " "),
    }
}
