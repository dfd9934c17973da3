//! Why an encoded image could not be read. If too many files are open, that says nothing about the image.

use std::io;

use crate::error::DatasetError;

/// Why an image could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It cannot be used, for this reason.
    Image(String),
    /// Its file could not be opened, because too many are open.
    Handles {
        /// The file.
        file: String,
        /// The system's error.
        code: i32,
    },
}

impl Unread {
    /// What is wrong with the image.
    ///
    /// # Errors
    /// [`DatasetError::Io`] if nothing is known to be wrong with it.
    pub(crate) fn reason(self) -> Result<String, DatasetError> {
        match self {
            Self::Image(reason) => Ok(reason),
            Self::Handles { file, code } => {
                Err(DatasetError::Io { file, action: "read", source: io::Error::from_raw_os_error(code) })
            }
        }
    }
}

impl From<String> for Unread {
    fn from(reason: String) -> Self {
        Self::Image(reason)
    }
}

impl From<&str> for Unread {
    fn from(reason: &str) -> Self {
        Self::Image(reason.to_owned())
    }
}

impl From<DatasetError> for Unread {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Io { file, source, .. } if files::is_out_of_handles(&source) => {
                Self::Handles { file, code: source.raw_os_error().unwrap_or_default() }
            }
            error => Self::Image(error.to_string()),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_are_no_fault_of_the_image() {
        let unread = |code| {
            Unread::from(DatasetError::io("a.tar".as_ref(), "read", io::Error::from_raw_os_error(code)))
        };
        // EMFILE and ENFILE.
        for code in [24, 23] {
            let error = unread(code).reason().unwrap_err();
            assert!(error.to_string().starts_with("cannot read a.tar: "), "{error}");
            let DatasetError::Io { source, .. } = &error else { panic!("{error}") };
            assert_eq!(source.raw_os_error(), Some(code));
        }
        // EIO.
        assert!(unread(5).reason().unwrap().starts_with("cannot read a.tar: "));
        assert_eq!(Unread::from("cut off").reason().unwrap(), "cut off");
    }
}
