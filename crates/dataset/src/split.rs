//! The parts of a dataset, and their usual names.

use std::fmt;
use std::path::Path;

/// Words that may be added to a part in a folder's name: `training_set`, `test-images`.
const ADDED: [&str; 6] = ["set", "images", "imgs", "data", "split", "part"];

/// A part of a dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// For training.
    #[default]
    Train,
    /// Held out, to choose between models.
    Validation,
    /// Held out, for the final evaluation.
    Test,
}

impl Split {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The names of a part in lower case; the first is used for output.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train", "training"],
            Self::Validation => &["validation", "val", "valid", "dev"],
            Self::Test => &["test", "testing"],
        }
    }

    /// The part with this name, ignoring case.
    ///
    /// ```
    /// use dataset::Split;
    /// assert_eq!(Split::named("Val"), Some(Split::Validation));
    /// assert_eq!(Split::named("cat"), None);
    /// ```
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|part| part.names().contains(&word.as_str()))
    }

    /// The part in a folder of this name, including `train2017`, `Training_Set` and `test-images`.
    pub(crate) fn of_folder(name: &str) -> Option<Self> {
        let separator = |c: char| !c.is_ascii_alphabetic();
        let mut word = name.to_ascii_lowercase();
        word.truncate(word.trim_end_matches(separator).len());
        let plain =
            ADDED.iter().find_map(|added| word.strip_suffix(added)).map(|w| w.trim_end_matches(separator));
        Self::named(&word).or_else(|| plain.and_then(Self::named))
    }

    /// Splits `:train`, `:validation`, `:test` or another name of a part from the end of a user's text. If the whole
    /// text is an existing path, it is not split.
    ///
    /// ```
    /// use dataset::Split;
    /// assert_eq!(Split::of_spec("photos:val"), ("photos", Some(Split::Validation)));
    /// assert_eq!(Split::of_spec("photos"), ("photos", None));
    /// ```
    #[must_use]
    pub fn of_spec(spec: &str) -> (&str, Option<Self>) {
        match spec.rsplit_once(':') {
            Some((bare, word)) if !Path::new(spec).exists() => match Self::named(word) {
                Some(part) => (bare, Some(part)),
                None => (spec, None),
            },
            _ => (spec, None),
        }
    }
}

/// Writes the first of its names.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_in_many_ways() {
        for name in ["train", "Train", "TRAINING", "train2017", "training_set", "Train-Images", "trainset"] {
            assert_eq!(Split::of_folder(name), Some(Split::Train), "{name}");
        }
        for name in ["val", "valid", "Validation", "val_data", "dev"] {
            assert_eq!(Split::of_folder(name), Some(Split::Validation), "{name}");
        }
        for name in ["cat", "trains", "set", "2017", "", "contest", "trainA", "images"] {
            assert_eq!(Split::of_folder(name), None, "{name}");
        }
    }

    #[test]
    fn a_part_round_trips_through_its_name() {
        for part in Split::ALL {
            assert_eq!(Split::of_spec(&format!("a:{part}")), ("a", Some(part)));
        }
        assert_eq!(Split::of_spec("a:tset"), ("a:tset", None));
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a:test");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        assert_eq!(Split::of_spec(odd), (odd, None));
    }
}
