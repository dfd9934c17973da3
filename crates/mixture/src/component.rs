//! The Gaussians of a mixture and their fit by expectation and maximisation (Dempster, Laird and Rubin 1977).

use std::f64::consts::TAU;

use tch::{Device, Kind, Tensor};

use crate::error::MixtureError;

/// Images that a component describes at least; one with fewer is dropped. The mean of a single image would be that image.
pub(crate) const LEAST: usize = 8;

/// Gaussians in `d` dimensions.
pub(crate) struct Components {
    /// Sum 1, f64 `[k]`.
    pub(crate) weights: Tensor,
    /// f64 `[k, d]`.
    pub(crate) means: Tensor,
    /// The lower factors of their covariances, f64 `[k, d, d]`.
    pub(crate) factors: Tensor,
}

impl Components {
    /// Fits them to points, f64 `[b, d]`, from a first guess of how much each belongs to each component, f64 `[b, k]`.
    /// `floor` is added to the variances. Components that lose their points are dropped.
    pub(crate) fn fit(
        points: &Tensor,
        shares: Tensor,
        floor: f64,
        rounds: usize,
    ) -> Result<Self, MixtureError> {
        let mut found = Self::of_shares(points, &shares, floor)?;
        for _ in 0..rounds {
            found = Self::of_shares(points, &found.shares(points)?.0, floor)?;
        }
        Ok(found)
    }

    /// Maximisation.
    fn of_shares(points: &Tensor, shares: &Tensor, floor: f64) -> Result<Self, MixtureError> {
        let (_, width) = points.size2()?;
        let sizes = shares.f_sum_dim_intlist(0_i64, false, Kind::Double)?; // [k]
        // The largest is never dropped.
        let most = f64::try_from(&sizes.f_max()?)?;
        let kept = sizes.f_ge(most.min(LEAST as f64))?.f_nonzero()?.f_view([-1])?;
        let (shares, sizes) = (shares.f_index_select(1, &kept)?, sizes.f_index_select(0, &kept)?);
        let count = kept.size()[0];
        let means = shares.f_tr()?.f_matmul(points)?.f_div(&sizes.f_unsqueeze(1)?)?;
        let least = Tensor::f_eye(width, (Kind::Double, Device::Cpu))?.f_mul_scalar(floor)?;
        let mut factors = Vec::new();
        for k in 0..count {
            let from_mean = points.f_sub(&means.f_narrow(0, k, 1)?)?;
            let weighted = from_mean.f_mul(&shares.f_narrow(1, k, 1)?)?;
            let size = sizes.f_double_value(&[k])?;
            let covariance = weighted.f_tr()?.f_matmul(&from_mean)?.f_div_scalar(size)?;
            factors.push(covariance.f_add(&least)?.f_linalg_cholesky(false)?);
        }
        let weights = sizes.f_div(&sizes.f_sum(Kind::Double)?)?;
        Ok(Self { weights, means, factors: Tensor::f_stack(&factors, 0)? })
    }

    /// Expectation: how much each point belongs to each component, `[b, k]`, and the log density of each point, `[b]`.
    pub(crate) fn shares(&self, points: &Tensor) -> Result<(Tensor, Tensor), MixtureError> {
        let (count, width) = self.means.size2()?;
        let mut columns = Vec::new();
        for k in 0..count {
            let factor = self.factors.f_get(k)?;
            let from_mean = points.f_sub(&self.means.f_narrow(0, k, 1)?)?.f_tr()?; // [d, b]
            let whitened = factor.f_linalg_solve_triangular(&from_mean, false, true, false)?;
            let squares = whitened.f_square()?.f_sum_dim_intlist(0_i64, false, Kind::Double)?;
            let log_deviations = f64::try_from(&factor.f_diagonal(0, 0, 1)?.f_log()?.f_sum(Kind::Double)?)?;
            let log_weight = self.weights.f_double_value(&[k])?.ln();
            let constant = log_weight - log_deviations - 0.5 * width as f64 * TAU.ln();
            columns.push(squares.f_mul_scalar(-0.5)?.f_add_scalar(constant)?);
        }
        let logs = Tensor::f_stack(&columns, 1)?; // [b, k]
        Ok((logs.f_softmax(1, Kind::Double)?, logs.f_logsumexp(1_i64, false)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Stream};

    /// Two Gaussians on a line, of which one is wide and rare.
    fn points() -> Tensor {
        let mut stream = Stream::new(5, Purpose::Figure, 0, 0);
        let values: Vec<f32> = (0..4000)
            .map(|i| if i % 4 == 0 { 6.0 + 2.0 * stream.normals(1)[0] } else { stream.normals(1)[0] })
            .collect();
        tensor_io::from_slice(&values, &[4000, 1]).unwrap().to_kind(Kind::Double)
    }

    fn halves(points: &Tensor) -> Tensor {
        crate::clusters::one_hot(&points.gt(4.0).to_kind(Kind::Int64).view([-1]), 2).unwrap()
    }

    #[test]
    fn two_gaussians_are_told_apart() {
        let points = points();
        let found = Components::fit(&points, halves(&points), 1e-6, 60).unwrap();
        let numbers = |tensor: &Tensor| tensor_io::to_vec(tensor).unwrap();
        for (found, wanted) in [
            (numbers(&found.weights), [0.75, 0.25]),
            (numbers(&found.means), [0.0, 6.0]),
            (numbers(&found.factors), [1.0, 2.0]),
        ] {
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 0.2, "{found} is not {wanted}");
            }
        }
    }

    #[test]
    fn no_round_lowers_the_likelihood() {
        let points = points();
        let likelihood = |rounds| {
            let found = Components::fit(&points, halves(&points), 0.0, rounds).unwrap();
            found.shares(&points).unwrap().1.mean(Kind::Double).double_value(&[])
        };
        let all: Vec<f64> = (0..12).map(likelihood).collect();
        assert!(all.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12), "{all:?}");
        assert!(all[11] > all[0] + 1e-3, "{all:?}");
    }

    /// The density of one Gaussian in closed form.
    #[test]
    fn a_density_is_that_of_its_gaussian() {
        let found = Components {
            weights: Tensor::from_slice(&[1.0]),
            means: Tensor::from_slice(&[1.0, 2.0]).view([1, 2]),
            factors: Tensor::from_slice(&[2.0, 0.0, 1.0, 0.5]).view([1, 2, 2]),
        };
        let at_mean = found.shares(&Tensor::from_slice(&[1.0, 2.0]).view([1, 2])).unwrap();
        assert!((at_mean.1.double_value(&[0]) + TAU.ln()).abs() < 1e-12);
        assert_eq!(at_mean.0.double_value(&[0, 0]), 1.0);
    }

    #[test]
    fn a_component_without_points_is_dropped() {
        let points = Tensor::from_slice(&[1.0, 2.0, 3.0]).view([3, 1]);
        let shares = Tensor::from_slice(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).view([3, 2]);
        assert_eq!(Components::fit(&points, shares, 1e-6, 1).unwrap().weights.size(), [1]);
        // Even one whose points are fewer than the least stays, where it is all there is.
        let one = Components::fit(&points.narrow(0, 0, 1), Tensor::from_slice(&[1.0]).view([1, 1]), 1e-6, 1);
        assert_eq!(one.unwrap().means.double_value(&[0, 0]), 1.0);
    }
}
