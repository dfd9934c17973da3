//! The variational bound of a step of the chain (Ho et al. 2020, Eq. 5; with the variance learned: Nichol & Dhariwal 2021,
//! Sec. 3.1).

use std::f64::consts::LN_2;

use tch::{Kind, Tensor};

use crate::error::TrainerError;
use crate::numbers::Row;
use crate::parts::Noised;

/// Half the distance between neighbouring grey levels of images in [-1, 1].
const HALF_GREY: f64 = 1.0 / 255.0;
/// No probability is taken for less.
const LEAST: f64 = 1e-12;

/// `L_t` of each image, in bits for each number of it, `[b]`: the divergence of the reverse step from the posterior, and at the
/// first step the code length of the image under a Gaussian, cut into 256 grey levels (Ho et al. 2020, Sec. 3.3).
///
/// `output` and `variance` are `[b, c, h, w]`; a variance of -1 is that of the posterior and 1 beta.
pub(crate) fn bound(part: &Noised, output: &Tensor, variance: &Tensor) -> Result<Tensor, TrainerError> {
    let Noised { x_t, x_0, numbers, .. } = part;
    let x_0_theta = numbers.sum((Row::Skip, x_t), (Row::Out, output))?;
    let (least, most) = (numbers.each(Row::LogVariance)?, numbers.each(Row::LogBeta)?);
    let share = variance.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
    let log_variance = share.f_mul(&most.f_sub(&least)?)?.f_add(&least)?;

    let between =
        divergence(&numbers.each(Row::MeanX0)?.f_mul(&x_0_theta.f_sub(x_0)?)?, &least, &log_variance)?;
    let first = code_length(x_0, &x_0_theta, &log_variance)?;
    let is_first = numbers.each(Row::IsFirst)?.f_gt(0.5)?;
    let nats = first.f_where_self(&is_first, &between)?;
    Ok(nats.f_flatten(1, -1)?.f_mean_dim(1_i64, false, Kind::Float)?.f_div_scalar(LN_2)?)
}

/// `KL(N(m, e^least) || N(m + difference, e^log_variance))` of each number, in nats.
fn divergence(difference: &Tensor, least: &Tensor, log_variance: &Tensor) -> Result<Tensor, TrainerError> {
    let gap = log_variance.f_sub(least)?;
    let distance = difference.f_square()?.f_mul(&log_variance.f_neg()?.f_exp()?)?;
    Ok(gap.f_add(&gap.f_neg()?.f_exp()?)?.f_sub_scalar(1.0)?.f_add(&distance)?.f_mul_scalar(0.5)?)
}

/// `-ln P` of each grey level: the probability between its neighbours' middles; the darkest and the brightest have all beyond.
fn code_length(x_0: &Tensor, mean: &Tensor, log_variance: &Tensor) -> Result<Tensor, TrainerError> {
    let precision = log_variance.f_mul_scalar(-0.5)?.f_exp()?;
    let centred = x_0.f_sub(mean)?;
    let below = |edge: f64| -> Result<Tensor, TrainerError> {
        Ok(centred.f_add_scalar(edge)?.f_mul(&precision)?.f_special_ndtr()?)
    };
    let (upper, lower) = (below(HALF_GREY)?, below(-HALF_GREY)?);
    let above = |edge: f64| -> Result<Tensor, TrainerError> {
        Ok(centred.f_add_scalar(edge)?.f_mul(&precision)?.f_neg()?.f_special_ndtr()?)
    };
    let inner = upper.f_sub(&lower)?;
    let at_ends = above(-HALF_GREY)?.f_where_self(&x_0.f_gt(0.999)?, &inner)?;
    let probability = upper.f_where_self(&x_0.f_lt(-0.999)?, &at_ends)?;
    Ok(probability.f_clamp_min(LEAST)?.f_log()?.f_neg()?)
}
