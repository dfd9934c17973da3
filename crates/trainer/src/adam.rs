//! Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), its state in reach:
//! tch's optimiser can neither save nor restore it, and a run resumed without it goes another way.

use tch::{Tensor, no_grad_guard};
use tensor_io::Named;

use crate::error::TrainerError;
use config::TrainConfig;

/// The optimiser's state for a list of parameters.
pub struct Adam {
    params: Vec<Named>,
    /// Moving averages of the gradient and of its square, in the order of `params`.
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: u64,
}

impl Adam {
    /// No step taken yet.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    pub fn new(params: &[Named]) -> Result<Self, TrainerError> {
        let zeros = || params.iter().map(|(_, p)| p.f_zeros_like()).collect::<Result<Vec<_>, _>>();
        Ok(Self { params: copy_handles(params), first: zeros()?, second: zeros()?, steps: 0 })
    }

    /// One update from the gradients the parameters hold; a parameter without one stays.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn step(&mut self, lr: f64, config: &TrainConfig) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        self.steps += 1;
        let (beta1, beta2) = (config.beta1, config.beta2);
        let exponent = self.steps.min(i32::MAX as u64) as i32;
        let step_size = lr / (1.0 - beta1.powi(exponent));
        let second_scale = 1.0 / (1.0 - beta2.powi(exponent)).sqrt();
        for ((_, param), (m, v)) in self.params.iter().zip(self.first.iter_mut().zip(&mut self.second)) {
            let gradient = param.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            let mut param = param.shallow_clone();
            if config.weight_decay > 0.0 {
                let _ = param.f_mul_scalar_(1.0 - lr * config.weight_decay)?;
            }
            // m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2.
            let _ = m.f_lerp_(&gradient, 1.0 - beta1)?;
            let _ = v.f_mul_scalar_(beta2)?.f_addcmul_(&(&gradient * (1.0 - beta2)), &gradient)?;
            // theta -= lr m^ / (sqrt(v^) + eps), with m^ and v^ corrected for their start at 0.
            let denominator = v.f_sqrt()?.f_mul_scalar_(second_scale)?.f_add_scalar_(config.adam_eps)?;
            let _ = param.f_sub_(&m.f_div(&denominator)?.f_mul_scalar_(step_size)?)?;
        }
        Ok(())
    }

    /// Forgets the gradients, so that the next backward pass starts from none.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn zero_grad(&self) -> Result<(), TrainerError> {
        for (_, param) in &self.params {
            param.shallow_clone().zero_grad();
        }
        Ok(())
    }

    /// The state by name, for a file: `m.NAME`, `v.NAME` and `step`.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn state(&self) -> Result<Vec<Named>, TrainerError> {
        let mut state = vec![("step".to_owned(), Tensor::f_from_slice(&[self.steps as i64])?)];
        for ((name, _), (m, v)) in self.params.iter().zip(self.first.iter().zip(&self.second)) {
            state.push((format!("m.{name}"), m.shallow_clone()));
            state.push((format!("v.{name}"), v.shallow_clone()));
        }
        Ok(state)
    }

    /// Takes over a state that [`Adam::state`] gave.
    ///
    /// # Errors
    /// [`TrainerError::Tensors`] when names, shapes or types differ; the state is then as it was.
    pub fn restore(&mut self, path: &std::path::Path, state: &[Named]) -> Result<(), TrainerError> {
        let targets = self.state()?;
        tensor_io::copy_into(path, state, &targets)?;
        self.steps = i64::try_from(&targets[0].1.f_view(-1)?.f_get(0)?)?.max(0) as u64;
        Ok(())
    }
}

/// The same tensors under the same names: libtorch's handles are counted references.
pub(crate) fn copy_handles(params: &[Named]) -> Vec<Named> {
    params.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use std::path::Path;

    fn parameter(values: &[f64]) -> Vec<Named> {
        vec![("w".to_owned(), Tensor::from_slice(values).set_requires_grad(true))]
    }

    fn descend(params: &[Named], adam: &mut Adam, steps: usize, config: &TrainConfig) {
        for _ in 0..steps {
            adam.zero_grad().unwrap();
            // Loss (w - 3)^2 summed.
            (&params[0].1 - 3.0).square().sum(tch::Kind::Double).backward();
            adam.step(0.1, config).unwrap();
        }
    }

    /// Against the paper's Algorithm 1 written out in scalars.
    #[test]
    fn follows_the_paper() {
        for weight_decay in [0.0, 0.3] {
            let config = TrainConfig { weight_decay, ..example() };
            let params = parameter(&[1.0]);
            descend(&params, &mut Adam::new(&params).unwrap(), 7, &config);
            let (mut w, mut m, mut v) = (1.0_f64, 0.0, 0.0);
            for t in 1..=7 {
                let g = 2.0 * (w - 3.0);
                w *= 1.0 - 0.1 * weight_decay;
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                w -= 0.1 * (m / (1.0 - 0.9_f64.powi(t))) / ((v / (1.0 - 0.999_f64.powi(t))).sqrt() + 1e-8);
            }
            assert!((f64::try_from(&params[0].1.get(0)).unwrap() - w).abs() < 1e-12);
        }
    }

    #[test]
    fn restored_state_continues_as_if_nothing_had_happened() {
        let config = example();
        let whole = parameter(&[1.0, -2.0]);
        descend(&whole, &mut Adam::new(&whole).unwrap(), 9, &config);

        let first = parameter(&[1.0, -2.0]);
        let mut adam = Adam::new(&first).unwrap();
        descend(&first, &mut adam, 4, &config);
        let second = vec![("w".to_owned(), first[0].1.detach().copy().set_requires_grad(true))];
        let mut restored = Adam::new(&second).unwrap();
        restored.restore(Path::new("x"), &adam.state().unwrap()).unwrap();
        descend(&second, &mut restored, 5, &config);
        assert_eq!(whole[0].1, second[0].1);

        let other = vec![("u".to_owned(), Tensor::from_slice(&[1.0, 2.0]))];
        assert!(Adam::new(&other).unwrap().restore(Path::new("x"), &adam.state().unwrap()).is_err());
    }
}
