//! The size that images are resized to: a number of pixels for a square, or width x height.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// A width and a height in pixels. In TOML it is `64` for a square, and `"96x64"` otherwise.
///
/// ```
/// use config::ImageSize;
/// assert_eq!("96x64".parse::<ImageSize>(), Ok(ImageSize { width: 96, height: 64 }));
/// assert_eq!(ImageSize::from(64).to_string(), "64");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected pixels such as 64, or width x height such as 96x64")]
pub struct NoImageSize;

impl From<usize> for ImageSize {
    /// A square.
    fn from(side: usize) -> Self {
        Self { width: side, height: side }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height } = self;
        if width == height { write!(f, "{width}") } else { write!(f, "{width}x{height}") }
    }
}

impl FromStr for ImageSize {
    type Err = NoImageSize;

    fn from_str(text: &str) -> Result<Self, NoImageSize> {
        // Sides of more than 32 bits are refused here, any others by the limits of the images.
        let side = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let side = text.parse::<u32>().ok().filter(|_| digits);
            side.map(|side| side as usize).ok_or(NoImageSize)
        };
        match text.split_once('x') {
            Some((width, height)) => Ok(Self { width: side(width)?, height: side(height)? }),
            None => side(text).map(Self::from),
        }
    }
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.width == self.height { to.serialize_u64(self.width as u64) } else { to.collect_str(self) }
    }
}

impl<'a> Deserialize<'a> for ImageSize {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = ImageSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pixels such as 64, or width x height such as \"96x64\"")
    }

    fn visit_u64<E: de::Error>(self, side: u64) -> Result<ImageSize, E> {
        let wrong = |_| E::invalid_value(Unexpected::Unsigned(side), &self);
        usize::try_from(side).map(ImageSize::from).map_err(wrong)
    }

    fn visit_i64<E: de::Error>(self, side: i64) -> Result<ImageSize, E> {
        let wrong = |_| E::invalid_value(Unexpected::Signed(side), &self);
        usize::try_from(side).map(ImageSize::from).map_err(wrong)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ImageSize, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Value;

    #[test]
    fn numbers_and_texts_are_sizes() {
        let read = |value: Value| value.try_into::<ImageSize>().map_err(|error| error.to_string());
        assert_eq!(read(Value::Integer(64)), Ok(ImageSize::from(64)));
        for (text, size) in [("64", (64, 64)), ("96x64", (96, 64)), ("8x8", (8, 8)), ("0x1", (0, 1))] {
            let want = ImageSize { width: size.0, height: size.1 };
            assert_eq!(read(Value::String(text.to_owned())), Ok(want));
            // What is written is read back.
            let written = Value::try_from(want).unwrap();
            assert_eq!(written.is_integer(), size.0 == size.1, "{written}");
            assert_eq!(read(written), Ok(want));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "x", "96x", "x64", "96x64x3", "96 x 64", "+9x8", "-9x8", "9.5x8", "4294967296x1"] {
            assert_eq!(text.parse::<ImageSize>(), Err(NoImageSize), "{text}");
            let error = Value::String(text.to_owned()).try_into::<ImageSize>().unwrap_err().to_string();
            assert!(error.contains("width x height such as"), "{text}: {error}");
        }
        for value in [Value::Integer(-1), Value::Float(1.5), Value::Boolean(true)] {
            assert!(value.try_into::<ImageSize>().is_err());
        }
    }
}
