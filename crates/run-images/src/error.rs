//! Why a configuration's images cannot be used, in terms of the command-line flags.

use std::io;

use config::{ConfigError, nearest};
use dataset::DatasetError;
use thiserror::Error;

/// A mistake in a configuration, or data that cannot be used; [`DataError::is_usage`] distinguishes them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The configuration is wrong, or does not fit the images.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The named source is not a dataset, or its images do not fit together.
    #[error("--data: {error}{advice}")]
    Source {
        /// Which source, and why.
        error: DatasetError,
        /// Advice with its leading punctuation, or empty.
        advice: String,
    },
    /// Images of a folder cannot be read.
    #[error(
        "--data: {folder}: {} of {} cannot be read: {}; --set data.on_bad=skip leaves them out",
        reasons.len(),
        files::counted(*total, "image"),
        example(reasons)
    )]
    BadImages {
        /// The folder.
        folder: String,
        /// How many images there are in total.
        total: usize,
        /// Each unreadable image with its reason.
        reasons: Vec<String>,
    },
    /// The data cannot be read.
    #[error("--data: {error}")]
    Data {
        /// Which file, and why.
        error: DatasetError,
    },
    /// A compressed file unpacks to more than the limit.
    #[error("--data: {error}: --set data.unpacked_limit={mib}")]
    Unpacks {
        /// Which file, and how much; boxed because it is large.
        error: Box<DatasetError>,
        /// A sufficient limit in MiB.
        mib: u64,
    },
    /// The same error for images that another flag names.
    #[error("{}", renamed(flag, error))]
    Of {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        error: Box<DataError>,
    },
    /// The path of the data cannot be determined.
    #[error("--data {data}: {error}")]
    Path {
        /// `data.source`.
        data: String,
        /// The system's error.
        error: io::Error,
    },
}

impl DataError {
    /// The same error for images named by `flag`.
    #[must_use]
    pub fn of(self, flag: &'static str) -> Self {
        Self::Of { flag, error: Box::new(self) }
    }

    /// Whether the user can fix it by changing the command or configuration; otherwise a file is damaged or unreadable.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(error) => error.is_usage(),
            Self::Source { .. } => true,
            Self::Of { error, .. } => error.is_usage(),
            _ => false,
        }
    }

    /// Whether the images are at fault, rather than the settings for them.
    #[must_use]
    pub fn is_data(&self) -> bool {
        match self {
            Self::Of { error, .. } => error.is_data(),
            _ => !matches!(self, Self::Config(_) | Self::Source { .. }),
        }
    }
}

/// Adds the flag that the error is about, and the flag that helps.
impl From<DatasetError> for DataError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::BadOption { option, expected, got } => Self::Config(ConfigError::Value {
                group: "data",
                field: option,
                got: got.to_string(),
                expected: expected.to_string(),
            }),
            DatasetError::UnknownSource { ref spec, .. } => {
                let near = nearest(spec, ["fashion-mnist"]).filter(|near| near != spec);
                let advice = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Self::Source { error, advice }
            }
            DatasetError::NoPart { .. } | DatasetError::NoParquet { .. } => {
                Self::Source { error, advice: String::new() }
            }
            DatasetError::Inflates { needed, .. } => {
                Self::Unpacks { mib: needed.div_ceil(1 << 20), error: Box::new(error) }
            }
            DatasetError::NeedsMemory { needed, .. } => {
                let advice = format!(": --set data.memory={}", needed.div_ceil(1 << 20));
                Self::Source { error, advice }
            }
            DatasetError::MixedSizes { .. } => {
                Self::Source { error, advice: ": --set data.size=32".to_owned() }
            }
            DatasetError::BadImages { folder, total, reasons } => Self::BadImages { folder, total, reasons },
            error => Self::Data { error },
        }
    }
}

fn renamed(flag: &str, error: &DataError) -> String {
    error.to_string().replacen("--data", flag, 1)
}

/// The first reason, as an example if there are several.
fn example(reasons: &[String]) -> String {
    let first = reasons.first().map(String::as_str).unwrap_or_default();
    if reasons.len() > 1 { format!("{first}, for example") } else { first.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_flag_replaces_data() {
        let error = DataError::from(DatasetError::BadImages {
            folder: "x".to_owned(),
            total: 3,
            reasons: vec!["x/a.png: no".to_owned()],
        });
        let error = error.of("--held-out");
        assert!(error.is_data() && !error.is_usage());
        let text = error.to_string();
        assert!(
            text.starts_with("--held-out: x: 1 of 3") && text.contains("--set data.on_bad=skip"),
            "{text}"
        );
    }

    #[test]
    fn what_needs_memory_names_the_key() {
        let error = DataError::from(DatasetError::NeedsMemory {
            file: "photos".to_owned(),
            what: "leaving out unreadable images",
            needed: (3 << 20) + 1,
            limit: 1,
        });
        assert!(error.is_usage() && error.to_string().ends_with(": --set data.memory=4"), "{error}");
    }

    #[test]
    fn a_file_that_unpacks_to_too_much_names_the_key() {
        let error = DataError::from(DatasetError::Inflates {
            file: "a.npz".to_owned(),
            what: "the array".to_owned(),
            needed: (10 << 30) + 1,
            limit: 1,
        });
        assert!(
            error.is_data() && error.to_string().ends_with(": --set data.unpacked_limit=10241"),
            "{error}"
        );
    }
}
