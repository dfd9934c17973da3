//! Parses `--set train.lr=1e-4`: one value of the configuration, by its path.

use toml::{Table, Value};

use crate::error::ConfigError;
use crate::run::Config;
use crate::text::{deserialize, parse};

/// Maximum number of parts, above that of any real key; each part nests one table deeper.
const MAX_PARTS: usize = 16;

/// One parsed `--set`.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// For example `["train", "lr"]`: 1 to [`MAX_PARTS`] parts, none of them empty.
    path: Vec<String>,
    value: Value,
}

/// Parses `a.b=VALUE`. Anything that is not a TOML value counts as text, so quotes can be omitted.
///
/// # Errors
/// [`ConfigError::Set`] if there is no `=`, or no key before it.
///
/// ```
/// let change = config::parse_set("model.channel_mults=[1, 2]")?;
/// assert_eq!((change.group(), change.key()), ("model", "model.channel_mults".to_owned()));
/// assert!(config::parse_set("train.lr").is_err());
/// # Ok::<(), config::ConfigError>(())
/// ```
pub fn parse_set(text: &str) -> Result<Override, ConfigError> {
    let refuse = |reason| ConfigError::Set { text: text.to_owned(), reason };
    let (path, value) = text.split_once('=').ok_or_else(|| refuse("expected KEY=VALUE"))?;
    if path.split('.').nth(MAX_PARTS).is_some() {
        return Err(refuse("expected a key of at most 16 parts before the ="));
    }
    let path: Vec<String> = path.trim().split('.').map(|part| part.trim().to_owned()).collect();
    if path.iter().any(String::is_empty) {
        return Err(refuse("expected a key such as train.lr before the ="));
    }
    let value = value.trim();
    // A second line would be another statement, not part of the value.
    let as_toml = parse(&format!("v = {value}")).ok().filter(|table| table.len() == 1);
    let as_toml = as_toml.and_then(|mut table| table.remove("v"));
    let is_digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if as_toml.is_none() && is_digits && value.parse::<i64>().is_err() {
        return Err(refuse("expected a whole number of at most 9223372036854775807"));
    }
    Ok(Override { path, value: as_toml.unwrap_or_else(|| Value::String(value.to_owned())) })
}

impl Override {
    /// A key with a text value, for flags that set a key.
    #[must_use]
    pub fn text(key: &str, text: &str) -> Self {
        Self { path: key.split('.').map(str::to_owned).collect(), value: Value::String(text.to_owned()) }
    }

    /// The first part of the key, for example `train` in `train.lr`.
    #[must_use]
    pub fn group(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// The whole key, for example `train.lr`.
    #[must_use]
    pub fn key(&self) -> String {
        self.path.join(".")
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Writes the value into a table, and creates missing tables.
    ///
    /// # Errors
    /// [`ConfigError::NotAGroup`] if the key passes through a single value.
    pub fn apply(&self, table: &mut Table) -> Result<(), ConfigError> {
        let Some((last, parents)) = self.path.split_last() else { return Ok(()) };
        let mut at = table;
        for part in parents {
            let entry = at.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
            at = entry
                .as_table_mut()
                .ok_or_else(|| ConfigError::NotAGroup { key: self.key(), part: part.clone() })?;
        }
        at.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

impl Config {
    /// The configuration with one value changed; not validated.
    ///
    /// # Errors
    /// [`ConfigError::Mismatch`] for unknown keys and values of the wrong type; [`ConfigError::NotAGroup`].
    pub fn with(&self, change: &Override) -> Result<Self, ConfigError> {
        let mut table = Table::try_from(self).map_err(|error| ConfigError::Write { error })?;
        change.apply(&mut table)?;
        deserialize(table)
    }
}

/// Merges `top` into `base`, table by table; `top` wins.
pub(crate) fn merge(base: &mut Table, top: Table) {
    for (key, value) in top {
        match (base.get_mut(&key), value) {
            // A tagged group such as model.embedding is replaced as a whole when its kind changes.
            (Some(Value::Table(below)), Value::Table(above))
                if above
                    .get("kind")
                    .is_none_or(|kind| below.get("kind").is_none_or(|below| below == kind)) =>
            {
                merge(below, above);
            }
            // When the kind of schedule changes, its parameters are replaced, but the length of the chain stays.
            (Some(Value::Table(below)), Value::Table(mut above)) => {
                if let (Some(steps), false) = (below.remove("steps"), above.contains_key("steps")) {
                    above.insert("steps".to_owned(), steps);
                }
                *below = above;
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_text() {
        let value = |text: &str| parse_set(text).unwrap().value;
        assert_eq!(value("a.b=1e-4"), Value::Float(1e-4));
        assert_eq!(value("a.b = 3"), Value::Integer(3));
        assert_eq!(value("a=[1, 2]"), Value::Array(vec![1.into(), 2.into()]));
        assert_eq!(value("a=cosine"), Value::String("cosine".into()));
        assert_eq!(value("a=007"), Value::String("007".into()));
        let error = parse_set("seed=9223372036854775808").unwrap_err().to_string();
        assert!(error.contains("at most 9223372036854775807"), "{error}");
        assert_eq!(value("data.source=/x y/z=1"), Value::String("/x y/z=1".into()));
        assert_eq!(value("a=1\nb=2"), Value::String("1\nb=2".into()));
        assert_eq!(value("a=1 # one"), Value::Integer(1));
        let deep = format!("a={}1", "[".repeat(9_000));
        assert!(matches!(value(&deep), Value::String(_)));
        for wrong in ["", "a", "=1", "a..b=1", &format!("{}a=1", "a.".repeat(100_000))] {
            assert!(parse_set(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn overrides_and_merges_reach_into_tables() {
        let mut table: Table = toml::from_str("seed = 1\n[a]\nx = 1\ny = 2\n[e]\nkind = 'p'\nk = 1").unwrap();
        parse_set("a.x=5").unwrap().apply(&mut table).unwrap();
        parse_set("b.c.d=true").unwrap().apply(&mut table).unwrap();
        assert!(parse_set("seed.x=1").unwrap().apply(&mut table).is_err());
        merge(&mut table, toml::from_str("[a]\ny = 9\n[e]\nkind = 'q'\nz = 2").unwrap());
        let mut schedule: Table = toml::from_str("[s]\nkind = 'linear'\nsteps = 9\nbeta_end = 0.1").unwrap();
        merge(&mut schedule, toml::from_str("[s]\nkind = 'cosine'").unwrap());
        assert_eq!(schedule, toml::from_str("[s]\nkind = 'cosine'\nsteps = 9").unwrap());

        let want = "seed = 1\n[a]\nx = 5\ny = 9\n[b.c]\nd = true\n[e]\nkind = 'q'\nz = 2";
        assert_eq!(table, toml::from_str(want).unwrap());
    }
}
