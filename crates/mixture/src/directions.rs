//! The principal components of images, without their covariance matrix: it has as many numbers as pixels squared.

use random::{Purpose, Stream};
use tch::{Kind, Tensor};

use crate::error::MixtureError;

/// Directions beyond those wanted, which make the wanted ones exact sooner.
const SPARE: usize = 8;
/// Rounds of subspace iteration. Each multiplies the error of a direction by the ratio of two variances; the spectra of images
/// fall fast.
const ROUNDS: usize = 6;

/// The span in which the components of a mixture lie.
pub(crate) struct Directions {
    /// The mean of the images, f64 `[1, n]` for n numbers an image.
    pub(crate) mean: Tensor,
    /// Orthonormal, the largest variance first, f64 `[n, d]`.
    pub(crate) basis: Tensor,
    /// The mean variance along a direction outside the span.
    pub(crate) rest: f64,
}

/// The first `count` principal components of `images`, f32 `[b, n]` (Halko, Martinsson and Tropp 2011, Algorithm 4.4).
pub(crate) fn principal(images: &Tensor, count: usize, seed: u64) -> Result<Directions, MixtureError> {
    let (rows, numbers) = images.size2()?;
    let width = (count + SPARE).min(numbers as usize) as i64;
    let mean = images.f_mean_dim(0_i64, true, Kind::Float)?; // [1, n]
    let mut stream = Stream::new(seed, Purpose::MixtureFit, 0, 0);
    let start = stream.normals(numbers as usize * width as usize);
    let mut basis = tensor_io::from_slice(&start, &[numbers, width])?;
    // What the centred images do to a vector, and their transpose to the result, without a centred copy of all of them.
    let onto = |basis: &Tensor| -> Result<Tensor, MixtureError> {
        Ok(images.f_matmul(basis)?.f_sub(&mean.f_matmul(basis)?)?)
    };
    for _ in 0..ROUNDS {
        let (orthonormal, _) = Tensor::f_linalg_qr(&basis, "reduced")?;
        let seen = onto(&orthonormal)?; // [b, width]
        let sums = seen.f_sum_dim_intlist(0_i64, true, Kind::Float)?;
        basis = images.f_tr()?.f_matmul(&seen)?.f_sub(&mean.f_tr()?.f_matmul(&sums)?)?;
    }
    let (basis, _) = Tensor::f_linalg_qr(&basis.f_to_kind(Kind::Double)?, "reduced")?;
    let seen = onto(&basis.f_to_kind(Kind::Float)?)?.f_to_kind(Kind::Double)?;
    let covariance = seen.f_tr()?.f_matmul(&seen)?.f_div_scalar(rows as f64)?;
    // In rising order.
    let (variances, turned) = covariance.f_linalg_eigh("L")?;
    let kept = (count as i64).min(width);
    let basis = basis.f_matmul(&turned.f_narrow(1, width - kept, kept)?)?.f_flip([1])?;
    let total = f64::try_from(&images.f_var_dim(0_i64, false, false)?.f_sum(Kind::Double)?)?;
    let inside = f64::try_from(&variances.f_narrow(0, width - kept, kept)?.f_sum(Kind::Double)?)?;
    let outside = numbers - kept;
    let rest = if outside == 0 { 0.0 } else { ((total - inside) / outside as f64).max(0.0) };
    Ok(Directions { mean: mean.f_to_kind(Kind::Double)?, basis, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Independent numbers with known variances: their directions are the axes.
    #[test]
    fn the_axes_of_a_gaussian_are_found_by_falling_variance() {
        let deviations = [0.1_f32, 3.0, 0.1, 1.0, 0.1, 2.0];
        let mut stream = Stream::new(3, Purpose::Figure, 0, 0);
        let values: Vec<f32> = (0..4000)
            .flat_map(|_| {
                stream.normals(6).into_iter().zip(deviations).map(|(z, d)| 5.0 + z * d).collect::<Vec<_>>()
            })
            .collect();
        let images = tensor_io::from_slice(&values, &[4000, 6]).unwrap();
        let found = principal(&images, 3, 1).unwrap();
        let mean = tensor_io::to_vec(&found.mean).unwrap();
        assert!(mean.iter().all(|mean| (mean - 5.0).abs() < 0.2), "{mean:?}");
        for (direction, axis) in [1, 5, 3].into_iter().enumerate() {
            let along = found.basis.double_value(&[axis, direction as i64]).abs();
            assert!(along > 0.99, "{direction}: {along}");
        }
        assert!((found.rest / 0.01 - 1.0).abs() < 0.1, "{}", found.rest);
        let unit = found.basis.tr().matmul(&found.basis) - Tensor::eye(3, (Kind::Double, tch::Device::Cpu));
        assert!(unit.abs().max().double_value(&[]) < 1e-9);
    }

    /// As many directions as numbers leave nothing.
    #[test]
    fn all_directions_leave_nothing() {
        let values = Stream::new(4, Purpose::Figure, 0, 0).normals(60);
        let images = tensor_io::from_slice(&values, &[20, 3]).unwrap();
        let found = principal(&images, 3, 1).unwrap();
        assert_eq!((found.basis.size(), found.rest), (vec![3, 3], 0.0));
    }
}
