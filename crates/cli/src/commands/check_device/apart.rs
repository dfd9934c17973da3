//! How far gradients are apart, all together and tensor by tensor.

use anyhow::ensure;
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use tensor_io::Named;

/// The error of a gradient is relative to its norm. The norm counts as at least this share of a typical one: some
/// gradients, such as that of a bias before a normalisation, are zero but for rounding.
const LEAST: f64 = 0.1;

/// How far two sets of gradients are apart.
#[derive(Debug)]
pub(super) struct Apart {
    tensors: usize,
    /// Of all gradients as one vector.
    pub(super) relative: f64,
    /// The largest of one tensor.
    pub(super) worst: f64,
    worst_tensor: String,
}

impl Apart {
    pub(super) fn of(got: &[Named], expected: &[Named]) -> anyhow::Result<Self> {
        let names = |set: &[Named]| set.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        ensure!(
            !expected.is_empty() && names(got) == names(expected),
            "check-device: expected gradients of the same tensors, found {} and on the CPU {}",
            got.len(),
            expected.len()
        );
        let (mut differences, mut sizes) = (Vec::new(), Vec::new());
        for ((_, got), (_, expected)) in got.iter().zip(expected) {
            differences.push(norm(&got.f_sub(expected)?)?);
            sizes.push(norm(expected)?);
        }
        let whole = |norms: &[f64]| norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
        let typical = whole(&sizes) / (sizes.len() as f64).sqrt();
        let each = differences.iter().zip(&sizes).map(|(apart, size)| apart / size.max(LEAST * typical));
        // NaN counts as the largest.
        let worst = each.enumerate().max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()));
        let (place, worst) = worst.unwrap_or((0, f64::NAN));
        Ok(Self {
            tensors: sizes.len(),
            relative: whole(&differences) / whole(&sizes),
            worst,
            worst_tensor: expected[place].0.clone(),
        })
    }

    pub(super) fn json(&self) -> Value {
        let Self { tensors, relative, worst, worst_tensor } = self;
        json!({ "tensors": tensors, "relative": relative, "worst": worst, "worst_tensor": worst_tensor })
    }
}

/// The square root of the sum of squares, in f64.
pub(super) fn norm(x: &Tensor) -> anyhow::Result<f64> {
    Ok(f64::try_from(x.f_to_kind(Kind::Double)?.f_square()?.f_sum(Kind::Double)?)?.sqrt())
}

/// The norm of the difference over the norm of what is expected.
pub(super) fn relative(got: &Tensor, expected: &Tensor) -> anyhow::Result<f64> {
    Ok(norm(&got.f_sub(expected)?)? / norm(expected)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_tensor_is_named() {
        let named = |name: &str, values: &[f64]| (name.to_owned(), Tensor::from_slice(values));
        // Norms 3, 4 and 0; the typical one is 5 / sqrt(3).
        let expected = [named("a", &[3.0, 0.0]), named("b", &[0.0, 4.0]), named("zero", &[0.0, 0.0])];
        let got = [named("a", &[3.0, 0.3]), named("b", &[0.4, 4.4]), named("zero", &[0.0, 0.0])];
        let apart = Apart::of(&got, &expected).unwrap();
        assert_eq!((apart.tensors, apart.worst_tensor.as_str()), (3, "b"));
        assert!((apart.worst - 0.32_f64.sqrt() / 4.0).abs() < 1e-12, "{apart:?}");
        assert!((apart.relative - 0.41_f64.sqrt() / 5.0).abs() < 1e-12, "{apart:?}");

        // What is zero but for rounding is measured against a typical tensor.
        let rounded = [named("a", &[3.0, 0.0]), named("b", &[0.0, 4.0]), named("zero", &[0.0, 1e-3])];
        let apart = Apart::of(&rounded, &expected).unwrap();
        assert_eq!(apart.worst_tensor, "zero");
        assert!((apart.worst - 1e-3 / (LEAST * 5.0 / 3.0_f64.sqrt())).abs() < 1e-12, "{apart:?}");
    }

    #[test]
    fn what_is_missing_or_not_finite_does_not_agree() {
        let named = |name: &str, value: f64| (name.to_owned(), Tensor::from_slice(&[value]));
        let expected = [named("a", 1.0), named("b", 1.0)];
        let apart = Apart::of(&[named("a", 1.0), named("b", f64::NAN)], &expected).unwrap();
        assert!(apart.worst.is_nan() && apart.worst_tensor == "b", "{apart:?}");
        // JSON has no number for it, and no number passes no check.
        assert!(apart.json()["worst"].is_null() && apart.json()["relative"].is_null());
        let error = Apart::of(&[named("a", 1.0)], &expected).unwrap_err().to_string();
        assert!(error.contains("found 1 and on the CPU 2"), "{error}");
        assert!(Apart::of(&[], &[]).is_err());
    }
}
