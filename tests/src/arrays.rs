//! Reads and writes arrays as other programs do: `.npy` and `.npz` without project code.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use anyhow::{Context, bail};
use ndarray::{Array, ArrayD, Dimension, IxDyn};
use npyz::{AutoSerialize, NpyFile, TypeChar, WriterBuilder};
use zip::write::FileOptions;
use zip::{ZipArchive, ZipWriter};

/// The values of a `.npy` file, as f64.
///
/// # Errors
/// When it is not a `.npy` file, or its type is not f32, f64, u8 or i64.
pub fn read_npy(bytes: &[u8]) -> anyhow::Result<ArrayD<f64>> {
    let npy = NpyFile::new(bytes)?;
    let shape: Vec<usize> = npy.shape().iter().map(|&n| n as usize).collect();
    let npyz::DType::Plain(element) = npy.dtype() else { bail!("unsupported record with several fields") };
    let values: Vec<f64> = match (element.type_char(), element.size_field()) {
        (TypeChar::Float, 8) => npy.into_vec::<f64>()?,
        (TypeChar::Float, 4) => npy.into_vec::<f32>()?.into_iter().map(f64::from).collect(),
        (TypeChar::Uint, 1) => npy.into_vec::<u8>()?.into_iter().map(f64::from).collect(),
        (TypeChar::Int, 8) => npy.into_vec::<i64>()?.into_iter().map(|n| n as f64).collect(),
        other => bail!("unsupported type {other:?}"),
    };
    Ok(ArrayD::from_shape_vec(IxDyn(&shape), values)?)
}

/// The arrays of a `.npz` archive by name.
///
/// # Errors
/// As [`read_npy`].
pub fn read_npz(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, ArrayD<f64>>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name().strip_suffix(".npy").context("an entry is not a .npy file")?.to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        arrays.insert(name, read_npy(&bytes)?);
    }
    Ok(arrays)
}

/// A `.npy` file in C order.
///
/// # Errors
/// When it cannot be written to memory.
pub fn npy<T: AutoSerialize + Copy, D: Dimension>(array: &Array<T, D>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shape: Vec<u64> = array.shape().iter().map(|&n| n as u64).collect();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(array.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

/// A `.npz` archive of such arrays.
///
/// # Errors
/// When it cannot be written to memory.
pub fn npz(arrays: &[(&str, Vec<u8>)]) -> anyhow::Result<Vec<u8>> {
    let files: Vec<_> = arrays.iter().map(|(name, bytes)| (format!("{name}.npy"), bytes.clone())).collect();
    zip(&files)
}

/// A zip archive of files.
///
/// # Errors
/// When it cannot be written to memory.
pub fn zip(files: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(name.as_str(), FileOptions::default())?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
