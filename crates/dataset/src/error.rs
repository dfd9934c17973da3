//! The errors of this crate: each says which file, what was expected and what was found.

use std::io;
use std::path::Path;

use crate::split::Split;

/// What a specification may be; part of an error's text.
const ACCEPTED: &str = "\"fashion-mnist\" (embedded), an IDX file or a folder with train-images-idx3-ubyte[.gz], a \
     CIFAR-10/100 binary file or folder, a .npy or .npz file, or a folder or .zip archive of images (one sub-folder \
     a class, or flat); \":test\" or \":validation\" behind it takes that part";

/// What can go wrong with data from outside, or with what is asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The operating system refused.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// The file or folder.
        file: String,
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A file breaks its own format.
    #[error("{file} is not valid {format}: expected {expected}, found {found}")]
    Malformed {
        /// The file.
        file: String,
        /// The format it was read as.
        format: &'static str,
        /// What the format asks for at this place.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file asks for more memory than is granted; nothing of it was allocated.
    #[error("{file}: {what} needs {needed} bytes, the limit is {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// The part that is too large.
        what: String,
        /// Bytes that the file asks for.
        needed: u64,
        /// Bytes granted.
        limit: u64,
    },
    /// A compressed file would grow to more than is granted to one of its size; nothing of it was allocated.
    #[error(
        "{file}: {what} unpacks to {needed} bytes, the limit for a file of this size is {limit}; raise the limit if you \
         trust the file"
    )]
    Inflates {
        /// The file.
        file: String,
        /// The part that is too large.
        what: String,
        /// Bytes that it would grow to.
        needed: u64,
        /// Bytes granted.
        limit: u64,
    },
    /// A part of a set is not there.
    #[error("{file}: expected a {asked} part, found {}", found_parts(found))]
    NoPart {
        /// The file or folder.
        file: String,
        /// The part that was asked for, or that is taken by default.
        asked: Split,
        /// The parts that are there.
        found: Vec<Split>,
    },
    /// A specification that names no data.
    #[error("unknown data {spec:?} ({reason}); expected {accepted}", accepted = ACCEPTED)]
    UnknownSource {
        /// What was given.
        spec: String,
        /// Why it is not data.
        reason: String,
    },
    /// A file is well formed but does not hold what a data set needs.
    #[error("{file}: expected {expected}, found {found}")]
    Unsuitable {
        /// The file.
        file: String,
        /// What a data set needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Images and labels do not go together.
    #[error("{file}: expected {expected} labels, one an image, found {got}")]
    LabelCount {
        /// The file of the labels.
        file: String,
        /// Number of images.
        expected: usize,
        /// Number of labels.
        got: usize,
    },
    /// No image at all.
    #[error("{file}: expected at least one image, found none{hint}")]
    Empty {
        /// The file or folder.
        file: String,
        /// What else was there, or nothing.
        hint: String,
    },
    /// Images of a folder that cannot be read.
    #[error("{folder}: {} of {total} images cannot be read (skipping them is an option):{}", reasons.len(), list(reasons))]
    BadImages {
        /// The folder.
        folder: String,
        /// How many there are in all.
        total: usize,
        /// Each with its reason, in the order of the folder.
        reasons: Vec<String>,
    },
    /// Images of different sizes without a size to bring them to.
    #[error(
        "{folder}: images differ in size ({first} is {first_width}x{first_height}, {second} is \
         {second_width}x{second_height}); give a target size, 32 for example"
    )]
    MixedSizes {
        /// The folder.
        folder: String,
        /// One image.
        first: String,
        /// Its width in pixels.
        first_width: u32,
        /// Its height in pixels.
        first_height: u32,
        /// An image of another size.
        second: String,
        /// Its width in pixels.
        second_width: u32,
        /// Its height in pixels.
        second_height: u32,
    },
    /// An option outside its range.
    #[error("{option}: expected {expected}, got {got}")]
    BadOption {
        /// The option's name.
        option: &'static str,
        /// Its range.
        expected: String,
        /// What was given.
        got: String,
    },
    /// An array or buffer of another shape than asked for.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The array.
        what: &'static str,
        /// Its expected shape.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// An index past the end.
    #[error("{what}: expected an index below {len}, got {got}")]
    OutOfRange {
        /// What was indexed.
        what: &'static str,
        /// Number of items.
        len: usize,
        /// The index.
        got: usize,
    },
    /// The thread that prepares batches has ended.
    #[error("the thread that prepares batches ended unexpectedly")]
    PrefetchEnded,
}

impl DatasetError {
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { file: path.display().to_string(), action, source }
    }

    pub(crate) fn malformed(
        file: &str,
        format: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed { file: file.to_owned(), format, expected: expected.into(), found: found.into() }
    }

    pub(crate) fn unsuitable(file: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Unsuitable { file: file.to_owned(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn option(option: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::BadOption { option, expected: expected.into(), got: got.to_string() }
    }
}

/// The parts there are, and how to take one.
fn found_parts(found: &[Split]) -> String {
    let Some(first) = found.first() else {
        return "no parts (leave out the part to take everything)".to_owned();
    };
    let names: Vec<String> = found.iter().map(Split::to_string).collect();
    format!("{}; put :{first} behind it to take that", names.join(" and "))
}

/// A person reads the first ten; a program has them all.
fn list(reasons: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text: String = reasons.iter().take(SHOWN).map(|line| format!("\n  {line}")).collect();
    if reasons.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", reasons.len() - SHOWN));
    }
    text
}
