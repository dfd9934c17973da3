//! `train.freeze`: patterns for parameters that training does not change.

use crate::error::ConfigError;
use crate::network::is_adapter;
use crate::train::{TrainConfig, refuse};

/// Limits on patterns, above what any network needs; they bound the time for matching.
const MOST_PATTERNS: usize = 32;
const MOST_CHARACTERS: usize = 200;
/// Maximum number of names in a message.
const SHOWN: usize = 3;

/// Whether a pattern matches a whole name. `*` matches any characters, including dots and none at all.
///
/// ```
/// assert!(config::matches("down_blocks.*", "down_blocks.0.resnets.0.norm1.weight"));
/// assert!(config::matches("*.norm*", "down_blocks.0.resnets.0.norm1.weight"));
/// assert!(!config::matches("conv_in", "conv_in.weight"));
/// ```
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    // Between the first and last star, taking the first match leaves the most for the pieces that follow.
    for piece in pieces {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    name.ends_with(end)
}

impl TrainConfig {
    /// Which of a network's parameters are frozen, in the order of `names`. In a network with adapters, all others are.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a pattern matches no parameter, or if the patterns match all.
    pub fn frozen<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<bool>, ConfigError> {
        let names: Vec<&str> = names.into_iter().collect();
        for pattern in &self.freeze {
            if !names.iter().any(|name| matches(pattern, name)) {
                let some: Vec<&str> = names.iter().copied().take(SHOWN).collect();
                let expected = format!(
                    "a pattern of parameter names, with * for any characters, such as down_blocks.*; no parameter matches, \
                     the network has {} ...",
                    some.join(", ")
                );
                return Err(ConfigError::value("train", "freeze", format!("{pattern:?}"), expected));
            }
        }
        // Adapters are there to be trained in place of the weights that they belong to.
        let adapted = names.iter().any(|name| is_adapter(name));
        let is_frozen = |name: &&str| {
            (adapted && !is_adapter(name)) || self.freeze.iter().any(|pattern| matches(pattern, name))
        };
        let frozen: Vec<bool> = names.iter().map(is_frozen).collect();
        if !frozen.is_empty() && frozen.iter().all(|&frozen| frozen) {
            let expected = "patterns that leave some parameter trainable; these match every one";
            return Err(ConfigError::value("train", "freeze", format!("{:?}", self.freeze), expected));
        }
        Ok(frozen)
    }

    /// Checks the patterns on their own, without a network.
    pub(crate) fn validate_freeze(&self) -> Result<(), ConfigError> {
        if self.freeze.len() > MOST_PATTERNS {
            let got = format!("a list of {}", self.freeze.len());
            return refuse("freeze", got, format!("at most {MOST_PATTERNS} patterns"));
        }
        match self.freeze.iter().find(|pattern| pattern.is_empty() || pattern.len() > MOST_CHARACTERS) {
            Some(pattern) => {
                let got = format!("a pattern of {} characters", pattern.len());
                refuse("freeze", got, format!("1 to {MOST_CHARACTERS}"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["conv_in.weight", "conv_in.bias", "down.0.norm1.weight", "conv_out.weight"];

    fn frozen(patterns: &[&str]) -> Result<Vec<bool>, ConfigError> {
        let freeze = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        TrainConfig { freeze, ..TrainConfig::default() }.frozen(NAMES)
    }

    #[test]
    fn a_star_matches_any_characters() {
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "a.b"),
            ("a*", "a"),
            ("*a", "ba"),
            ("a*c*e", "abcde"),
            ("a**e", "ae"),
            ("*ab*ab", "abab"),
            ("*ä*", "xäy"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("a*", "ba"), ("*a", "ab"), ("ab*ba", "aba"), ("*ab*ab", "ab"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_freeze_what_they_match() {
        assert_eq!(frozen(&[]).unwrap(), [false; 4]);
        assert_eq!(frozen(&["conv_in.*"]).unwrap(), [true, true, false, false]);
        assert_eq!(frozen(&["*.norm*", "conv_out.weight"]).unwrap(), [false, false, true, true]);
    }

    #[test]
    fn patterns_that_freeze_nothing_or_all_are_refused() {
        let message = |patterns: &[&str]| frozen(patterns).unwrap_err().to_string();
        let none = message(&["conv_in.*", "conv_inn.*"]);
        assert!(none.starts_with("train.freeze = \"conv_inn.*\": expected"), "{none}");
        assert!(none.contains("conv_in.weight"), "{none}");
        assert!(message(&["conv_*", "down.*"]).contains("every one"));
        let long = TrainConfig { freeze: vec!["x".repeat(201)], ..TrainConfig::default() };
        let many = TrainConfig { freeze: vec!["*".to_owned(); 33], ..TrainConfig::default() };
        let empty = TrainConfig { freeze: vec![String::new()], ..TrainConfig::default() };
        for config in [long, many, empty] {
            assert!(config.validate().unwrap_err().to_string().starts_with("train.freeze"));
        }
    }
}
