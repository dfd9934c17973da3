//! The header, checked against itself and against the length of the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::json::{RawHeader, RawTensor};
use crate::limits::{MAX_FILE_BYTES, MAX_HEADER_BYTES};
use crate::{Dtype, TensorFileError};

/// Bytes before the header, which hold its length.
pub(crate) const PREFIX: u64 = 8;

/// The tensors of a file, without their data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The strings under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Shape, row-major. The size in bytes fits an `isize`, and so does every dimension.
    pub shape: Vec<usize>,
    /// Range of its bytes, counted from the start of the file.
    pub range: Range<u64>,
}

/// Parses and checks a whole file in memory. `path` is for the error message.
///
/// # Errors
/// [`TensorFileError::Header`] and [`TensorFileError::Tensor`] for an invalid file.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Header, TensorFileError> {
    let file_bytes = bytes.len() as u64;
    let prefix = bytes.first_chunk().ok_or_else(|| too_short(path, file_bytes))?;
    let end = header_end(path, *prefix, file_bytes)?;
    header(path, &bytes[PREFIX as usize..end as usize], file_bytes)
}

pub(crate) fn too_short(path: &Path, file_bytes: u64) -> TensorFileError {
    let expected = "at least 8 bytes, the header size of a safetensors file";
    TensorFileError::header(path, "file size", expected, files::counted(file_bytes, "byte"))
}

/// Where the header ends in a file of this length.
pub(crate) fn header_end(path: &Path, prefix: [u8; 8], file_bytes: u64) -> Result<u64, TensorFileError> {
    if file_bytes > MAX_FILE_BYTES {
        let expected = format!("at most {MAX_FILE_BYTES} bytes");
        return Err(TensorFileError::header(path, "file size", expected, file_bytes));
    }
    let length = u64::from_le_bytes(prefix);
    let most = MAX_HEADER_BYTES.min(file_bytes.saturating_sub(PREFIX));
    if length > most {
        let expected = format!("a safetensors header of at most {most} bytes");
        return Err(TensorFileError::header(path, "header size", expected, format!("{length} bytes")));
    }
    Ok(PREFIX + length)
}

/// Parses and checks the header text of a file of this length.
pub(crate) fn header(path: &Path, text: &[u8], file_bytes: u64) -> Result<Header, TensorFileError> {
    let raw: RawHeader = serde_json::from_slice(text).map_err(|e| {
        // The message quotes the file, where a name could go on for megabytes.
        let found: String = e.to_string().escape_debug().take(200).collect();
        TensorFileError::header(path, "header", "the JSON of a safetensors file", found)
    })?;
    let data_start = PREFIX + text.len() as u64;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in raw.tensors {
        let info = check(path, &name, &tensor, data_start)?;
        tensors.insert(name, info);
    }
    cover(path, &tensors, data_start..file_bytes)?;
    Ok(Header { tensors, metadata: raw.metadata })
}

/// Checks one tensor on its own: its type is known, and its shape takes as many bytes as it claims.
fn check(path: &Path, name: &str, raw: &RawTensor, data_start: u64) -> Result<TensorInfo, TensorFileError> {
    let refuse = |what, expected: String, found: String| TensorFileError::Tensor {
        path: path.to_owned(),
        tensor: name.to_owned(),
        what,
        expected,
        found,
    };
    let dtype = Dtype::from_name(&raw.dtype).ok_or_else(|| {
        let found: String = raw.dtype.escape_debug().take(40).collect();
        refuse("dtype", "a whole-byte type such as F32".to_owned(), found)
    })?;
    let shape = &raw.shape.0;
    // Count a dimension of 0 as 1: libtorch still multiplies the others for its strides.
    let room = shape.iter().try_fold(dtype.bytes(), |bytes, &n| bytes.checked_mul(n.max(1)));
    let fits = |bytes: u64| isize::try_from(bytes).is_ok();
    if !room.is_some_and(fits) {
        let found = format!("{shape:?} of {dtype}");
        return Err(refuse("shape", format!("at most {} bytes", isize::MAX), found));
    }
    let bytes = shape.iter().product::<u64>() * dtype.bytes();
    let [start, end] = raw.data_offsets;
    if end.checked_sub(start) != Some(bytes) {
        let found = format!("{start} to {end}");
        return Err(refuse("data_offsets", format!("{bytes} bytes for {shape:?} of {dtype}"), found));
    }
    let past = |offset: u64| offset.checked_add(data_start);
    let (Some(start), Some(end)) = (past(start), past(end)) else {
        return Err(refuse("data_offsets", "offsets within the file".to_owned(), end.to_string()));
    };
    Ok(TensorInfo { dtype, shape: shape.iter().map(|&n| n as usize).collect(), range: start..end })
}

/// Checks all tensors together: each starts where the previous one ends, and the last ends with the file.
fn cover(
    path: &Path,
    tensors: &BTreeMap<String, TensorInfo>,
    data: Range<u64>,
) -> Result<(), TensorFileError> {
    let mut ranges: Vec<_> =
        tensors.iter().map(|(name, info)| (info.range.start, info.range.end, name)).collect();
    ranges.sort_unstable();
    let mut position = data.start;
    for (start, end, name) in ranges {
        if start != position {
            return Err(TensorFileError::Tensor {
                path: path.to_owned(),
                tensor: name.clone(),
                what: "data_offsets",
                expected: format!("a start of {}, where the previous tensor ends", position - data.start),
                found: (start - data.start).to_string(),
            });
        }
        position = end;
    }
    if position != data.end {
        let expected = format!("{position} bytes, as the header says");
        return Err(TensorFileError::header(path, "file size", expected, files::counted(data.end, "byte")));
    }
    Ok(())
}
