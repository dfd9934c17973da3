//! `--set train.lr=1e-4`: one value of the configuration, by its path.

use anyhow::{Context, anyhow};
use toml::{Table, Value};

use crate::failure::usage;

/// One parsed `--set`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Override {
    /// `["train", "lr"]`.
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
}

/// Parses `a.b=VALUE`; what is no TOML value is taken as text, so quotes can be left out.
pub(crate) fn parse_set(text: &str) -> anyhow::Result<Override> {
    let parsed = || {
        let (path, value) = text.split_once('=').context("expected KEY=VALUE")?;
        let path: Vec<String> = path.trim().split('.').map(|part| part.trim().to_owned()).collect();
        if path.iter().any(String::is_empty) {
            return Err(anyhow!("expected a key such as train.lr before the ="));
        }
        let value = value.trim();
        let as_toml = toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
        Ok(Override { path, value: as_toml.unwrap_or_else(|| Value::String(value.to_owned())) })
    };
    parsed().with_context(|| format!("--set {text:?}")).map_err(usage)
}

impl Override {
    /// A key and a text, as a flag of its own says it.
    pub(crate) fn text(key: &str, text: &str) -> Self {
        Self { path: key.split('.').map(str::to_owned).collect(), value: Value::String(text.to_owned()) }
    }

    /// Writes the value into a table, making the tables on the way.
    pub(crate) fn apply(&self, table: &mut Table) -> anyhow::Result<()> {
        let Some((last, parents)) = self.path.split_last() else { return Ok(()) };
        let mut at = table;
        for part in parents {
            let entry = at.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
            at = entry.as_table_mut().ok_or_else(|| {
                usage(anyhow!("--set {}: {part} is a single value, not a group", self.path.join(".")))
            })?;
        }
        at.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

/// Lays `top` over `base`, table by table.
pub(crate) fn merge(base: &mut Table, top: Table) {
    for (key, value) in top {
        match (base.get_mut(&key), value) {
            // A tagged group such as model.embedding is replaced whole when its kind changes.
            (Some(Value::Table(below)), Value::Table(above))
                if above.get("kind").is_none_or(|kind| below.get("kind") == Some(kind)) =>
            {
                merge(below, above);
            }
            // The parameters of a schedule go with its kind, the length of the chain does not.
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
        assert_eq!(value("data.source=/x y/z=1"), Value::String("/x y/z=1".into()));
        for wrong in ["", "a", "=1", "a..b=1"] {
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
