//! The reverse steps of a chain of levels, and their terms of the bound (Ho et al. 2020, Eq. 5 and 7).

use std::f64::consts::LN_2;

use schedule::{Form, Level, Posterior, Variance};
use tch::Tensor;

use crate::error::LikelihoodError;
use crate::levels::Levels;
use crate::network::{Output, each};
use crate::terms::{code_length, divergence, log_variance};

/// The variance of a reverse step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseVariance {
    /// The same for each pixel.
    Fixed(Variance),
    /// As the network predicts it (Nichol & Dhariwal 2021, Sec. 3.1).
    Learned,
}

/// One reverse step in numbers.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: Level,
    form: Form,
    /// Weight of `x_0` in the mean of the posterior.
    mean_x_0: f64,
    /// Logarithms of variances: of the posterior, which is the least, of beta, and the fixed one.
    least: f64,
    most: f64,
    fixed: f64,
}

/// All reverse steps of some levels; step 0 leads to the grey levels.
pub(crate) struct Steps {
    steps: Vec<Step>,
    learned: bool,
    clip: bool,
}

impl Steps {
    pub(crate) fn new(
        levels: &Levels,
        output: Output,
        variance: ReverseVariance,
        clip: bool,
    ) -> Result<Self, LikelihoodError> {
        let learned = variance == ReverseVariance::Learned;
        if learned && !output.learned_variance {
            return Err(LikelihoodError::NoVariance);
        }
        let steps = (0..levels.len()).map(|i| {
            let from = levels.get(i);
            let below = if i == 0 { Level::DATA } else { levels.get(i - 1) };
            let posterior = Posterior::between(&from, &below);
            // The variance of the last posterior is 0, so that of the step before replaces it, as in the code of Ho
            // et al. 2020.
            let least = if i == 0 { levels.second } else { posterior.variance };
            let fixed = match variance {
                _ if i == 0 => levels.decoder_variance(),
                ReverseVariance::Fixed(Variance::FixedLarge) => posterior.beta,
                _ => posterior.variance,
            };
            Ok(Step {
                from,
                form: output.prediction.form(&from)?,
                mean_x_0: posterior.x_0,
                least: least.ln(),
                most: posterior.beta.ln(),
                fixed: fixed.ln(),
            })
        });
        Ok(Self { steps: steps.collect::<Result<_, LikelihoodError>>()?, learned, clip })
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The level that a step starts from.
    pub(crate) fn from(&self, step: usize) -> Level {
        self.steps[step].from
    }

    /// The part of a term that does not depend on the network, in bits per dimension: the cost of a fixed variance
    /// other than the posterior's.
    pub(crate) fn known(&self, step: usize) -> f64 {
        let Step { least, fixed, .. } = self.steps[step];
        let gap = fixed - least;
        if self.learned || step == 0 { 0.0 } else { 0.5 * (gap + (-gap).exp_m1()) / LN_2 }
    }

    /// The approximate cost of each term except that of step 0, for choosing among them. It is exact for data of this
    /// variance around the best prediction, and the posterior's variance.
    pub(crate) fn rough(&self, variance: f64) -> Vec<f64> {
        let snr = |step: usize| (2.0 * self.steps[step].from.lambda()).exp();
        (1..self.len()).map(|step| 0.5 * (snr(step - 1) - snr(step)) / (1.0 / variance + snr(step))).collect()
    }

    /// The term of each image's step, in bits per dimension, `[b]` f64; NaN where the output is not finite. All tensors are
    /// `[b, c, h, w]`; step 0 only for all images at once.
    pub(crate) fn bits(
        &self,
        steps: &[usize],
        (x_0, x_t): (&Tensor, &Tensor),
        (output, said): (&Tensor, Option<&Tensor>),
    ) -> Result<Tensor, LikelihoodError> {
        let number = |of: fn(&Step) -> f64| {
            each(&steps.iter().map(|&step| of(&self.steps[step])).collect::<Vec<_>>(), x_0.device())
        };
        let double = |x: &Tensor| x.f_to_kind(x_0.f_kind()?);
        let output = double(output)?;
        let predicted = number(|step| step.form.skip)?
            .f_mul(x_t)?
            .f_add(&number(|step| step.form.out)?.f_mul(&output)?)?;
        let x_0_theta = if self.clip { predicted.f_clamp(-1.0, 1.0)? } else { predicted };
        let (least, log_variance) = match said.filter(|_| self.learned) {
            Some(said) => {
                let (least, most) = (number(|step| step.least)?, number(|step| step.most)?);
                let log_variance = log_variance(&double(said)?, &least, &most)?;
                (least, log_variance)
            }
            None => (number(|step| step.least)?, number(|step| step.fixed)?),
        };
        let nats = if steps[0] == 0 {
            code_length(x_0, &x_0_theta, &log_variance)?
        } else {
            let difference = number(|step| step.mean_x_0)?.f_mul(&x_0_theta.f_sub(x_0)?)?;
            divergence(&difference, &least, &log_variance)?
        };
        // Clipping turns an infinite output into a finite one.
        let finite = output.f_mul_scalar(0.0)?;
        Ok(nats.f_add(&finite)?.f_flatten(1, -1)?.f_mean_dim(1_i64, false, None)?.f_div_scalar(LN_2)?)
    }
}

/// `L_T`, in bits per dimension, `[b]`: the divergence of `q(x_T | x_0)` from the start of sampling,
/// `N(0, (alpha^2 + sigma^2) I)` (Ho et al. 2020, Eq. 5, where that sum is 1).
pub(crate) fn prior(x_0: &Tensor, last: &Level) -> Result<Tensor, LikelihoodError> {
    let variance = last.alpha.powi(2) + last.sigma.powi(2);
    let share = last.sigma.powi(2) / variance;
    let squares = x_0.f_square()?.f_flatten(1, -1)?.f_mean_dim(1_i64, false, None)?;
    let distance = squares.f_mul_scalar(last.alpha.powi(2) / variance)?;
    Ok(distance.f_add_scalar(share - 1.0 - share.ln())?.f_div_scalar(2.0 * LN_2)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schedule::{ContinuousPath, NoisePath, Prediction, Schedule};

    /// Written by `scripts/make_likelihood_goldens.py`.
    #[derive(serde::Deserialize)]
    struct Case {
        path: String,
        count: usize,
        output: String,
        variance: String,
        step: usize,
        grey: Vec<f64>,
        eps: Vec<f64>,
        put_out: Vec<f64>,
        said: Vec<f64>,
        bits: f64,
        prior: f64,
    }

    fn path(name: &str) -> Box<dyn NoisePath> {
        match name {
            "linear" => Box::new(Schedule::ddpm()),
            _ => Box::new(ContinuousPath::new(name.parse().unwrap(), 1000).unwrap()),
        }
    }

    fn row(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).view([1, 1, 1, -1])
    }

    fn off(got: &Tensor, want: f64) -> f64 {
        (got.double_value(&[0]) - want).abs() / want.abs().max(1e-3)
    }

    #[test]
    fn terms_are_those_of_the_formulas() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("terms.json")).unwrap();
        assert_eq!(cases.len(), 180);
        for case in &cases {
            let Case { path: name, step, .. } = case;
            let levels = Levels::chain(&*path(name), Some(case.count)).unwrap();
            let output = Output { prediction: case.output.parse().unwrap(), learned_variance: true };
            let variance = match &*case.variance {
                "learned" => ReverseVariance::Learned,
                fixed => ReverseVariance::Fixed(fixed.parse().unwrap()),
            };
            let steps = Steps::new(&levels, output, variance, true).unwrap();
            let level = steps.from(*step);
            let x_0 = row(&case.grey) / 127.5 - 1.0;
            let x_t = level.alpha * &x_0 + level.sigma * row(&case.eps);
            let said = row(&case.said);
            let got = steps.bits(&[*step], (&x_0, &x_t), (&row(&case.put_out), Some(&said))).unwrap();
            let place = format!("{name}, {}, {}, step {step}", case.output, case.variance);
            assert!(off(&got, case.bits) < 1e-6, "{place}: {} is not {}", got.double_value(&[0]), case.bits);
            let got = prior(&x_0, &levels.last()).unwrap();
            assert!(
                off(&got, case.prior) < 1e-6,
                "{place}: L_T {} is not {}",
                got.double_value(&[0]),
                case.prior
            );
        }
    }

    /// With an exact network the known part of a term is all of it.
    #[test]
    fn an_exact_network_costs_the_known_part() {
        let output = Output { prediction: Prediction::X0, learned_variance: false };
        let levels = Levels::chain(&Schedule::ddpm(), Some(20)).unwrap();
        for variance in [Variance::FixedSmall, Variance::FixedLarge] {
            let steps = Steps::new(&levels, output, ReverseVariance::Fixed(variance), true).unwrap();
            for step in 1..20 {
                let x_0 = row(&[0.5, -0.25]);
                let bits = steps.bits(&[step], (&x_0, &row(&[2.0, 1.0])), (&x_0, None)).unwrap();
                assert!(
                    (bits.double_value(&[0]) - steps.known(step)).abs() < 1e-14,
                    "{variance}, step {step}"
                );
            }
        }
        assert!(matches!(
            Steps::new(&levels, output, ReverseVariance::Learned, true),
            Err(LikelihoodError::NoVariance)
        ));
    }

    /// Infinite outputs do not hide behind clipping.
    #[test]
    fn infinite_outputs_do_not_hide_behind_clipping() {
        let levels = Levels::chain(&Schedule::ddpm(), Some(20)).unwrap();
        let output = Output { prediction: Prediction::X0, learned_variance: false };
        let steps = Steps::new(&levels, output, ReverseVariance::Fixed(Variance::FixedLarge), true).unwrap();
        for (step, wrong) in [(0, f64::NAN), (7, f64::NAN), (0, f64::INFINITY), (7, f64::NEG_INFINITY)] {
            let x = row(&[0.5, -0.25]);
            let bits = steps.bits(&[step], (&x, &x), (&row(&[wrong, 0.0]), None)).unwrap();
            assert!(bits.double_value(&[0]).is_nan());
        }
    }
}
