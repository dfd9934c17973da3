//! Saves named tensors to a safetensors file, which Python reads with `safetensors.torch.load_file`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, View};
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::{Named, TensorIoError};

/// Bytes before the header: its length.
const PREFIX: usize = 8;

/// Writes the tensors to `path`, atomically.
///
/// The same tensors give the same bytes, whatever their device and memory layout, so that two runs can be compared with
/// `sha256sum`. For that reason the only string in the header is `format = "pt"`, which Python loaders require: the
/// format's library writes several strings in the random order of a hash map.
///
/// # Errors
/// [`TensorIoError::File`] when the file cannot be written (an old one is kept), [`TensorIoError::Kind`] for element
/// types that are not supported.
pub fn save(path: &Path, tensors: &[Named]) -> Result<(), TensorIoError> {
    let bytes = serialize(tensors)?;
    files::write_atomic(path, &bytes).map_err(|source| TensorIoError::File { path: path.to_owned(), source })
}

/// The bytes of the file that [`save`] writes.
///
/// # Errors
/// [`TensorIoError::Kind`] for element types that are not supported.
pub fn serialize(tensors: &[Named]) -> Result<Vec<u8>, TensorIoError> {
    let views: Vec<(&str, Bytes)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), Bytes::of(tensor)?)))
        .collect::<Result<_, TensorIoError>>()?;
    let header = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(header))
        .map_err(|e| TensorIoError::Serialize { reason: e.to_string() })
}

/// [`serialize`] with additional metadata strings in the header; `format` is added.
///
/// # Errors
/// The same as for [`serialize`].
pub fn serialize_with(
    tensors: &[Named],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, TensorIoError> {
    let bytes = serialize(tensors)?;
    let refuse = |reason: String| TensorIoError::Serialize { reason };
    // The header is the same except for its strings, and tensor offsets count from its end.
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length)) as usize;
    let (header, numbers) = bytes[PREFIX..].split_at(length);
    let mut header: serde_json::Map<String, Value> =
        serde_json::from_slice(header).map_err(|e| refuse(e.to_string()))?;
    let mut strings = metadata.clone();
    strings.insert("format".to_owned(), "pt".to_owned());
    header.insert("__metadata__".to_owned(), serde_json::json!(strings));
    let mut text = Value::from(header).to_string();
    // Tensor data must begin at a multiple of 8 bytes.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    Ok([&(text.len() as u64).to_le_bytes(), text.as_bytes(), numbers].concat())
}

/// A tensor's data in the form of the file.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    fn of(tensor: &Tensor) -> Result<Self, TensorIoError> {
        let kind = tensor.f_kind()?;
        let dtype = dtype_of(kind)?;
        let flat = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        let count = flat.numel();
        let mut data = vec![0; count * kind.elt_size_in_bytes()];
        flat.f_copy_data_u8(&mut data, count)?;
        Ok(Self { dtype, shape: tensor.size().iter().map(|&n| n as usize).collect(), data })
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

