//! What differs between two configurations.

use std::collections::BTreeSet;

use toml::Value;

use crate::error::ConfigError;
use crate::run::Config;

/// The keys in which two configurations differ, with both values.
///
/// # Errors
/// [`ConfigError::Write`] for numbers above 2^63 - 1.
pub fn differences(old: &Config, new: &Config) -> Result<Vec<String>, ConfigError> {
    let value = |config| Value::try_from(config).map_err(|error| ConfigError::Write { error });
    let (old, new) = (value(old)?, value(new)?);
    let mut out = Vec::new();
    walk("", Some(&old), Some(&new), &mut out);
    Ok(out)
}

fn walk(prefix: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<String>) {
    match (old, new) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
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
