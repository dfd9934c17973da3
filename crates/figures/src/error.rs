//! Errors in the data of a figure.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a figure or the report could not be drawn or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FiguresError {
    /// An array or a list that must hold something is empty.
    #[error("nothing to draw: {what} is empty")]
    Empty {
        /// The argument.
        what: &'static str,
    },
    /// Two sizes that must agree do not.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// The argument.
        what: &'static str,
        /// The size that fits the other arguments.
        expected: usize,
        /// The actual size.
        got: usize,
    },
    /// Image arrays of one figure differ in shape.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The shape of the first array, or the one it implies.
        expected: Vec<usize>,
        /// The actual shape.
        got: Vec<usize>,
    },
    /// Images are neither grey nor RGB.
    #[error("images must have 1 or 3 channels, got {got}")]
    Channels {
        /// Size of the last axis.
        got: usize,
    },
    /// A number to plot is NaN, infinite, or too large for an axis.
    #[error("{what}: value {index} is {got}, expected a finite number")]
    NotFinite {
        /// The series.
        what: String,
        /// Position of the number in its series.
        index: usize,
        /// The number.
        got: f64,
    },
    /// Positions on an axis do not rise.
    #[error("{what} must rise: value {index} is {got} after {before}")]
    NotRising {
        /// The series.
        what: &'static str,
        /// Position of the number in its series.
        index: usize,
        /// The number before it.
        before: f64,
        /// The number.
        got: f64,
    },
    /// The picture would not fit into memory or into a viewer.
    #[error("a picture of {width} x {height} pixels is over the limit of {limit} pixels")]
    TooLarge {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// Most pixels in all.
        limit: usize,
    },
    /// A side is longer than the file format allows.
    #[error("a {format} of {width} x {height} pixels: a side has at most {limit}")]
    Side {
        /// The file format.
        format: &'static str,
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// Most pixels of a side.
        limit: usize,
    },
    /// The delay of a frame is outside the range that viewers respect or the formats allow.
    #[error("a frame shown for {got:?}: expected {shortest:?} to {longest:?}")]
    Delay {
        /// The time requested.
        got: Duration,
        /// The shortest one.
        shortest: Duration,
        /// The longest one.
        longest: Duration,
    },
    /// The plotting crate failed to draw.
    #[error("the plot could not be drawn: {reason}")]
    Plot {
        /// Its message.
        reason: String,
    },
    /// A PNG could not be encoded or decoded.
    #[error("the PNG could not be encoded or decoded: {source}")]
    Png {
        /// The error of the codec.
        #[from]
        source: image::ImageError,
    },
    /// A GIF could not be encoded.
    #[error("the GIF could not be encoded: {source}")]
    Gif {
        /// The error of the codec.
        #[from]
        source: gif::EncodingError,
    },
    /// An animated PNG could not be encoded.
    #[error("the animated PNG could not be encoded: {source}")]
    Apng {
        /// The error of the codec.
        #[from]
        source: png::EncodingError,
    },
    /// A file could not be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl FiguresError {
    /// Names the file that could not be written.
    pub(crate) fn writing(path: &Path, result: io::Result<()>) -> Result<(), Self> {
        result.map_err(|source| Self::Write { path: path.to_owned(), source })
    }
}
