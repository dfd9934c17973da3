//! Loads tensors from safetensors files. Names, shapes and element types are all compared first, and nothing is copied
//! unless everything fits, so that a model is never half overwritten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use tch::{Kind, Tensor, no_grad_guard};
use tensor_file::{Dtype, TensorFile, TensorInfo};

use crate::{Mismatch, Named, TensorIoError, from_bytes};

/// The contents of a file's header; no tensor is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Name, element type (`F32`) and shape of each tensor, by name.
    pub tensors: BTreeMap<String, (String, Vec<i64>)>,
    /// The metadata strings of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Reads all tensors of a file, on the CPU, sorted by name.
///
/// # Errors
/// [`TensorIoError::Read`] for a file whose header and content disagree, and [`TensorIoError::Kind`] for
/// element types that are not supported.
pub fn read(path: &Path) -> Result<Vec<Named>, TensorIoError> {
    tensors(TensorFile::open(path)?)
}

/// Reads the header of a file, whatever the size of its tensors.
///
/// # Errors
/// [`TensorIoError::Read`] as for [`read`].
pub fn read_header(path: &Path) -> Result<Header, TensorIoError> {
    Ok(described(tensor_file::read_header(path)?))
}

/// [`read_header`] for a file in memory. `path` is for the error message.
///
/// # Errors
/// [`TensorIoError::Read`] as for [`read`].
pub fn parse_header(path: &Path, bytes: &[u8]) -> Result<Header, TensorIoError> {
    Ok(described(tensor_file::parse(path, bytes)?))
}

fn described(header: tensor_file::Header) -> Header {
    let entry = |(name, info): (String, TensorInfo)| (name, (info.dtype.to_string(), shape_of(&info)));
    Header { tensors: header.tensors.into_iter().map(entry).collect(), metadata: header.metadata }
}

/// Copies the tensors of a file into `targets`, on any device.
///
/// # Errors
/// Those of [`read`], and [`TensorIoError::Mismatch`] with every missing or unexpected name and every difference in
/// shape or element type, which the header is enough to find. After an error `targets` are unchanged.
pub fn load_into(path: &Path, targets: &[Named]) -> Result<(), TensorIoError> {
    copy_into(path, &read_for(path, targets)?, targets)
}

/// Reads a file that must hold exactly the tensors of `targets`, which are not changed.
///
/// # Errors
/// The same as for [`load_into`].
pub fn read_for(path: &Path, targets: &[Named]) -> Result<Vec<Named>, TensorIoError> {
    let file = TensorFile::open(path)?;
    let sources = file.header().tensors.iter();
    let found = sources.map(|(name, info)| Ok((name.as_str(), (shape_of(info), kind_of(info.dtype)?))));
    compare(path, &found.collect::<Result<_, TensorIoError>>()?, wanted(targets))?;
    tensors(file)
}

/// Checks that a file holds exactly f32 tensors of these names and shapes. This only needs the header and no existing
/// tensors, so a file can be refused before anything is allocated for it.
///
/// # Errors
/// The same as for [`load_into`].
pub fn check_header(path: &Path, parameters: &[(String, Vec<usize>)]) -> Result<(), TensorIoError> {
    let file = TensorFile::open(path)?;
    let sources = file.header().tensors.iter();
    let found = sources.map(|(name, info)| Ok((name.as_str(), (shape_of(info), kind_of(info.dtype)?))));
    compare(path, &found.collect::<Result<_, TensorIoError>>()?, f32s(parameters))
}

/// Checks that tensors in memory are exactly f32 tensors of these names and shapes. `path` is for the error message.
///
/// # Errors
/// [`TensorIoError::Mismatch`] as for [`load_into`].
pub fn check_tensors(
    path: &Path,
    sources: &[Named],
    parameters: &[(String, Vec<usize>)],
) -> Result<(), TensorIoError> {
    let found = sources.iter().map(|(name, source)| (name.as_str(), (source.size(), source.kind())));
    compare(path, &found.collect(), f32s(parameters))
}

/// Reads a file that must hold exactly tensors of these names and shapes, in f16, bf16 or f32. Returns them as f32 on the
/// CPU, in the order of `parameters`.
///
/// # Errors
/// The same as for [`load_into`].
pub fn read_floats(path: &Path, parameters: &[(String, Vec<usize>)]) -> Result<Vec<Named>, TensorIoError> {
    let mut file = TensorFile::open(path)?;
    compare_floats(path, file.header(), parameters)?;
    let entries = file.header().tensors.clone();
    let mut tensors = Vec::with_capacity(parameters.len());
    for (name, _) in parameters {
        let info = &entries[name];
        let tensor = from_bytes(&file.read(info)?, &shape_of(info), kind_of(info.dtype)?)?;
        tensors.push((name.clone(), tensor.f_to_kind(Kind::Float)?));
    }
    Ok(tensors)
}

