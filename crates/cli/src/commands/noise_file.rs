//! Noise that a user gives: x_T in a file.

use std::path::Path;

use anyhow::anyhow;
use dataset::AnyArray;
use tch::{Kind, Tensor};
use tracing::warn;

use crate::array_file;
use crate::failure::{bail_usage, usage};
use crate::model::Loaded;

/// Standard deviations within which numbers may be noise, as parts of that of x_T; an encoded image has nearly that.
const USUAL: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// x_T `[n, c, h, w]` f32 from the file of a flag, checked against the network.
pub(crate) fn read(flag: &str, path: &Path, loaded: &Loaded) -> anyhow::Result<Tensor> {
    let name = format!("{flag} {}", path.display());
    let x = floats(&name, array_file::read(flag, path, &["x_T", "latent", "noise"])?)?;
    let (got, [_, c, h, w]) = (x.size(), loaded.shape(0));
    if got.len() != 4 || got[0] == 0 || got[1..] != [c, h, w] {
        return Err(usage(anyhow!(
            "{name}: has shape {got:?}, expected [n, {c}, {h}, {w}], that of this network"
        )));
    }
    let (deviation, of_noise) = (f64::try_from(x.std(true))?, loaded.path.noisiest()?.sigma.max(1.0));
    // What was encoded down from an image may end at a lower level than the noisiest.
    if !USUAL.contains(&(deviation / of_noise)) {
        warn!(
            "{name}: a standard deviation of {deviation:.2}, where pure noise has {of_noise}; the images will be of that kind"
        );
    }
    Ok(x)
}

/// Finite floats as an f32 tensor. Integers are pixels more often than what is asked for here.
pub(crate) fn floats(name: &str, array: AnyArray) -> anyhow::Result<Tensor> {
    if matches!(array, AnyArray::U8(_) | AnyArray::I64(_)) {
        bail_usage!("{name}: expected floats, found integers");
    }
    let x = tensor_io::from_array(&array.into_f32().view())?.to_kind(Kind::Float);
    if i64::try_from(x.isfinite().all())? == 0 {
        bail_usage!("{name}: holds NaN or infinite numbers");
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn finite_floats_alone_are_taken() {
        assert_eq!(floats("x", array![1.0_f64, 2.0].into()).unwrap().kind(), Kind::Float);
        for wrong in [AnyArray::from(array![1_u8]), array![1_i64].into(), array![f32::NAN].into()] {
            assert!(floats("--x a.npy", wrong).unwrap_err().to_string().starts_with("--x a.npy: "));
        }
    }
}