fn dtype_of(kind: Kind) -> Result<Dtype, TensorIoError> {
    Ok(match kind {
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Uint8 => Dtype::U8,
        Kind::Int64 => Dtype::I64,
        other => return Err(TensorIoError::Kind { kind: format!("{other:?}") }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check_header, parse_for, parse_header, read, read_floats, read_header};
    use tch::Device;

    fn tensors() -> Vec<Named> {
        let numbers = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]);
        vec![("b".to_owned(), numbers.to_kind(Kind::Half)), ("a".to_owned(), numbers * 0.5)]
    }

    fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn strings_come_back_and_bytes_are_always_the_same() {
        let metadata =
            strings(&[("name", "a \"quoted\" name\n"), ("kind", "test"), ("zero", ""), ("n", "60000")]);
        let bytes = serialize_with(&tensors(), &metadata).unwrap();
        for _ in 0..20 {
            assert_eq!(serialize_with(&tensors(), &metadata).unwrap(), bytes);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let mut want = metadata;
        want.insert("format".to_owned(), "pt".to_owned());
        assert_eq!(read_header(&path).unwrap().metadata, want);
        let found = read(&path).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((&found[0].1, &found[1].1), (&tensors()[1].1, &tensors()[0].1));
        // The format's library accepts it too.
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 2);
    }

    #[test]
    fn without_strings_it_equals_the_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, with] = ["plain", "with"].map(|name| folder.path().join(name));
        std::fs::write(&plain, serialize(&tensors()).unwrap()).unwrap();
        std::fs::write(&with, serialize_with(&tensors(), &BTreeMap::new()).unwrap()).unwrap();
        assert_eq!(read_header(&plain).unwrap(), read_header(&with).unwrap());
    }

    #[test]
    fn a_file_in_memory_is_compared_before_it_is_taken() {
        let path = Path::new("memory");
        let bytes = serialize(&tensors()).unwrap();
        let wanted = |rows: usize| vec![("b".to_owned(), vec![rows, 3]), ("a".to_owned(), vec![2, 3])];
        let taken = parse_for(path, &bytes, &wanted(2)).unwrap();
        // In the requested order, and as f32 whatever the type in the file.
        assert_eq!(taken.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert!(taken.iter().all(|(_, tensor)| tensor.kind() == Kind::Float));
        assert_eq!(taken[1].1, tensors()[1].1);
        assert_eq!(taken[0].1, tensors()[0].1.to_kind(Kind::Float));
        let told = |result: Result<Vec<Named>, TensorIoError>| result.err().unwrap().to_string();
        assert!(told(parse_for(path, &bytes, &wanted(3))).contains("b has shape [2, 3], expected [3, 3]"));
        assert!(told(parse_for(path, &bytes, &wanted(2)[..1])).contains("a is not expected"));
        let whole = vec![("a".to_owned(), Tensor::zeros([2, 3], (Kind::Int64, Device::Cpu)))];
        let bytes = serialize(&whole).unwrap();
        assert!(told(parse_for(path, &bytes, &wanted(2)[1..])).contains("a is Int64, expected Float"));
        assert!(parse_for(path, &bytes[..bytes.len() - 1], &wanted(2)[1..]).is_err());
    }

    #[test]
    fn a_file_on_disk_is_compared_and_widened_the_same_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let numbers = Tensor::from_slice(&[0.1_f32, -3.0, 1e-9, 65504.0, 2.0, 7.5]).view([2, 3]);
        let wanted = |rows: usize| vec![("b".to_owned(), vec![rows, 3]), ("a".to_owned(), vec![2, 3])];
        for kind in [Kind::Half, Kind::BFloat16, Kind::Float] {
            let stored = numbers.to_kind(kind);
            let tensors =
                vec![("a".to_owned(), stored.shallow_clone()), ("b".to_owned(), numbers.shallow_clone())];
            let bytes = serialize(&tensors).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(check_header(&path, &wanted(2)).is_ok(), kind == Kind::Float);
            let found = read_floats(&path, &wanted(2)).unwrap();
            assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
            assert_eq!((&found[0].1, &found[1].1), (&numbers, &stored.to_kind(Kind::Float)));
            assert_eq!(found, parse_for(&path, &bytes, &wanted(2)).unwrap());
            assert_eq!(read_header(&path).unwrap(), parse_header(&path, &bytes).unwrap());
            let told = read_floats(&path, &wanted(3)).err().unwrap().to_string();
            assert!(told.contains("b has shape [2, 3], expected [3, 3]"), "{told}");
        }
        let whole = vec![("a".to_owned(), Tensor::zeros([2, 3], (Kind::Int64, Device::Cpu)))];
        std::fs::write(&path, serialize(&whole).unwrap()).unwrap();
        let told = read_floats(&path, &wanted(2)[1..]).err().unwrap().to_string();
        assert!(told.contains("a is Int64, expected Float"), "{told}");
        assert!(read_floats(&folder.path().join("none"), &wanted(2)).is_err());
    }
}
