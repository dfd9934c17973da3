//! What is known of one key, and how it is put into words.

use toml::Value;

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name within its group, for example `lr`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The values that are valid, as the end of "a number ..." or "expected ..."; empty if the type says it all.
    pub range: &'static str,
    /// The value where neither a preset nor the user sets one; empty if every preset sets it.
    pub unset: &'static str,
    /// What it means: one phrase, without a full stop.
    pub meaning: &'static str,
    /// Further sentences, or empty.
    pub more: &'static str,
    /// Whether users may set it; the program records the others.
    pub settable: bool,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Switch,
    /// A whole number, 0 or more.
    Whole,
    /// Any number.
    Number,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [Choice]),
    /// A list of values of one type.
    List(&'static Kind),
}

/// A word and its meaning.
pub type Choice = (&'static str, &'static str);

/// Choices longer than this do not fit into a comment.
const COMMENT_CHOICES: usize = 48;

impl Key {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        range: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, kind, range, unset: "", meaning, more: "", settable: true }
    }

    /// The value where nobody sets one.
    pub(super) const fn or(self, unset: &'static str) -> Self {
        Self { unset, ..self }
    }

    /// Further sentences.
    pub(super) const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    /// Marks a key that only the program sets.
    pub(super) const fn recorded(self) -> Self {
        Self { unset: "recorded by the program", settable: false, ..self }
    }

    /// The value that an absent key stands for, if it is always the same. A default in several words is a description.
    pub(super) fn usual(&self) -> Option<Value> {
        let unset = self.unset;
        match self.kind {
            Kind::List(_) => (unset == "none").then(|| Value::Array(Vec::new())),
            _ if unset.is_empty() || unset == "none" || unset.contains(' ') => None,
            Kind::Switch => unset.parse().ok().map(Value::Boolean),
            Kind::Whole => unset.parse().ok().map(Value::Integer),
            Kind::Number => unset.parse().ok().map(Value::Float),
            Kind::Text | Kind::Word(_) => Some(Value::String(unset.to_owned())),
        }
    }

    /// The words that are valid, with their meanings; empty unless the value is a word or a list of words.
    #[must_use]
    pub fn choices(&self) -> &'static [Choice] {
        match self.kind {
            Kind::Word(choices) | Kind::List(&Kind::Word(choices)) => choices,
            _ => &[],
        }
    }

    /// Type and valid values: `number above 0, at most 1`.
    #[must_use]
    pub fn values(&self) -> String {
        match self.kind {
            Kind::Word(choices) => alternatives(choices),
            Kind::List(&Kind::Word(choices)) => format!("list of words: {}", alternatives(choices)),
            Kind::Number if !self.range.is_empty() => format!("number {}", self.range),
            kind if self.range.is_empty() => kind.name().to_owned(),
            kind => format!("{}: {}", kind.name(), self.range),
        }
    }

    /// The valid values, as they follow "expected" in a message: `a number above 0, at most 1`.
    pub(crate) fn expected(&self) -> String {
        match self.kind {
            Kind::Word(choices) => alternatives(choices),
            Kind::Number => format!("a number {}", self.range),
            _ => self.range.to_owned(),
        }
    }

    /// The comment beside its value in a file.
    pub(super) fn comment(&self) -> String {
        let names: Vec<&str> = self.choices().iter().map(|choice| choice.0).collect();
        let names = names.join(" | ");
        if names.is_empty() || names.len() > COMMENT_CHOICES {
            return self.meaning.to_owned();
        }
        format!("{} ({names})", self.meaning)
    }
}

impl Kind {
    /// The name of the type, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Whole => "whole number",
            Self::Number => "number",
            Self::Text => "text",
            Self::Word(_) => "word",
            Self::List(Self::Switch) => "list of true or false",
            Self::List(Self::Whole) => "list of whole numbers",
            Self::List(Self::Number) => "list of numbers",
            Self::List(Self::Text) => "list of texts",
            Self::List(Self::Word(_)) => "list of words",
            Self::List(Self::List(_)) => "list of lists",
        }
    }
}

/// `crop, stretch or pad`.
fn alternatives(choices: &[Choice]) -> String {
    let names: Vec<&str> = choices.iter().map(|choice| choice.0).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_defaults_that_are_values_are_usual() {
        let usual = |kind, unset| Key::new("k", kind, "", "Key").or(unset).usual();
        assert_eq!(usual(Kind::Switch, "false"), Some(Value::Boolean(false)));
        assert_eq!(usual(Kind::Whole, "0"), Some(Value::Integer(0)));
        assert_eq!(usual(Kind::Number, "0"), Some(Value::Float(0.0)));
        assert_eq!(usual(Kind::Word(&[("adam", "Adam")]), "adam"), Some(Value::String("adam".to_owned())));
        assert_eq!(usual(Kind::List(&Kind::Number), "none"), Some(Value::Array(Vec::new())));
        for (kind, unset) in [
            (Kind::Whole, "1000 per evaluation"),
            (Kind::Whole, "none"),
            (Kind::Text, ""),
            (Kind::List(&Kind::Whole), "from channel_mults"),
        ] {
            assert_eq!(usual(kind, unset), None, "{unset}");
        }
    }

    #[test]
    fn keys_in_words() {
        let number = Key::new("lr", Kind::Number, "above 0, at most 1", "Learning rate");
        assert_eq!(number.values(), "number above 0, at most 1");
        assert_eq!(number.expected(), "a number above 0, at most 1");
        assert_eq!(number.comment(), "Learning rate");
        let whole = Key::new("steps", Kind::Whole, "at least 1", "Steps");
        assert_eq!(
            (whole.values().as_str(), whole.expected().as_str()),
            ("whole number: at least 1", "at least 1")
        );
        let word = Key::new("fit", Kind::Word(&[("crop", ""), ("stretch", ""), ("pad", "")]), "", "How");
        assert_eq!((word.values(), word.expected()), ("crop, stretch or pad".to_owned(), word.values()));
        assert_eq!(word.comment(), "How (crop | stretch | pad)");
        let list = Key::new("mults", Kind::List(&Kind::Whole), "1 to 8 numbers", "Channels");
        assert_eq!(list.values(), "list of whole numbers: 1 to 8 numbers");
        assert_eq!(Key::new("flip", Kind::Switch, "", "Mirror").values(), "true or false");
        assert_eq!(alternatives(&[("unet", "")]), "unet");
        let one = Key::new("up", Kind::List(&Kind::Word(&[("conv", ""), ("plain", "")])), "", "How");
        assert_eq!(one.values(), "list of words: conv or plain");
    }
}
