//! Reads a JSON object key by key, and refuses what is left over.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::InterchangeError;

/// Maximum size of a configuration in bytes. Published ones have less than 2 kB.
const MOST_BYTES: u64 = 1 << 20;
/// Maximum characters of a value shown in a message.
const SHOWN: usize = 60;

/// The JSON object of a file.
pub(crate) struct Keys {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Keys {
    pub(crate) fn read(path: &Path) -> Result<Self, InterchangeError> {
        let file = |error| InterchangeError::File { path: path.to_owned(), error };
        Self::parse(path, files::read_regular(path, MOST_BYTES).map_err(file)?)
    }

    /// Parses the object in the bytes of a file.
    pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, InterchangeError> {
        match serde_json::from_slice(&without_infinities(bytes)) {
            Ok(Value::Object(values)) => Ok(Self { path: path.to_owned(), values }),
            Ok(other) => {
                let reason = format!("expected a JSON object, found {}", shown(&other));
                Err(InterchangeError::content(path, reason))
            }
            Err(error) => Err(InterchangeError::content(path, format!("not JSON: {error}"))),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a value; `None` if it is missing or null.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.values.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a value where null differs from a missing key.
    pub(crate) fn take_nullable(&mut self, key: &str) -> Option<Option<Value>> {
        self.values.remove(key).map(|value| Some(value).filter(|value| !value.is_null()))
    }

    pub(crate) fn refuse<T>(
        &self,
        key: &str,
        got: &Value,
        expected: impl Into<String>,
    ) -> Result<T, InterchangeError> {
        let (path, key) = (self.path.clone(), key.to_owned());
        Err(InterchangeError::Value { path, key, got: shown(got), expected: expected.into() })
    }

    /// Converts a value to a whole number.
    pub(crate) fn count(&self, key: &str, value: &Value) -> Result<usize, InterchangeError> {
        // Python writes 1.0 if a number came from a division.
        let whole = value.as_u64().or_else(|| {
            value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64)
        });
        match whole.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.refuse(key, value, "a whole number"),
        }
    }

    pub(crate) fn count_or(&mut self, key: &str, default: usize) -> Result<usize, InterchangeError> {
        // Null is not the default here: the library treats it as a value.
        self.values.remove(key).map_or(Ok(default), |value| self.count(key, &value))
    }

    pub(crate) fn number_or(&mut self, key: &str, default: f64) -> Result<f64, InterchangeError> {
        let Some(value) = self.values.remove(key) else { return Ok(default) };
        value.as_f64().map_or_else(|| self.refuse(key, &value, "a number"), Ok)
    }

    pub(crate) fn bool_or(&mut self, key: &str, default: bool) -> Result<bool, InterchangeError> {
        let Some(value) = self.values.remove(key) else { return Ok(default) };
        value.as_bool().map_or_else(|| self.refuse(key, &value, "true or false"), Ok)
    }

    /// Takes one of several names and returns its meaning; `default` is one of the names.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &str,
        default: &str,
        choices: &[(&str, T)],
    ) -> Result<T, InterchangeError> {
        // Null means the default if the default is the empty name.
        let value = match self.values.remove(key) {
            None => Value::from(default),
            Some(Value::Null) if default.is_empty() => Value::from(default),
            Some(value) => value,
        };
        match choices.iter().find(|(name, _)| value.as_str() == Some(name)) {
            Some((_, meaning)) => Ok(*meaning),
            None => self.refuse(key, &value, one_of(choices)),
        }
    }

    /// Checks a key for which only this value is supported.
    pub(crate) fn only(&mut self, key: &str, supported: impl Into<Value>) -> Result<(), InterchangeError> {
        let supported = supported.into();
        match self.take(key) {
            Some(value) if !equal(&value, &supported) => self.refuse(key, &value, supported.to_string()),
            _ => Ok(()),
        }
    }

    /// Drops a key whose value changes nothing here.
    pub(crate) fn ignore(&mut self, key: &str) {
        let _ = self.values.remove(key);
    }

    /// Refuses keys that nobody has taken, except those that are null or start with `_` (versions and paths).
    pub(crate) fn finish(self) -> Result<(), InterchangeError> {
        let is_known = |(key, value): &(&String, &Value)| key.starts_with('_') || value.is_null();
        match self.values.iter().find(|entry| !is_known(entry)) {
            Some((key, value)) => self.refuse(key, value, "no such key; this program does not support it"),
            None => Ok(()),
        }
    }
}

/// Python writes numbers that JSON does not allow. They become strings, which later fail as numbers.
fn without_infinities(mut bytes: Vec<u8>) -> Vec<u8> {
    let (mut place, mut in_text) = (0, false);
    while place < bytes.len() {
        match bytes[place] {
            b'\\' if in_text => place += 1,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            _ => {
                let rest = &bytes[place..];
                let word =
                    ["-Infinity", "Infinity", "NaN"].into_iter().find(|w| rest.starts_with(w.as_bytes()));
                if let Some(word) = word {
                    bytes.splice(place..place + word.len(), format!("\"{word}\"").into_bytes());
                    place += word.len() + 1;
                }
            }
        }
        place += 1;
    }
    bytes
}

/// Treats 1 and 1.0 as equal.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|x| b.as_f64() == Some(x))
}

pub(crate) fn one_of<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A value on one short line.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    format!("{}...", text.chars().take(SHOWN).collect::<String>())
}
