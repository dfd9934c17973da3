//! A key of the reference with what is shown of it in every form.

use serde_json::{Value, json};

use crate::config::{Choice, Defaults, GROUPS, Group, Key, MAY_CHANGE};

/// A key, with its value in the preset.
pub(super) struct Entry {
    /// For example `train.lr`.
    pub(super) path: String,
    pub(super) key: &'static Key,
    /// The default, or what happens without one.
    pub(super) default: String,
    /// The default, if preset or objective set one.
    value: Option<toml::Value>,
}

/// The entries of a group that are shown.
pub(super) struct Section {
    pub(super) group: &'static Group,
    pub(super) entries: Vec<Entry>,
}

/// The keys that `wanted` names, by group: one key, one group with those in it, or all.
pub(super) fn sections(defaults: &Defaults, wanted: Option<&str>) -> Vec<Section> {
    let is_wanted = |path: &str| {
        wanted.is_none_or(|name| {
            path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let entry = |group: &'static Group, key: &'static Key| Entry {
        path: group.path(key),
        key,
        default: defaults.text(group, key),
        value: defaults.value(group, key).cloned(),
    };
    let sections = GROUPS.iter().map(|group| Section {
        group,
        entries: group
            .keys
            .iter()
            .map(|key| entry(group, key))
            .filter(|entry| is_wanted(&entry.path))
            .collect(),
    });
    sections.filter(|section| !section.entries.is_empty()).collect()
}

impl Entry {
    /// Whether `--resume` may change it.
    pub(super) fn may_change(&self) -> bool {
        MAY_CHANGE.contains(&self.path.as_str())
    }

    /// Whether the default is a value, rather than a description of what happens.
    pub(super) fn has_value(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn json(&self) -> Value {
        let choice = |(name, meaning): &Choice| json!({ "name": name, "meaning": meaning });
        json!({
            "key": self.path, "type": self.key.kind.name(), "range": self.key.range,
            "choices": self.key.choices().iter().map(choice).collect::<Vec<_>>(),
            "default": self.value, "default_text": self.default, "meaning": self.key.meaning,
            "more": self.key.more, "settable": self.key.settable, "may_change_on_resume": self.may_change(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(wanted: Option<&str>) -> Vec<String> {
        let defaults = Defaults::of("images", None).unwrap();
        sections(&defaults, wanted)
            .into_iter()
            .flat_map(|section| section.entries)
            .map(|entry| entry.path)
            .collect()
    }

    #[test]
    fn a_name_selects_a_key_or_a_group() {
        assert_eq!(paths(Some("train.lr")), ["train.lr"]);
        assert_eq!(paths(Some("seed")), ["seed"]);
        let model = paths(Some("model"));
        assert!(
            model.contains(&"model.heads".to_owned())
                && model.contains(&"model.layout.activation".to_owned())
        );
        assert!(model.iter().all(|path| path.starts_with("model.")));
        assert!(
            paths(Some("train.")).is_empty() && paths(Some("trai")).is_empty() && paths(Some("")).is_empty()
        );
        assert!(paths(None).len() > 100);
    }

    #[test]
    fn an_entry_as_json() {
        let defaults = Defaults::of("images", None).unwrap();
        let json = |path: &str| sections(&defaults, Some(path))[0].entries[0].json();
        let lr = json("train.lr");
        assert_eq!((&lr["default"], &lr["default_text"]), (&json!(2e-4), &json!("2e-4")));
        assert_eq!((&lr["type"], &lr["range"]), (&json!("number"), &json!("above 0, at most 1")));
        assert_eq!((&lr["settable"], &lr["may_change_on_resume"]), (&json!(true), &json!(true)));
        let size = json("data.size");
        assert!(
            size["default"].is_null()
                && size["default_text"].as_str().is_some_and(|text| text.contains("none"))
        );
        assert_eq!(
            json("data.fit")["choices"][0],
            json!({ "name": "crop", "meaning": "take the centre square" })
        );
        assert_eq!(json("images.count")["settable"], false);
    }
}
