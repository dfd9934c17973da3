//! Noise that a user provides: x_T in a file.

use std::path::Path;

use anyhow::anyhow;
use dataset::AnyArray;
use tch::{Kind, Tensor};
use tracing::warn;

use crate::array_file;
use crate::failure::{bail_usage, usage};
use crate::model::Loaded;

/// Range of plausible standard deviations of noise, relative to that of x_T. An encoded image is nearly at 1.
const USUAL: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Reads x_T `[n, c, h, w]`, f32, from the file of a flag, and checks it against the network.
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
    // An encoded image may end at a lower level than the noisiest one.
    if !USUAL.contains(&(deviation / of_noise)) {
        warn!(
            "{name}: the standard deviation is {deviation:.2}, but that of pure noise is {of_noise}; expect unusual images"
        );
    }
    Ok(x)
}

/// Finite floats as an f32 tensor. Refuses integers, which are probably pixels.
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
    fn only_finite_floats_are_accepted() {
        assert_eq!(floats("x", array![1.0_f64, 2.0].into()).unwrap().kind(), Kind::Float);
        for wrong in [AnyArray::from(array![1_u8]), array![1_i64].into(), array![f32::NAN].into()] {
            assert!(floats("--x a.npy", wrong).unwrap_err().to_string().starts_with("--x a.npy: "));
        }
    }
}
