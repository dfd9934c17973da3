//! Configurations as text: TOML in and out, errors in the user's words, and what differs between two.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use toml::{Table, Value};

use crate::config::Config;
use crate::config::suggest::nearest;
use crate::failure::usage;

/// The tables of a file of the user.
pub(crate) fn read_table(path: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(path).map_err(|e| usage(anyhow!("--config {}: {e}", path.display())))?;
    toml::from_str(&text).map_err(|e| usage(anyhow!("--config {}: {}", path.display(), plain(&e, &text))))
}

/// A configuration that this program wrote.
pub(crate) fn from_toml(path: &Path) -> anyhow::Result<Config> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    toml::from_str(&text).map_err(|e| anyhow!("{}: {}", path.display(), plain(&e, &text)))
}

/// The text of `config.toml`.
pub(crate) fn to_toml(config: &Config) -> anyhow::Result<String> {
    Ok(toml::to_string_pretty(config)?)
}

/// A configuration, or a part of one, from its tables.
pub(crate) fn deserialize<T: for<'a> serde::Deserialize<'a>>(table: Table) -> anyhow::Result<T> {
    T::deserialize(Value::Table(table)).map_err(|error| {
        let message = in_plain_words(error.message());
        let hint = suggestion(&message).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let at =
            error.to_string().lines().find_map(|line| line.trim().strip_prefix("in ").map(str::to_owned));
        let place = at.map(|at| at.trim_matches('`').to_owned()).unwrap_or_default();
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let dot = if place.is_empty() { "" } else { "." };
        let advice =
            missing.map(|field| format!("; pass --set {place}{dot}{field}=VALUE")).unwrap_or_default();
        let colon = if place.is_empty() { "" } else { ": " };
        usage(anyhow!("configuration: {place}{colon}{message}{hint}{advice}"))
    })
}

/// serde names the types of this program; a user knows numbers.
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

/// The known key nearest to the unknown one of serde's message "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    if message.starts_with("unknown") { nearest(unknown, names) } else { None }
}

/// Line and message of a syntax error, without the drawing around it.
fn plain(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let hint = suggestion(error.message()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("{place}{}{hint}", error.message())
}

/// The keys in which two configurations differ, with both values.
pub(crate) fn differences(old: &Config, new: &Config) -> anyhow::Result<Vec<String>> {
    fn walk(prefix: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<String>) {
        match (old, new) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&name, a.get(key), b.get(key), out);
                }
            }
            (a, b) if a != b => {
                let show = |v: Option<&Value>| v.map_or("unset".to_owned(), Value::to_string);
                out.push(format!("{prefix} is {} there and {} here", show(a), show(b)));
            }
            _ => {}
        }
    }
    let (old, new) = (Value::try_from(old)?, Value::try_from(new)?);
    let mut out = Vec::new();
    walk("", Some(&old), Some(&new), &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Numbers {
        #[expect(dead_code, reason = "only whether it is read counts")]
        steps: u64,
    }

    #[test]
    fn errors_speak_of_numbers_and_name_the_nearest_key() {
        let error =
            |text: &str| deserialize::<Numbers>(toml::from_str(text).unwrap()).unwrap_err().to_string();
        assert!(error("steps = -1").contains("a whole number, 0 or more"), "{}", error("steps = -1"));
        assert!(error("stesp = 1").contains("did you mean steps?"), "{}", error("stesp = 1"));
        assert!(error("").contains("pass --set steps=VALUE"), "{}", error(""));
    }
}
