//! The values in the files of a checkpoint.

use ::tests::Place;
use ::tests::tensors::read_floats;
use anyhow::{Context as _, ensure};

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

fn ensure_all_finite(bytes: &[u8]) -> anyhow::Result<()> {
    for (name, values) in read_floats(bytes)? {
        let bad = values.iter().find(|value| !value.is_finite());
        ensure!(bad.is_none(), "{name} holds {bad:?}");
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
