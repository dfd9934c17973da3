//! The variational bound of one step of the chain (Ho et al. 2020, Eq. 5; with a learned variance: Nichol & Dhariwal 2021,
//! Sec. 3.1).

use std::f64::consts::LN_2;

use likelihood::{code_length, divergence, log_variance};
use tch::Tensor;

use crate::error::TrainerError;
use crate::numbers::Row;
use crate::parts::Noised;

/// `L_t` of each image in bits per dimension, `[b]`: the KL divergence between the posterior and the reverse step. For the
/// first step it is the code length of the image under a Gaussian discretised to 256 grey levels (Ho et al. 2020, Sec. 3.3).
///
/// `output` and `variance` are `[b, c, h, w]`; a variance of -1 means the posterior's, 1 means beta.
pub(crate) fn bound(part: &Noised, output: &Tensor, variance: &Tensor) -> Result<Tensor, TrainerError> {
    let Noised { x_t, x_0, numbers, .. } = part;
    let x_0_theta = numbers.sum((Row::Skip, x_t), (Row::Out, output))?;
    let (least, most) = (numbers.each(Row::LogVariance)?, numbers.each(Row::LogBeta)?);
    let log_variance = log_variance(variance, &least, &most)?;

    let between =
        divergence(&numbers.each(Row::MeanX0)?.f_mul(&x_0_theta.f_sub(x_0)?)?, &least, &log_variance)?;
    let first = code_length(x_0, &x_0_theta, &log_variance)?;
    let is_first = numbers.each(Row::IsFirst)?.f_gt(0.5)?;
    let nats = first.f_where_self(&is_first, &between)?;
    Ok(nats.f_flatten(1, -1)?.f_mean_dim(1_i64, false, x_0.f_kind()?)?.f_div_scalar(LN_2)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use crate::example::example;
    use crate::numbers::Numbers;
    use config::{LearnedVariance, TrainConfig};
    use schedule::Schedule;
    use tch::{Device, Kind};

    /// Written by `scripts/make_bound_goldens.py`.
    #[derive(serde::Deserialize)]
    struct Case {
        t: f64,
        x_0: Vec<f64>,
        eps: Vec<f64>,
        eps_theta: Vec<f64>,
        v: Vec<f64>,
        bits: f64,
        by_eps_theta: Vec<f64>,
        by_v: Vec<f64>,
    }

    fn one(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).view([1, 1, 1, -1])
    }

    #[test]
    fn terms_and_gradients_are_those_of_the_formulas() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("bound.json")).unwrap();
        let (schedule, config) =
            (Schedule::ddpm(), TrainConfig { variance: LearnedVariance::Learned, ..example() });
        for case in &cases {
            let level = schedule.level_at(case.t).unwrap();
            let draw =
                Draw { levels: vec![level], below: Vec::new(), oversampled: vec![1.0], noise: Vec::new() };
            let numbers = Numbers::new(&Numbers::on_host(&schedule, &config, &draw, Kind::Double).unwrap());
            let (x_0, eps) = (one(&case.x_0), one(&case.eps));
            let x_t = numbers.sum((Row::Alpha, &x_0), (Row::Sigma, &eps)).unwrap();
            let t = Tensor::from_slice(&[case.t as i64]);
            let part = Noised { x_t, x_0, t, numbers, target: eps, labels: None };
            let (output, v) =
                (one(&case.eps_theta).set_requires_grad(true), one(&case.v).set_requires_grad(true));
            let bits = bound(&part, &output, &v).unwrap();
            let relative = |got: f64, want: f64, scale: f64| (got - want).abs() / scale.max(1e-3);
            let got = bits.double_value(&[0]);
            assert!(
                relative(got, case.bits, case.bits.abs()) < 1e-6,
                "t = {}: {got} is not {}",
                case.t,
                case.bits
            );
            bits.sum(Kind::Double).backward();
            for (tensor, want) in [(&output, &case.by_eps_theta), (&v, &case.by_v)] {
                let got = Vec::<f64>::try_from(tensor.grad().view(-1)).unwrap();
                let scale = want.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
                for (got, want) in got.iter().zip(want) {
                    assert!(relative(*got, *want, scale) < 1e-6, "t = {}: {got} is not {want}", case.t);
                }
            }
        }
    }

    /// The bound is at least 0, except in the first step, and is 0 for the correct mean and variance.
    #[test]
    fn a_perfect_step_costs_nothing() {
        let (schedule, config) =
            (Schedule::ddpm(), TrainConfig { variance: LearnedVariance::Learned, ..example() });
        let draw = Draw {
            levels: vec![schedule.level_at(500.0).unwrap()],
            below: Vec::new(),
            oversampled: vec![1.0],
            noise: Vec::new(),
        };
        let numbers = Numbers::new(&Numbers::on_host(&schedule, &config, &draw, Kind::Double).unwrap());
        let (x_0, eps) = (one(&[0.5, -0.25]), one(&[1.0, -2.0]));
        let x_t = numbers.sum((Row::Alpha, &x_0), (Row::Sigma, &eps)).unwrap();
        let least = Tensor::full([1, 1, 1, 2], -1.0, (Kind::Double, Device::Cpu));
        let (t, target) = (Tensor::from_slice(&[500_i64]), eps.shallow_clone());
        let part = Noised { x_t, x_0, t, numbers, target, labels: None };
        assert!(bound(&part, &eps, &least).unwrap().double_value(&[0]).abs() < 1e-12);
    }
}
