//! A study file while it is read: its parts as types, and one line for each mistake in it.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::process::Exit;

/// The file, for error messages.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
}

impl File<'_> {
    pub(super) fn wrong(&self, place: &str, message: &str) -> anyhow::Error {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        // A parser message may have a second line.
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Exit::usage(format!("{}: {place}{message}", self.name)).into()
    }

    pub(super) fn part<T: DeserializeOwned>(&self, table: &mut Table, name: &str) -> anyhow::Result<T> {
        match table.remove(name) {
            Some(value) => self.as_type(&format!("[{name}]"), value),
            None => {
                Err(self.wrong("", &format!("no [{name}]; expected [base], [budget], [evaluate] and rows")))
            }
        }
    }

    pub(super) fn as_type<T: DeserializeOwned>(&self, place: &str, value: Value) -> anyhow::Result<T> {
        value.try_into().map_err(|error: toml::de::Error| {
            let whole = error.to_string();
            let key = whole.lines().find_map(|line| line.trim().strip_prefix("in `"));
            let key = key.map(|key| format!("{}: ", key.trim_end_matches('`'))).unwrap_or_default();
            self.wrong(place, &format!("{key}{}", error.message()))
        })
    }

    /// Names become folders.
    pub(super) fn name(&self, place: &str, name: &str) -> anyhow::Result<()> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.is_empty() && name.len() <= 64 && !name.starts_with(['.', '-']) && name.chars().all(good) {
            return Ok(());
        }
        let expected = "expected 1 to 64 letters, digits, -, _ and ., the first no - or .";
        Err(self.wrong(place, &format!("\"{name}\" becomes the name of a folder: {expected}")))
    }

    pub(super) fn seeds(&self, place: &str, seeds: &[u64]) -> anyhow::Result<()> {
        if seeds.is_empty() || seeds.iter().enumerate().any(|(index, seed)| seeds[..index].contains(seed)) {
            return Err(self.wrong(place, "seeds: expected a list such as [0, 1, 2], each once"));
        }
        Ok(())
    }

    pub(super) fn list(&self, name: &str, value: Option<Value>) -> anyhow::Result<Vec<Table>> {
        let tables = value.map(|value| value.try_into::<Vec<Table>>()).transpose();
        Ok(tables.map_err(|_| self.wrong(name, &format!("expected [[{name}]]")))?.unwrap_or_default())
    }
}