/// [`read_floats`] for a file in memory. `path` is for the error message.
///
/// # Errors
/// The same as for [`load_into`].
pub fn parse_for(
    path: &Path,
    bytes: &[u8],
    parameters: &[(String, Vec<usize>)],
) -> Result<Vec<Named>, TensorIoError> {
    let header = tensor_file::parse(path, bytes)?;
    compare_floats(path, &header, parameters)?;
    let tensor = |name: &String| -> Result<Named, TensorIoError> {
        let info = &header.tensors[name];
        let own = &bytes[info.range.start as usize..info.range.end as usize];
        let tensor = from_bytes(own, &shape_of(info), kind_of(info.dtype)?)?;
        Ok((name.clone(), tensor.f_to_kind(Kind::Float)?))
    };
    parameters.iter().map(|(name, _)| tensor(name)).collect()
}

/// Copies `sources` into the `targets` with the same names. `path` is for the error message.
///
/// # Errors
/// [`TensorIoError::Mismatch`] as for [`load_into`]; `targets` are then unchanged.
pub fn copy_into(path: &Path, sources: &[Named], targets: &[Named]) -> Result<(), TensorIoError> {
    let found = sources.iter().map(|(name, source)| (name.as_str(), (source.size(), source.kind())));
    compare(path, &found.collect(), wanted(targets))?;

    let by_name: HashMap<&str, &Tensor> =
        sources.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let _no_grad = no_grad_guard();
    for (name, target) in targets {
        target.shallow_clone().f_copy_(by_name[name.as_str()])?;
    }
    Ok(())
}

/// Shape and element type of each tensor of a file.
type Found<'a> = BTreeMap<&'a str, (Vec<i64>, Kind)>;

/// Name, shape and element type of each wanted tensor, in order.
type Wanted<'a> = Vec<(&'a str, Vec<i64>, Kind)>;

fn wanted(targets: &[Named]) -> Wanted<'_> {
    targets.iter().map(|(name, tensor)| (name.as_str(), tensor.size(), tensor.kind())).collect()
}

fn f32s(parameters: &[(String, Vec<usize>)]) -> Wanted<'_> {
    let shape = |shape: &Vec<usize>| shape.iter().map(|&n| n as i64).collect();
    parameters.iter().map(|(name, of)| (name.as_str(), shape(of), Kind::Float)).collect()
}

/// Refuses anything but exactly these tensors in f16, bf16 or f32.
fn compare_floats(
    path: &Path,
    header: &tensor_file::Header,
    parameters: &[(String, Vec<usize>)],
) -> Result<(), TensorIoError> {
    let mut found = Found::new();
    let mut wanted = Wanted::new();
    for (name, info) in &header.tensors {
        found.insert(name, (shape_of(info), kind_of(info.dtype)?));
    }
    for (name, shape) in parameters {
        // Any of the three is fine; any other is reported as not being f32.
        let stored = found.get(name.as_str()).map(|(_, kind)| *kind);
        let kind = stored.filter(|kind| matches!(kind, Kind::Half | Kind::BFloat16)).unwrap_or(Kind::Float);
        wanted.push((name, shape.iter().map(|&n| n as i64).collect(), kind));
    }
    compare(path, &found, wanted)
}

/// Refuses anything but exactly the wanted tensors, and lists every difference.
fn compare(path: &Path, found: &Found<'_>, wanted: Wanted<'_>) -> Result<(), TensorIoError> {
    let names: HashSet<&str> = wanted.iter().map(|(name, ..)| *name).collect();
    let unexpected = found.keys().filter(|name| !names.contains(*name));
    let mismatches: Vec<Mismatch> = wanted
        .into_iter()
        .filter_map(|(name, shape, kind)| difference(name, (shape, kind), found.get(name)))
        .chain(unexpected.map(|name| Mismatch::Unexpected { name: (*name).to_owned() }))
        .collect();
    if mismatches.is_empty() {
        Ok(())
    } else {
        Err(TensorIoError::Mismatch { path: path.to_owned(), mismatches })
    }
}

fn difference(name: &str, wanted: (Vec<i64>, Kind), found: Option<&(Vec<i64>, Kind)>) -> Option<Mismatch> {
    let (name, (expected, expected_kind)) = (name.to_owned(), wanted);
    let Some((shape, kind)) = found else { return Some(Mismatch::Missing { name }) };
    if *shape != expected {
        return Some(Mismatch::Shape { name, expected, found: shape.clone() });
    }
    (*kind != expected_kind).then(|| Mismatch::Dtype {
        name,
        expected: format!("{expected_kind:?}"),
        found: format!("{kind:?}"),
    })
}

/// The tensors of an open file by name, one buffer at a time.
fn tensors(mut file: TensorFile) -> Result<Vec<Named>, TensorIoError> {
    let mut tensors = Vec::new();
    for (name, info) in file.header().tensors.clone() {
        let kind = kind_of(info.dtype)?;
        let tensor = from_bytes(&file.read(&info)?, &shape_of(&info), kind)?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

fn shape_of(info: &TensorInfo) -> Vec<i64> {
    info.shape.iter().map(|&n| n as i64).collect()
}

fn kind_of(dtype: Dtype) -> Result<Kind, TensorIoError> {
    Ok(match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::U8 => Kind::Uint8,
        Dtype::I64 => Kind::Int64,
        other => return Err(TensorIoError::Kind { kind: other.to_string() }),
    })
}
