//! A configuration as TOML with the meaning of each key beside its value.

use super::{Group, Key};
use crate::error::ConfigError;
use crate::file::to_toml;
use crate::run::Config;
use crate::text::parse;

/// The column of the comments; longer lines have theirs behind a space.
const COLUMN: usize = 28;

/// The text of [`to_toml`] with a comment behind each key.
///
/// # Errors
/// As for [`to_toml`].
///
/// ```
/// use config::{ImageShape, Layers, to_commented_toml};
/// let images = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };
/// let config = Layers { preset: Some("tiny-16"), ..Layers::default() }.settle(&images)?;
/// let text = to_commented_toml(&config)?;
/// assert!(text.contains("steps = 200                  # Optimiser steps of the whole run\n"));
/// # Ok::<(), config::ConfigError>(())
/// ```
pub fn to_commented_toml(config: &Config) -> Result<String, ConfigError> {
    let plain = to_toml(config)?;
    let commented = with_comments(&plain);
    // A text of several lines may contain a line that looks like a key. A comment there would change it.
    let is_same = matches!((parse(&plain), parse(&commented)), (Ok(before), Ok(after)) if before == after);
    Ok(if is_same { commented } else { plain })
}

fn with_comments(plain: &str) -> String {
    let mut out = String::with_capacity(2 * plain.len());
    let mut group = Group::named("");
    for line in plain.lines() {
        let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let comment = if let Some(name) = header {
            group = Group::named(name);
            group.map(|group| group.meaning.to_owned())
        } else {
            let key = line.split_once(" = ").map(|(key, _)| key);
            key.and_then(|key| group?.key(key)).map(Key::comment)
        };
        match comment {
            Some(comment) => out += &format!("{line:<COLUMN$} # {comment}\n"),
            None => out += &format!("{line}\n"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layers, PRESETS, UserFile, from_toml};

    const DUMP: &str = include_str!("../../tests/old_runs/tiny-16.toml");

    #[test]
    fn every_key_has_a_comment_and_the_text_reads_back() {
        let config = from_toml(DUMP).unwrap();
        let text = to_commented_toml(&config).unwrap();
        assert_eq!(from_toml(&text).unwrap(), config);
        for line in text.lines().filter(|line| line.contains(" = ") || line.starts_with('[')) {
            assert!(line.contains(" # "), "{line}");
        }
        assert!(text.contains("fit = \"crop\"                 # How images"), "{text}");
        assert!(text.contains("channel_mults = [            # Channels"), "{text}");
    }

    #[test]
    fn it_is_accepted_as_a_file() {
        for (preset, _, _) in PRESETS {
            let (side, channels) = match *preset {
                "ddpm-cifar10" => (32, 3),
                "tiny-16" => (16, 1),
                _ => (28, 1),
            };
            let images = crate::ImageShape { height: side, width: side, channels, classes: 10 };
            let config = Layers { preset: Some(preset), ..Layers::default() }.settle(&images).unwrap();
            let file = UserFile { name: "a".to_owned(), text: to_commented_toml(&config).unwrap() };
            let again = Layers { preset: Some(preset), file: Some(&file), ..Layers::default() };
            assert_eq!(again.settle(&images).unwrap(), config, "{preset}");
        }
    }

    #[test]
    fn no_comment_gets_into_a_text() {
        let mut config = from_toml(DUMP).unwrap();
        for source in
            ["a\nseed = 5\nb", "[train]\nlr = 1", "\"\"\"\nseed = 1", "'''\nseed = 1\r\n", "a # b", "x\n\ny"]
        {
            source.clone_into(&mut config.data.source);
            let text = to_commented_toml(&config).unwrap();
            assert_eq!(from_toml(&text).unwrap(), config, "{source:?}");
        }
    }
}
