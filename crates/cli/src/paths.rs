//! Paths on the command line: inputs, and files and folders to write. The type of a flag tells which it is, so that
//! [`crate::commands::flags`] can list all outputs.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::builder::{OsStringValueParser, TryMapValueParser, TypedValueParser, ValueParserFactory};
use dataset::Split;
use serde::{Serialize, Serializer};

/// A file or folder that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputPath(PathBuf);

/// A file that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputFile(PathBuf);

/// A folder in which files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputFolder(PathBuf);

impl OutputFolder {
    /// A folder that the program chooses.
    pub(crate) fn of(path: PathBuf) -> Self {
        Self(path)
    }
}

/// Images, by name or by path. It must be text, because the configuration stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataSource(String);

/// A path as text for JSON and messages. Replaces what is not UTF-8.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A path from the user: not empty, with a leading `~` expanded to the home folder.
fn path(value: OsString) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("expected a path, found an empty string".to_owned());
    }
    let path = PathBuf::from(value);
    files::expand_home(&path).map(Into::into).map_err(|error| error.to_string())
}

/// Files that flags of this process name for reading. An output must not replace one.
static READ: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn remember(path: &Path) {
    if let Ok(mut read) = READ.lock() {
        read.push(path.to_owned());
    }
}

/// Whether a flag names this file for reading, or it belongs to the model or run in a folder that a flag names.
pub(crate) fn is_read(path: &Path) -> bool {
    let Ok(place) = path.canonicalize() else { return false };
    let is_it = |input: &PathBuf| {
        input.canonicalize().is_ok_and(|input| match place.strip_prefix(&input) {
            Ok(within) if input.is_dir() => is_of_model(within),
            _ => input == place,
        })
    };
    READ.lock().is_ok_and(|read| read.iter().any(is_it))
}

/// Whether a file in a folder belongs to the model or run itself, and is not a result put there.
fn is_of_model(within: &Path) -> bool {
    const FOLDERS: [&str; 5] = ["unet", "scheduler", "checkpoints", "best", "averages"];
    const ENDINGS: [&str; 4] = ["json", "jsonl", "safetensors", "toml"];
    let mut parts = within.components();
    let first = parts.next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
    match parts.next() {
        Some(_) => FOLDERS.iter().any(|folder| first == *folder),
        None => within.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)),
    }
}

impl From<PathBuf> for InputPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl TryFrom<OsString> for InputPath {
    type Error = String;

    fn try_from(value: OsString) -> Result<Self, String> {
        path(value).inspect(|path| remember(path)).map(Self)
    }
}

impl TryFrom<OsString> for OutputFile {
    type Error = String;

    fn try_from(value: OsString) -> Result<Self, String> {
        let is_folder = value.as_encoded_bytes().ends_with(b"/");
        let path = path(value)?;
        if is_folder || path.file_name().is_none() {
            return Err("expected a file, found the name of a folder".to_owned());
        }
        Ok(Self(path))
    }
}

impl TryFrom<OsString> for OutputFolder {
    type Error = String;

    fn try_from(value: OsString) -> Result<Self, String> {
        path(value).map(Self)
    }
}

impl TryFrom<OsString> for DataSource {
    type Error = String;

    fn try_from(value: OsString) -> Result<Self, String> {
        let text = path(value)?.into_os_string().into_string();
        let advice = "expected UTF-8, because the configuration of a run keeps it; rename the folder, or use a link to it";
        let text = text.map_err(|_| advice.to_owned())?;
        // Remember the file of the dataset without the name of the part.
        remember(Path::new(Split::of_spec(&text).0));
        Ok(Self(text))
    }
}

impl Deref for DataSource {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Parses a flag's value as one of the types of this module.
type Parser<T> = TryMapValueParser<OsStringValueParser, fn(OsString) -> Result<T, String>>;

macro_rules! flags {
    ($($kind:ident),*) => {$(
        impl ValueParserFactory for $kind {
            type Parser = Parser<Self>;

            fn value_parser() -> Self::Parser {
                OsStringValueParser::new().try_map(|value| Self::try_from(value))
            }
        }
    )*};
}
flags!(InputPath, OutputFile, OutputFolder, DataSource);

macro_rules! paths {
    ($($kind:ident),*) => {$(
        impl Deref for $kind {
            type Target = Path;

            fn deref(&self) -> &Path {
                &self.0
            }
        }

        impl AsRef<Path> for $kind {
            fn as_ref(&self) -> &Path {
                &self.0
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&text(self))
            }
        }
    )*};
}
paths!(InputPath, OutputFile, OutputFolder);

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: TryFrom<OsString, Error = String>>(value: &str) -> String {
        T::try_from(OsString::from(value)).err().unwrap()
    }

    #[test]
    fn a_tilde_is_the_home_folder_in_every_flag() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(*OutputFolder::try_from(OsString::from("~/x")).unwrap(), *home.join("x"));
        assert_eq!(*OutputFile::try_from(OsString::from("~/x")).unwrap(), *home.join("x"));
        assert_eq!(*InputPath::try_from(OsString::from("~")).unwrap(), *home);
        assert_eq!(
            DataSource::try_from(OsString::from("~/x:test")).unwrap().deref(),
            text(&home.join("x:test"))
        );
        assert_eq!(DataSource::try_from(OsString::from("fashion-mnist")).unwrap().deref(), "fashion-mnist");
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for error in [
            wrong::<InputPath>(""),
            wrong::<OutputFile>(""),
            wrong::<OutputFolder>(""),
            wrong::<DataSource>(""),
        ] {
            assert_eq!(error, "expected a path, found an empty string");
        }
        for folder in ["a/", "..", "/", "a/.."] {
            assert!(wrong::<OutputFile>(folder).contains("the name of a folder"), "{folder}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_utf_8_are_a_path_but_not_data() {
        use std::os::unix::ffi::OsStringExt;
        let strange = || OsString::from_vec(b"a\xff".to_vec());
        let out = OutputFile::try_from(strange()).unwrap();
        assert_eq!(out.as_os_str(), strange());
        assert_eq!(serde_json::json!(out), "a\u{fffd}");
        assert!(DataSource::try_from(strange()).unwrap_err().starts_with("expected UTF-8"));
    }
}
