//! The size that images are resized to.

use std::fmt;

use crate::error::DatasetError;

/// Maximum side in pixels.
const MAX_SIDE: usize = 4096;

/// Height and width in pixels.
///
/// ```
/// use dataset::Size;
/// assert_eq!(Size::from(64), Size { height: 64, width: 64 });
/// assert_eq!(Size { height: 64, width: 96 }.to_string(), "96x64");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl Size {
    /// Whether both sides are in range.
    pub(crate) fn validate(self) -> Result<(), DatasetError> {
        let good = |side| (1..=MAX_SIDE).contains(&side);
        if good(self.height) && good(self.width) {
            return Ok(());
        }
        Err(DatasetError::option("size", format!("1..={MAX_SIDE} pixels"), self))
    }
}

impl From<usize> for Size {
    /// A square.
    fn from(side: usize) -> Self {
        Self { height: side, width: side }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width } = self;
        if height == width { write!(f, "{width}") } else { write!(f, "{width}x{height}") }
    }
}
