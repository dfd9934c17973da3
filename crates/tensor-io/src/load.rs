//! Safetensors files to tensors. Names, shapes and element types are compared first, all of them; only
//! when all fit is anything copied, so that a model is never half overwritten.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor, no_grad_guard};

use crate::{Mismatch, Named, TensorIoError, from_bytes};

/// Larger files are refused before anything is allocated: 64 GiB, far above any model this toolkit runs.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// What a file's header says, with no tensor read into libtorch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Name, element type (`F32`) and shape of each tensor, by name.
    pub tensors: BTreeMap<String, (String, Vec<i64>)>,
    /// The file's own strings.
    pub metadata: BTreeMap<String, String>,
}

/// Reads all tensors of a file, on the CPU, sorted by name.
///
/// # Errors
/// [`TensorIoError::File`], [`TensorIoError::Format`] for a file whose header and content disagree, and
/// [`TensorIoError::Kind`] for element types that are not supported.
pub fn read(path: &Path) -> Result<Vec<Named>, TensorIoError> {
    let bytes = read_bytes(path)?;
    let file = parse(path, &bytes)?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        tensors.push((
            name.to_owned(),
            from_bytes(view.data(), &shape_of(view.shape()), kind_of(view.dtype())?)?,
        ));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// Reads what a file holds without making tensors of it.
///
/// # Errors
/// As [`read`].
pub fn read_header(path: &Path) -> Result<Header, TensorIoError> {
    let bytes = read_bytes(path)?;
    let file = parse(path, &bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| TensorIoError::Format { path: path.to_owned(), reason: e.to_string() })?;
    Ok(Header {
        tensors: file
            .iter()
            .map(|(name, view)| (name.to_owned(), (format!("{:?}", view.dtype()), shape_of(view.shape()))))
            .collect(),
        metadata: metadata.metadata().clone().unwrap_or_default().into_iter().collect(),
    })
}

/// Copies the tensors of a file into `targets`, on whatever device those are.
///
/// # Errors
/// Those of [`read`], and [`TensorIoError::Mismatch`] with every missing or unexpected name, other shape
/// or other element type. After an error `targets` are as they were.
pub fn load_into(path: &Path, targets: &[Named]) -> Result<(), TensorIoError> {
    copy_into(path, &read(path)?, targets)
}

/// Copies `sources` into the `targets` of the same names. `path` is for the error message.
///
/// # Errors
/// [`TensorIoError::Mismatch`] as for [`load_into`]; `targets` are then as they were.
pub fn copy_into(path: &Path, sources: &[Named], targets: &[Named]) -> Result<(), TensorIoError> {
    let by_name: HashMap<&str, &Tensor> =
        sources.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let wanted: HashMap<&str, &Tensor> =
        targets.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();

    let unexpected = sources.iter().filter(|(name, _)| !wanted.contains_key(name.as_str()));
    let mismatches: Vec<Mismatch> = targets
        .iter()
        .filter_map(|(name, target)| difference(name, target, by_name.get(name.as_str()).copied()))
        .chain(unexpected.map(|(name, _)| Mismatch::Unexpected { name: name.clone() }))
        .collect();
    if !mismatches.is_empty() {
        return Err(TensorIoError::Mismatch { path: path.to_owned(), mismatches });
    }

    let _no_grad = no_grad_guard();
    for (name, target) in targets {
        target.shallow_clone().f_copy_(by_name[name.as_str()])?;
    }
    Ok(())
}

fn difference(name: &str, target: &Tensor, source: Option<&Tensor>) -> Option<Mismatch> {
    let name = name.to_owned();
    let Some(source) = source else { return Some(Mismatch::Missing { name }) };
    if source.size() != target.size() {
        return Some(Mismatch::Shape { name, expected: target.size(), found: source.size() });
    }
    (source.kind() != target.kind()).then(|| Mismatch::Dtype {
        name,
        expected: format!("{:?}", target.kind()),
        found: format!("{:?}", source.kind()),
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, TensorIoError> {
    let file_error = |source| TensorIoError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(file_error)?;
    let length = file.metadata().map_err(file_error)?.len();
    if length > MAX_FILE_BYTES {
        let reason = format!("{length} bytes, more than the {MAX_FILE_BYTES} that are read");
        return Err(TensorIoError::Format { path: path.to_owned(), reason });
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(file_error)?;
    Ok(bytes)
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, TensorIoError> {
    // The parser checks the header's size, overlaps, holes and that every shape fills its bytes.
    SafeTensors::deserialize(bytes)
        .map_err(|e| TensorIoError::Format { path: path.to_owned(), reason: e.to_string() })
}

fn shape_of(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&n| n as i64).collect()
}

fn kind_of(dtype: Dtype) -> Result<Kind, TensorIoError> {
    Ok(match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::U8 => Kind::Uint8,
        Dtype::I64 => Kind::Int64,
        other => return Err(TensorIoError::Kind { kind: format!("{other:?}") }),
    })
}
