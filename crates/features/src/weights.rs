//! A weights file in memory: hashed, with its header checked and its metadata by key.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tensor_file::Header;
use tensor_io::{Named, TensorIoError};

use crate::error::FeaturesError;

/// Most bytes of a weights file. InceptionV3 takes 96 MB.
const MAX_BYTES: u64 = 512 << 20;

/// Most characters of a network's name.
const MAX_NAME: usize = 64;

/// SHA-256 of bytes, in hex, as printed by `sha256sum`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A weights file whose header has been fully checked.
pub(crate) struct Weights {
    path: PathBuf,
    bytes: Cow<'static, [u8]>,
    header: Header,
    sha256: String,
}

impl Weights {
    /// Reads a file of at most [`MAX_BYTES`].
    pub(crate) fn open(path: &Path) -> Result<Self, FeaturesError> {
        let failed = |source| FeaturesError::File { path: path.to_owned(), source };
        let file = files::open_regular(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_BYTES {
            let text = format!("expected weights of at most {MAX_BYTES} bytes, found more");
            return Err(failed(std::io::Error::other(text)));
        }
        Self::new(path, bytes.into())
    }

    /// Wraps a file embedded in the program; `name` is for error messages.
    pub(crate) fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, FeaturesError> {
        Self::new(Path::new(name), bytes.into())
    }

    fn new(path: &Path, bytes: Cow<'static, [u8]>) -> Result<Self, FeaturesError> {
        let header = tensor_file::parse(path, &bytes).map_err(TensorIoError::from)?;
        let sha256 = sha256(&bytes);
        Ok(Self { path: path.to_owned(), bytes, header, sha256 })
    }

    /// SHA-256 of the file in hex.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// A string of the metadata.
    pub(crate) fn text(&self, key: &'static str) -> Result<&str, FeaturesError> {
        match self.header.metadata.get(key) {
            Some(text) => Ok(text),
            None => Err(self.wrong(key, "the weights file of a feature network", "no such key")),
        }
    }

    /// The name of the network: 1 to [`MAX_NAME`] printable characters without spaces around them, since titles contain
    /// it.
    pub(crate) fn name(&self) -> Result<&str, FeaturesError> {
        let name = self.text("name")?;
        let fits = (1..=MAX_NAME).contains(&name.chars().count()) && name.trim() == name;
        if fits && files::printable_line(name) == name {
            return Ok(name);
        }
        Err(self.wrong(
            "name",
            &format!("1 to {MAX_NAME} printable characters, without spaces around them"),
            name,
        ))
    }

    /// An integer of the metadata, within `least..=most`.
    pub(crate) fn number(
        &self,
        key: &'static str,
        (least, most): (usize, usize),
    ) -> Result<usize, FeaturesError> {
        let text = self.text(key)?;
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.wrong(key, &format!("a whole number from {least} to {most}"), text))
    }

    /// An error about one key of the metadata.
    pub(crate) fn wrong(&self, key: &'static str, expected: &str, found: &str) -> FeaturesError {
        // A file may contain anything.
        let found: String = found.escape_debug().take(80).collect();
        FeaturesError::Metadata { path: self.path.clone(), key, expected: expected.to_owned(), found }
    }

    /// The tensors, which must have exactly these names and shapes, in f16, bf16 or f32. Returns them as f32 on the CPU, in
    /// the order of `wanted`.
    pub(crate) fn tensors(&self, wanted: &[(String, Vec<usize>)]) -> Result<Vec<Named>, FeaturesError> {
        let tensors = tensor_io::parse_for(&self.path, &self.bytes, wanted)?;
        for (name, tensor) in &tensors {
            if !bool::try_from(&tensor.f_isfinite()?.f_all()?)? {
                return Err(FeaturesError::NonFinite { path: self.path.clone(), tensor: name.clone() });
            }
        }
        Ok(tensors)
    }
}
