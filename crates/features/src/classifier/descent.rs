//! Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013, Eq. 3 and 4) and a learning rate that rises
//! and falls linearly.

use tch::{Tensor, no_grad_guard};

use crate::error::FeaturesError;

/// Momentum of the velocity.
const MOMENTUM: f64 = 0.9;
/// Applies to weights only, not to biases or the scales of normalisations.
const WEIGHT_DECAY: f64 = 5e-4;
/// Share of the steps in which the learning rate rises.
const RISE: f64 = 0.2;

/// The velocity of each parameter.
pub(crate) struct Descent {
    velocities: Vec<Tensor>,
}

impl Descent {
    /// Starts with zero velocity.
    pub(crate) fn new(parameters: &[&Tensor]) -> Result<Self, FeaturesError> {
        let velocities = parameters.iter().map(|parameter| parameter.f_zeros_like());
        Ok(Self { velocities: velocities.collect::<Result<_, _>>()? })
    }

    /// One update from the gradients of the parameters, which are then removed.
    pub(crate) fn step(&mut self, parameters: &[&Tensor], lr: f64) -> Result<(), FeaturesError> {
        let _no_grad = no_grad_guard();
        for (parameter, velocity) in parameters.iter().zip(&mut self.velocities) {
            let mut gradient = parameter.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            if parameter.dim() > 1 {
                gradient = gradient.f_add(&parameter.f_mul_scalar(WEIGHT_DECAY)?)?;
            }
            let _ = velocity.f_mul_scalar_(MOMENTUM)?.f_add_(&gradient)?;
            let change = gradient.f_add(&velocity.f_mul_scalar(MOMENTUM)?)?;
            let _ = parameter.shallow_clone().f_sub_(&change.f_mul_scalar(lr)?)?;
            torch_ext::forget_gradient(parameter)?;
        }
        Ok(())
    }
}

/// The learning rate of a step out of `steps`, from nearly 0 to `peak` and back.
pub(crate) fn learning_rate(peak: f64, step: u64, steps: u64) -> f64 {
    let at = (step as f64 + 0.5) / steps.max(1) as f64;
    peak * if at < RISE { at / RISE } else { (1.0 - at) / (1.0 - RISE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// Compares with the paper's two equations written out in scalars. Gradients are taken at the look-ahead point, so
    /// the parameter here is the paper's theta + mu v.
    #[test]
    fn follows_the_paper() {
        let w = Tensor::from_slice(&[2.0]).set_requires_grad(true);
        let mut descent = Descent::new(&[&w]).unwrap();
        let (mut theta, mut v, lr) = (2.0_f64, 0.0, 0.01);
        for _ in 0..9 {
            // The loss is (w - 3)^2.
            (&w - 3.0).square().sum(Kind::Double).backward();
            descent.step(&[&w], lr).unwrap();
            assert!(!w.grad().defined());
            v = MOMENTUM * v - lr * 2.0 * (theta + MOMENTUM * v - 3.0);
            theta += v;
            let got = f64::try_from(&w.detach()).unwrap();
            assert!((got - (theta + MOMENTUM * v)).abs() < 1e-12, "{got}, {theta} + {MOMENTUM} {v}");
        }
    }

    #[test]
    fn weights_decay_and_biases_do_not() {
        let parameters = [Tensor::from_slice(&[2.0]).view([1, 1]), Tensor::from_slice(&[2.0])]
            .map(|w| w.set_requires_grad(true));
        let both = [&parameters[0], &parameters[1]];
        let mut descent = Descent::new(&both).unwrap();
        ((&parameters[0] + &parameters[1]) * 0.0).sum(Kind::Double).backward();
        descent.step(&both, 0.1).unwrap();
        let after = parameters.map(|w| f64::try_from(w.detach().view(-1).get(0)).unwrap());
        assert!((after[0] - 2.0 * (1.0 - 0.1 * WEIGHT_DECAY * (1.0 + MOMENTUM))).abs() < 1e-12);
        assert_eq!(after[1], 2.0);
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..1000).map(|step| learning_rate(0.1, step, 1000)).collect();
        assert!(rates.iter().all(|&rate| rate > 0.0 && rate <= 0.1));
        let highest = rates.iter().position(|&rate| rate > 0.1 - 1e-3).unwrap();
        assert!((190..=200).contains(&highest), "{highest}");
        assert!(rates[0] < 1e-3 && rates[999] < 1e-3 && rates[..200].is_sorted());
        assert!(rates[200..].is_sorted_by(|a, b| a >= b));
        assert!(learning_rate(0.1, 0, 1) > 0.0);
    }
}
