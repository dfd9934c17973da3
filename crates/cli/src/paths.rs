//! Paths on the command line: inputs, and files and folders to write. The type of a flag tells which it is, so that
//! [`crate::commands::flags`] can list all outputs.

use std::ffi::{OsStr, OsString};
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParserFactory};
use clap::{Arg, Command};
use serde::{Serialize, Serializer};

use crate::failure::bail_usage;
use crate::inputs;

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

/// A path as text, for JSON and messages: U+FFFD stands for what is not UTF-8 (`docs/json.md`). All paths in JSON go through
/// here, also those of the types of this module: `json!` panics if a bare path is not UTF-8.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Refuses what is no file where `flag` expects one that `command` wrote: a wrong flag, not a damaged file.
pub(crate) fn check_file(flag: &str, path: &Path, command: &str) -> anyhow::Result<()> {
    let found = match path.metadata() {
        Ok(place) if place.is_dir() => "a folder",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "no such file",
        _ => return Ok(()),
    };
    bail_usage!("{flag} {}: expected a file of `{command}`, found {found}", path.display())
}

/// A path from the user: not empty, with a leading `~` expanded to the home folder.
fn path(value: OsString) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("expected a path, found an empty string".to_owned());
    }
    let path = PathBuf::from(value);
    files::expand_home(&path).map(Into::into).map_err(|error| error.to_string())
}

impl From<PathBuf> for InputPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl TryFrom<OsString> for InputPath {
    type Error = String;

    fn try_from(value: OsString) -> Result<Self, String> {
        path(value).map(Self)
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
        text.map(Self).map_err(|_| advice.to_owned())
    }
}

impl Deref for DataSource {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A type of this module as the value of a flag.
pub(crate) trait FlagPath: TryFrom<OsString, Error = String> + Clone + Send + Sync + 'static {
    /// Called with the flag that named it.
    fn named_by(&self, _flag: &str) {}
}

impl FlagPath for OutputFile {}
impl FlagPath for OutputFolder {}

impl FlagPath for InputPath {
    fn named_by(&self, flag: &str) {
        inputs::remember_file(flag, self);
    }
}

impl FlagPath for DataSource {
    fn named_by(&self, flag: &str) {
        inputs::remember_data(flag, self);
    }
}

/// Parses a flag's value as one of the types of this module.
#[derive(Debug, Clone)]
pub(crate) struct Parser<T>(PhantomData<T>);

impl<T: FlagPath> TypedValueParser for Parser<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let parser = OsStringValueParser::new().try_map(<T as TryFrom<OsString>>::try_from);
        let path = parser.parse_ref(command, arg, value)?;
        path.named_by(&arg.map(flag_name).unwrap_or_default());
        Ok(path)
    }
}

/// `--data`; for a value without a flag, its name in the usage line.
fn flag_name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => name.to_string(),
        (None, _) => arg.get_id().to_string(),
    }
}

macro_rules! flags {
    ($($kind:ident),*) => {$(
        impl ValueParserFactory for $kind {
            type Parser = Parser<Self>;

            fn value_parser() -> Self::Parser {
                Parser(PhantomData)
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

    #[test]
    fn a_file_is_no_folder_and_exists() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.safetensors");
        let refusal = |path: &Path| check_file("--adapter", path, "ddpm export").unwrap_err().to_string();
        assert!(refusal(folder.path()).ends_with("expected a file of `ddpm export`, found a folder"));
        assert!(refusal(&file).ends_with("found no such file"));
        std::fs::write(&file, "x").unwrap();
        check_file("--adapter", &file, "ddpm export").unwrap();
    }

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
