//! Errors of this crate: each names the file, what was expected and what was found.

use std::io;
use std::path::Path;

use crate::split::Split;

/// The accepted specifications, for error messages.
const ACCEPTED: &str = "\"fashion-mnist\" (embedded), an IDX file or a folder with train-images-idx3-ubyte[.gz], a \
     CIFAR-10/100 binary file, folder or .tar.gz, a .npy or .npz file, a folder or .zip archive of images (one \
     sub-folder per class, or flat), .tar shards of images (a file, a folder or name-{000..012}.tar), or .parquet \
     files; append \":test\" or \":validation\" to use that part";

/// Errors in outside data, or in what is requested of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The operating system reported an error.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// The file or folder.
        file: String,
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A file violates its own format.
    #[error("{file} is not valid {format}: expected {expected}, found {found}")]
    Malformed {
        /// The file.
        file: String,
        /// The format it was read as.
        format: &'static str,
        /// What the format requires there.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A file needs more memory than allowed; nothing was allocated for it.
    #[error("{file}: {what} needs {needed} bytes, the limit is {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// The part that is too large.
        what: String,
        /// Bytes that the file needs.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A compressed file would unpack to more than its size allows; nothing was allocated for it.
    #[error(
        "{file}: {what} unpacks to {needed} bytes, the limit for a file of this size is {limit}; raise the limit if you \
         trust the file"
    )]
    Inflates {
        /// The file.
        file: String,
        /// The part that is too large.
        what: String,
        /// Bytes that it would unpack to.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Something needs all images decoded, and they take more memory than allowed.
    #[error(
        "{file}: {what} needs all images decoded, which takes {needed} bytes, and {limit} may be used; use fewer or smaller \
         images, or raise the limit"
    )]
    NeedsMemory {
        /// The file or folder.
        file: String,
        /// What needs it.
        what: &'static str,
        /// Bytes of all decoded images.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// This build cannot read Parquet files.
    #[error(
        "{file}: expected a build that reads Parquet, found one without; build it with `cargo build --release -p cli \
         --features parquet`"
    )]
    NoParquet {
        /// The file or folder.
        file: String,
    },
    /// The dataset lacks the requested part.
    #[error("{file}: expected a {asked} part, found {}", found_parts(found))]
    NoPart {
        /// The file or folder.
        file: String,
        /// The part that was requested, or the default one.
        asked: Split,
        /// The available parts.
        found: Vec<Split>,
    },
    /// The specification does not name any data.
    #[error("unknown data {spec:?} ({reason}); expected {accepted}", accepted = ACCEPTED)]
    UnknownSource {
        /// What was given.
        spec: String,
        /// Why it does not.
        reason: String,
    },
    /// A file is well formed but does not contain a usable dataset.
    #[error("{file}: expected {expected}, found {found}")]
    Unsuitable {
        /// The file.
        file: String,
        /// What a dataset needs.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The number of labels does not match the number of images.
    #[error("{file}: expected {}, one per image, found {got}", files::counted(*expected, "label"))]
    LabelCount {
        /// The file of the labels.
        file: String,
        /// Number of images.
        expected: usize,
        /// Number of labels.
        got: usize,
    },
    /// There are no images.
    #[error("{file}: expected at least one image, found none{hint}")]
    Empty {
        /// The file or folder.
        file: String,
        /// What else was found, or empty.
        hint: String,
    },
    /// Some images of a folder cannot be read.
    #[error(
        "{folder}: {} of {} cannot be read (skipping them is an option):{}",
        reasons.len(),
        files::counted(*total, "image"),
        list(reasons)
    )]
    BadImages {
        /// The folder.
        folder: String,
        /// How many images there are in total.
        total: usize,
        /// Each unreadable image with its reason, in the order of the folder.
        reasons: Vec<String>,
    },
    /// The images differ in size, and no target size is given.
    #[error(
        "{folder}: images differ in size ({first} is {first_width}x{first_height}, {second} is \
         {second_width}x{second_height}); give a target size such as 32"
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
    /// An option is out of range.
    #[error("{option}: expected {expected}, got {got}")]
    BadOption {
        /// The option's name.
        option: &'static str,
        /// Its range.
        expected: String,
        /// What was given.
        got: String,
    },
    /// An array or buffer has the wrong shape.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The array.
        what: &'static str,
        /// Its expected shape.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// An index is out of range.
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

/// The available parts, and how to use one.
fn found_parts(found: &[Split]) -> String {
    let Some(first) = found.first() else {
        return "no parts (leave out the part to take everything)".to_owned();
    };
    let names: Vec<String> = found.iter().map(Split::to_string).collect();
    format!("{}; append :{first} to use that part", names.join(" and "))
}

/// Shows the first ten; a program has all of them.
fn list(reasons: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text: String = reasons.iter().take(SHOWN).map(|line| format!("\n  {line}")).collect();
    if reasons.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", reasons.len() - SHOWN));
    }
    text
}
