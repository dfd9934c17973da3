//! The terms of the variational bound of one step (Ho et al. 2020, Eq. 5; with the variance learned: Nichol & Dhariwal 2021,
//! Sec. 3.1), number by number. Training with a learned variance and [`crate::bound`] use the same three functions.
//!
//! They use only libtorch operations on the tensors' own device and in their own type, so they can be differentiated
//! and recorded.

use tch::{TchError, Tensor};

/// Half the distance between neighbouring grey levels of images in [-1, 1].
const HALF_GREY: f64 = 1.0 / 255.0;
/// The lower limit of probabilities.
const LEAST: f64 = 1e-12;

/// The log variance that a network predicts, between those of the posterior and of beta (Nichol & Dhariwal 2021, Eq.
/// 15).
///
/// `said` is `[b, c, h, w]`: -1 is the `least` variance and 1 the `most`, both given as logarithms `[b, 1, 1, 1]`. The result
/// is like `said`.
///
/// # Errors
/// Those of libtorch.
pub fn log_variance(said: &Tensor, least: &Tensor, most: &Tensor) -> Result<Tensor, TchError> {
    let share = said.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
    share.f_mul(&most.f_sub(least)?)?.f_add(least)
}

/// `KL(N(m, e^least) || N(m + difference, e^log_variance))` of each number, in nats.
///
/// `difference` is `[b, c, h, w]`; the logarithms of the variances have a shape that broadcasts to it.
///
/// # Errors
/// Those of libtorch.
pub fn divergence(difference: &Tensor, least: &Tensor, log_variance: &Tensor) -> Result<Tensor, TchError> {
    let gap = log_variance.f_sub(least)?;
    let distance = difference.f_square()?.f_mul(&log_variance.f_neg()?.f_exp()?)?;
    gap.f_add(&gap.f_neg()?.f_exp()?)?.f_sub_scalar(1.0)?.f_add(&distance)?.f_mul_scalar(0.5)
}

/// `-ln P` of each grey level of `x_0` under `N(mean, e^log_variance)` cut into 256 grey levels (Ho et al. 2020, Sec.
/// 3.3). `P` is the probability between the midpoints to its neighbours; the darkest and the brightest level include
/// everything beyond.
///
/// `x_0` and `mean` are `[b, c, h, w]` in [-1, 1]. As in the paper's own code, probabilities are at least 1e-12.
///
/// # Errors
/// Those of libtorch.
pub fn code_length(x_0: &Tensor, mean: &Tensor, log_variance: &Tensor) -> Result<Tensor, TchError> {
    let precision = log_variance.f_mul_scalar(-0.5)?.f_exp()?;
    let centred = x_0.f_sub(mean)?;
    let below = |edge: f64| -> Result<Tensor, TchError> {
        centred.f_add_scalar(edge)?.f_mul(&precision)?.f_special_ndtr()
    };
    let (upper, lower) = (below(HALF_GREY)?, below(-HALF_GREY)?);
    let above = |edge: f64| -> Result<Tensor, TchError> {
        centred.f_add_scalar(edge)?.f_mul(&precision)?.f_neg()?.f_special_ndtr()
    };
    let inner = upper.f_sub(&lower)?;
    let at_ends = above(-HALF_GREY)?.f_where_self(&x_0.f_gt(0.999)?, &inner)?;
    let probability = upper.f_where_self(&x_0.f_lt(-0.999)?, &at_ends)?;
    probability.f_clamp_min(LEAST)?.f_log()?.f_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn number(value: f64) -> Tensor {
        Tensor::full([1, 1, 1, 1], value, (Kind::Double, Device::Cpu))
    }

    /// The 256 probabilities are a distribution, whatever the Gaussian.
    #[test]
    fn the_probabilities_of_all_grey_levels_sum_to_1() {
        let levels = (Tensor::arange(256, (Kind::Double, Device::Cpu)) / 127.5 - 1.0).view([-1, 1, 1, 1]);
        for (mean, deviation) in [(0.3, 0.01), (-1.2, 0.5), (0.999, 0.003), (0.0, 3.0)] {
            let log_variance = number(2.0 * f64::ln(deviation));
            let nats = code_length(&levels, &number(mean), &log_variance).unwrap();
            let sum = nats.neg().exp().sum(Kind::Double).double_value(&[]);
            assert!((sum - 1.0).abs() < 1e-9, "{mean}, {deviation}: {sum}");
        }
    }

    /// A known pair: `KL(N(0, 1) || N(1, 4)) = ln 2 + 2 / 8 - 1 / 2`.
    #[test]
    fn a_divergence_by_hand() {
        let got = divergence(&number(1.0), &number(0.0), &number(4_f64.ln())).unwrap();
        assert!((got.double_value(&[0, 0, 0, 0]) - (2_f64.ln() - 0.25)).abs() < 1e-14);
        let none = divergence(&number(0.0), &number(-3.0), &number(-3.0)).unwrap();
        assert_eq!(none.double_value(&[0, 0, 0, 0]), 0.0);
    }

    #[test]
    fn the_ends_of_a_predicted_variance() {
        let (least, most) = (number(-5.0), number(-2.0));
        for (said, want) in [(-1.0, -5.0), (1.0, -2.0), (0.0, -3.5)] {
            let got = log_variance(&number(said), &least, &most).unwrap();
            assert!((got.double_value(&[0, 0, 0, 0]) - want).abs() < 1e-14);
        }
    }
}
