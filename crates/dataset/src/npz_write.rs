//! Writes `.npz` archives, which numpy's `load` reads.

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use zip::write::FileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::array::AnyArray;
use crate::error::DatasetError;
use crate::npy::encode_bytes;

/// Writes arrays as `.npz`, atomically: uncompressed, in the given order and with fixed dates, so that the same arrays
/// give the same bytes.
///
/// # Errors
/// [`DatasetError::Io`], including for a duplicate name.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("s.npz");
/// let betas = ndarray::array![0.1, 0.2];
/// dataset::write_npz(&path, &[("betas", betas.clone().into())])?;
/// let mut npz = dataset::Npz::open(&path)?;
/// assert_eq!(npz.array("betas")?.into_f64(), betas.into_dyn());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_npz(path: &Path, arrays: &[(&str, AnyArray)]) -> Result<(), DatasetError> {
    write_npz_with(path, None, arrays)
}

/// Images that are read while they are written.
pub(crate) struct Images<'a> {
    /// `[n, h, w, c]`.
    pub(crate) shape: [usize; 4],
    /// The bytes; as many as the shape requires.
    pub(crate) from: &'a mut dyn Read,
}

/// Like [`write_npz`], with an array `images` before the others.
pub(crate) fn write_npz_with(
    path: &Path,
    images: Option<Images<'_>>,
    arrays: &[(&str, AnyArray)],
) -> Result<(), DatasetError> {
    files::write_output_with(path, |writer| encode(writer, images, arrays))
        .map_err(|e| DatasetError::io(path, "write", e))
}

/// Writes arrays to a stream; see [`write_npz`].
///
/// # Errors
/// Any error of the stream, and a duplicate name.
pub fn encode_npz(writer: impl Write + Seek, arrays: &[(&str, AnyArray)]) -> io::Result<()> {
    encode(writer, None, arrays)
}

fn encode(
    writer: impl Write + Seek,
    images: Option<Images<'_>>,
    arrays: &[(&str, AnyArray)],
) -> io::Result<()> {
    let mut zip = ZipWriter::new(writer);
    let mut names: Vec<&str> = Vec::new();
    if let Some(Images { shape, from }) = images {
        start(&mut zip, "images", &mut names)?;
        encode_bytes(&mut zip, &shape, from)?;
    }
    for (name, array) in arrays {
        start(&mut zip, name, &mut names)?;
        array.encode_npy(&mut zip)?;
    }
    zip.finish()?.flush()
}

/// Starts the entry of an array.
fn start<'a, W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    name: &'a str,
    names: &mut Vec<&'a str>,
) -> io::Result<()> {
    if names.contains(&name) {
        return Err(io::Error::other(format!("duplicate array name {name:?}")));
    }
    names.push(name);
    let options = FileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(true);
    Ok(zip.start_file(format!("{name}.npy"), options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::Npz;
    use ndarray::array;

    #[test]
    fn written_archives_read_back_and_are_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.npz"), folder.path().join("b.npz"));
        let arrays = [
            ("z", array![[1_u8, 2]].into()),
            ("a", array![-1_i64].into()),
            ("f", array![0.5_f32].into()),
            ("d", ndarray::arr0(0.25).into()),
        ];
        write_npz(&a, &arrays).unwrap();
        write_npz(&b, &arrays).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        let mut npz = Npz::open(&a).unwrap();
        assert!(npz.names().eq(["a", "d", "f", "z"]));
        for (name, want) in arrays {
            assert_eq!(npz.array(name).unwrap(), want);
        }
        let error = npz.array("q").unwrap_err().to_string();
        assert!(error.contains(r#"an array named "q", found ["a", "d", "f", "z"]"#), "{error}");
        assert!(write_npz(&a, &[("x", array![1_u8].into()), ("x", array![1_u8].into())]).is_err());
    }
}
