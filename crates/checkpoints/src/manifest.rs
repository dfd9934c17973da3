//! The manifest lists a checkpoint's files with sizes and hashes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::CheckpointError;
use crate::layout::{FILES, MANIFEST};
use crate::read::{self, sha256};

/// Maximum number of files in a manifest.
pub const MAX_FILES: usize = 64;

/// Name, size and SHA-256 of each file of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files.
    pub files: Vec<ManifestEntry>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Name within the folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
}

impl ManifestEntry {
    /// The entry for a file with this content.
    #[must_use]
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }
}

impl Manifest {
    /// Parses and checks the text of a manifest. `path` is for the error message.
    ///
    /// # Errors
    /// [`CheckpointError::Altered`] for other JSON, for a name that is not a plain file name or is listed twice, for
    /// more than [`MAX_FILES`] entries, and if one of [`FILES`] is missing, since a file without an entry cannot be
    /// verified.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let manifest: Self = read::json(path, bytes)?;
        let refuse =
            |what, expected: &str, found: String| Err(CheckpointError::altered(path, what, expected, found));
        if manifest.files.len() > MAX_FILES {
            return refuse("files", &format!("at most {MAX_FILES}"), manifest.files.len().to_string());
        }
        for (index, ManifestEntry { name, .. }) in manifest.files.iter().enumerate() {
            if !is_plain(name) {
                let found = name.chars().take(80).collect::<String>();
                return refuse("files", "plain file names", format!("{found:?}"));
            }
            if manifest.files[..index].iter().any(|other| other.name == *name) {
                return refuse("files", "each name once", format!("{name} twice"));
            }
        }
        match FILES.iter().find(|name| manifest.entry(name).is_none()) {
            Some(name) => refuse("files", &format!("an entry for {name}"), "none".to_owned()),
            None => Ok(manifest),
        }
    }

    /// Reads the manifest of a checkpoint folder.
    ///
    /// # Errors
    /// As for [`Manifest::parse`], and [`CheckpointError::File`].
    pub fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MANIFEST);
        Self::parse(&path, &read::small_file(&path)?)
    }

    /// The entry of a file.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&ManifestEntry> {
        self.files.iter().find(|entry| entry.name == name)
    }
}

/// Whether a name is a plain file name within the folder, other than the manifest's own.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=255).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.') && name != MANIFEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Manifest {
        Manifest { files: FILES.iter().map(|name| ManifestEntry::of(name, name.as_bytes())).collect() }
    }

    fn parsed(manifest: &Manifest) -> Result<Manifest, String> {
        Manifest::parse(Path::new("manifest.json"), &serde_json::to_vec(manifest).unwrap())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_sound_manifest_round_trips() {
        assert_eq!(parsed(&sound()), Ok(sound()));
        let mut more = sound();
        more.files.push(ManifestEntry::of("notes.txt", b""));
        assert_eq!(parsed(&more), Ok(more));
    }

    #[test]
    fn a_name_outside_the_folder_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "../a",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:a",
            ".hidden",
            "a\n",
            "a\0",
            "manifest.json",
        ] {
            let mut manifest = sound();
            manifest.files[1].name = name.to_owned();
            let message = parsed(&manifest).unwrap_err();
            assert!(message.contains("expected plain file names") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn each_file_must_be_listed_once() {
        for index in 0..FILES.len() {
            let mut without = sound();
            let entry = without.files.remove(index);
            let message = parsed(&without).unwrap_err();
            assert!(message.contains(&format!("expected an entry for {}", entry.name)), "{message}");
            let mut twice = sound();
            twice.files.push(entry.clone());
            assert!(parsed(&twice).unwrap_err().contains(&format!("{} twice", entry.name)));
        }
    }

    #[test]
    fn counts_and_forms_are_limited() {
        let mut many = sound();
        many.files.extend((0..MAX_FILES).map(|n| ManifestEntry::of(&n.to_string(), b"")));
        assert!(parsed(&many).unwrap_err().contains("at most 64, found 69"));
        for text in
            ["", "{", "[]", "{}", r#"{"files": 3}"#, r#"{"files": [{"name": "a"}]}"#, &"[".repeat(1 << 18)]
        {
            let error = Manifest::parse(Path::new("manifest.json"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("manifest.json: content: expected") && error.len() < 400, "{error}");
        }
    }
}
