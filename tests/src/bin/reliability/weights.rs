//! The values in a safetensors file, read without project code.

use ::tests::Place;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// Fails, naming the tensor, when a checkpoint has a value that is not finite; returns the number of files read.
pub(crate) fn ensure_finite(place: &Place) -> anyhow::Result<u64> {
    let mut read = 0;
    for folder in place.names("run/checkpoints") {
        let folder = format!("run/checkpoints/{folder}");
        for name in place.names(&folder).iter().filter(|name| name.ends_with(".safetensors")) {
            let path = format!("{folder}/{name}");
            ensure_all_finite(&place.read(&path)?).context(path)?;
            read += 1;
        }
    }
    Ok(read)
}

/// Length in eight bytes, a JSON object of that length, data.
fn ensure_all_finite(bytes: &[u8]) -> anyhow::Result<()> {
    let (length, rest) = bytes.split_first_chunk().context("shorter than a length")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, numbers) = rest.split_at_checked(length).context("shorter than its header")?;
    let header: Map<String, Value> = serde_json::from_slice(header)?;
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let at = |n: usize| tensor["data_offsets"][n].as_u64().map(|at| at as usize).context("no offsets");
        let data = numbers.get(at(0)?..at(1)?).context("offsets outside the file")?;
        match tensor["dtype"].as_str() {
            Some("F32") => {
                let (values, _) = data.as_chunks();
                let bad = values.iter().map(|value| f32::from_le_bytes(*value)).find(|x| !x.is_finite());
                ensure!(bad.is_none(), "{name} holds {bad:?}");
            }
            Some("I64" | "U64" | "I32" | "U8" | "BOOL") => {}
            other => bail!("{name}: unsupported type {other:?}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ensure_all_finite;

    fn file(values: &[f32]) -> Vec<u8> {
        let header = format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,{}]}}}}",
            values.len(),
            4 * values.len()
        );
        let numbers = values.iter().flat_map(|value| value.to_le_bytes());
        (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(numbers).collect()
    }

    #[test]
    fn a_value_that_is_not_finite_is_located() {
        ensure_all_finite(&file(&[0.0, f32::MAX, -1.5])).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(ensure_all_finite(&file(&[0.0, bad])).unwrap_err().to_string().contains("a holds"));
        }
        let whole = file(&[1.0, 2.0]);
        for keep in 0..whole.len() {
            assert!(ensure_all_finite(&whole[..keep]).is_err(), "{keep} bytes");
        }
    }
}
