//! The values that keys have by default: those of a preset.

use toml::{Table, Value};

use super::{Group, Key};
use crate::error::ConfigError;
use crate::objectives::base_table;

/// The values of a preset, with an objective on top.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    table: Table,
}

impl Defaults {
    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPreset`] and [`ConfigError::UnknownObjective`], with the known names.
    ///
    /// ```
    /// use config::{Defaults, GROUPS};
    /// let defaults = Defaults::of("images", Some("flow"))?;
    /// let schedule = GROUPS.iter().find(|group| group.name == "schedule").unwrap();
    /// assert_eq!(defaults.text(schedule, &schedule.keys[0]), "straight");
    /// # Ok::<(), config::ConfigError>(())
    /// ```
    pub fn of(preset: &str, objective: Option<&str>) -> Result<Self, ConfigError> {
        Ok(Self { table: base_table(preset, objective, None)? })
    }

    /// The value of a key, if preset or objective set one.
    #[must_use]
    pub fn value(&self, group: &Group, key: &Key) -> Option<&Value> {
        let mut table = &self.table;
        for part in group.name.split('.').filter(|part| !part.is_empty()) {
            table = table.get(part)?.as_table()?;
        }
        table.get(key.name)
    }

    /// The value of a key, or what happens without one.
    #[must_use]
    pub fn text(&self, group: &Group, key: &Key) -> String {
        self.value(group, key).map_or_else(|| key.unset.to_owned(), shown)
    }
}

/// A value on one line, as after `--set KEY=`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(x) if *x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
        Value::Float(x) => x.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GROUPS, PRESETS, parse};

    #[test]
    fn values_are_short() {
        let table =
            parse("a = 2e-4\nb = 0.0\nc = 1.0\nd = 'x'\ne = [1, 2]\nf = true\ng = 1.5e-3\nh = 1e-8").unwrap();
        let all: Vec<String> = table.values().map(shown).collect();
        assert_eq!(all, ["2e-4", "0", "1", "x", "[1, 2]", "true", "0.0015", "1e-8"]);
    }

    /// A key that some preset leaves out says what happens then.
    #[test]
    fn every_key_has_a_default() {
        for (preset, _, _) in PRESETS {
            let defaults = Defaults::of(preset, None).unwrap();
            for group in GROUPS {
                for key in group.keys {
                    assert!(!defaults.text(group, key).is_empty(), "{preset}: {}", group.path(key));
                }
            }
        }
        assert!(Defaults::of("imagse", None).unwrap_err().to_string().ends_with("did you mean images?"));
        assert!(Defaults::of("images", Some("fow")).unwrap_err().to_string().ends_with("did you mean flow?"));
    }
}
