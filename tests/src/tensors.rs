//! Reads safetensors files without project code.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

/// The f32 tensors of a safetensors file by name. Tensors of whole numbers are left out.
///
/// # Errors
/// When it is not a safetensors file, or has a tensor of another type.
pub fn read_floats(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<f32>>> {
    // Length in eight bytes, a JSON object of that length, data.
    let (length, rest) = bytes.split_first_chunk().context("shorter than a length")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, numbers) = rest.split_at_checked(length).context("shorter than its header")?;
    let header: Map<String, Value> = serde_json::from_slice(header)?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let at = |n: usize| tensor["data_offsets"][n].as_u64().map(|at| at as usize).context("no offsets");
        let data = numbers.get(at(0)?..at(1)?).context("offsets outside the file")?;
        match tensor["dtype"].as_str() {
            Some("F32") => {
                let (values, _) = data.as_chunks();
                tensors.insert(name, values.iter().map(|value| f32::from_le_bytes(*value)).collect());
            }
            Some("I64" | "U64" | "I32" | "U8" | "BOOL") => {}
            other => bail!("{name}: unsupported type {other:?}"),
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_by_name_and_broken_files_are_refused() {
        let file = |header: &str| {
            let numbers = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers[..]].concat()
        };
        let header = r#"{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                         "n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let whole = file(header);
        assert_eq!(read_floats(&whole).unwrap(), BTreeMap::from([("x".to_owned(), vec![1.5, -2.0])]));
        for keep in 0..whole.len() {
            assert!(read_floats(&whole[..keep]).is_err(), "{keep} bytes");
        }
        for (from, to) in [("F32", "F8"), ("[0,8]", "[0,9]"), ("[0,8]", "[8,0]"), ("data_offsets", "other")] {
            assert!(read_floats(&file(&header.replacen(from, to, 1))).is_err(), "{to}");
        }
    }
}
