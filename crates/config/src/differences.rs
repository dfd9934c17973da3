//! Compares two configurations.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::reference::usual;
use crate::run::Config;

/// The tables that are left out of a file when all their keys have their usual values.
const LAYOUT: [&str; 2] = ["model.layout", "model.layout.middle"];

/// A key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, for example `train.lr`.
    pub key: String,
    /// The value in the first configuration, on one line; `unset` if it has none, nor a usual one.
    pub was: String,
    /// The value in the second configuration.
    pub is: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} there and {} here", self.key, self.was, self.is)
    }
}

/// The keys that differ between two configurations, in alphabetical order.
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

/// The keys that differ between two configurations, each as a sentence with both values.
///
/// # Errors
/// As for [`changes`].
pub fn differences(old: &Config, new: &Config) -> Result<Vec<String>, ConfigError> {
    Ok(changes(old, new)?.iter().map(Change::to_string).collect())
}

fn walk(prefix: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<Change>) {
    let none = Value::Table(Table::new());
    let (old, new) = match (old, new) {
        (None, Some(Value::Table(_))) if LAYOUT.contains(&prefix) => (Some(&none), new),
        (Some(Value::Table(_)), None) if LAYOUT.contains(&prefix) => (old, Some(&none)),
        both => both,
    };
    match (old, new) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                walk(&name, a.get(key), b.get(key), out);
            }
        }
        (a, b) if a != b => {
            out.push(Change { key: prefix.to_owned(), was: shown(prefix, a), is: shown(prefix, b) })
        }
        _ => {}
    }
}

/// The value of a key, or the usual one, which is left out of a file.
fn shown(key: &str, value: Option<&Value>) -> String {
    match value {
        Some(_) => show(value),
        None => show(usual(key).as_ref()),
    }
}

/// Shows a value on one line: TOML would split a text with line breaks over several.
pub(crate) fn show(value: Option<&Value>) -> String {
    match value {
        None => "unset".to_owned(),
        Some(Value::String(text)) => format!("{text:?}"),
        Some(value) => value.to_string().replace('\n', " "),
    }
}
