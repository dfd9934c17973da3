//! Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019) and accessible state, and Muon for matrices
//! on request. tch's optimiser can neither save nor restore its state, and without it a resumed run takes another course.

mod divided;
mod state;

use tch::{Device, Kind, Tensor, no_grad_guard};
use tensor_io::Named;
use torch_ext::{AdamStep, ListedAdam};

use crate::error::TrainerError;
use crate::muon;
use config::{Optimizer, TrainConfig};
use divided::Part;
pub(crate) use state::targets_in;

/// The optimiser's state for a list of parameters.
pub struct Adam {
    params: Vec<Named>,
    optimizer: Optimizer,
    /// Moving averages of the gradient and of its square, in the order of the parameters that are updated here. There are none
    /// before [`Adam::prepare`]. Muon does not use the second, which is empty then.
    moments: Vec<[Tensor; 2]>,
    /// Set if other ranks update the other parameters.
    part: Option<Part>,
    steps: u64,
    /// The step count as a tensor `[1]` on the parameters' device, for updates that do not wait for the host.
    counter: Tensor,
}

impl Adam {
    /// Starts with no steps taken. With [`Optimizer::Muon`], Muon updates the matrices.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(params: &[Named], optimizer: Optimizer) -> Result<Self, TrainerError> {
        let device = params.first().map_or(Device::Cpu, |(_, param)| param.device());
        let counter = Tensor::f_zeros([1], (Kind::Float, device))?;
        let params = copy_handles(params);
        Ok(Self { params, optimizer, moments: Vec::new(), part: None, steps: 0, counter })
    }

    /// Allocates the moments. [`Adam::step`] does so too; done before the gradients are computed, the first step takes as much
    /// memory as the later ones. It is not part of [`Adam::new`], because a divided state needs less.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub(crate) fn prepare(&mut self) -> Result<(), TrainerError> {
        if self.moments.is_empty() {
            self.moments = zeros(self.own(), self.optimizer)?;
        }
        Ok(())
    }

    /// One update from the parameters' gradients times `gradient_scale`. A parameter without a gradient is left as it
    /// is.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn step(&mut self, lr: f64, gradient_scale: f64, config: &TrainConfig) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        self.prepare()?;
        self.steps += 1;
        let (beta1, beta2) = (config.beta1, config.beta2);
        let exponent = self.steps.min(i32::MAX as u64) as i32;
        let step = AdamStep {
            keep: 1.0 - lr * config.weight_decay,
            gradient_scale,
            beta1,
            beta2,
            // Bias correction: the moments start at 0.
            step_size: lr / (1.0 - beta1.powi(exponent)),
            second_scale: 1.0 / (1.0 - beta2.powi(exponent)).sqrt(),
            eps: config.adam_eps,
        };
        let own = Part::of(self.part.as_ref(), &self.params);
        for (named, [m, v]) in own.iter().zip(&mut self.moments) {
            let (_, param) = named;
            let gradient = param.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            if by_muon(self.optimizer, named) {
                muon::step(param, &gradient.f_mul_scalar(gradient_scale)?, m, (lr, step.keep))?;
            } else if torch_ext::adam_step_takes([param, &gradient, m, v]) {
                torch_ext::adam_step(param, &gradient, (m, v), &step)?;
            } else {
                update(param, &gradient, (m, v), &step)?;
            }
        }
        let _ = self.counter.f_fill_(self.steps as f64)?;
        Ok(())
    }

    /// [`Adam::step`] with its settings as tensors on the parameters' device: `lr` is `[]`, gradients are divided by
    /// `divisor` `[1]`, and `kept` `[1]` is 1, or 0 to change nothing. [`Adam::took`] informs the host later. f32 only.
    pub(crate) fn step_ahead(
        &self,
        lr: &Tensor,
        (divisor, kept): (&Tensor, &Tensor),
        config: &TrainConfig,
    ) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        let _ = self.counter.shallow_clone().f_add_(kept)?;
        let skipped = kept.f_neg()?.f_add_scalar_(1.0)?;
        let numbers = ListedAdam {
            beta1: config.beta1,
            beta2: config.beta2,
            weight_decay: config.weight_decay,
            eps: config.adam_eps,
        };
        let own = self.own();
        let gradients = own.iter().map(|(_, param)| param.f_grad()).collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<[&Tensor; 4]> = Vec::with_capacity(own.len());
        for (named, (gradient, [m, v])) in own.iter().zip(gradients.iter().zip(&self.moments)) {
            if !gradient.defined() {
                continue;
            }
            if by_muon(self.optimizer, named) {
                muon::step_ahead(&named.1, gradient, m, (lr, divisor, kept), config.weight_decay)?;
            } else {
                rows.push([&named.1, gradient, m, v]);
            }
        }
        Ok(torch_ext::listed_adam(&rows, &self.counter, lr, (divisor, &skipped), &numbers)?)
    }

    /// Counts an update of [`Adam::step_ahead`] that took place.
    pub(crate) fn took(&mut self) {
        self.steps += 1;
    }

    /// Clears the gradients before the next backward pass.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn forget_gradients(&self) -> Result<(), TrainerError> {
        Ok(self.params.iter().try_for_each(|(_, param)| torch_ext::forget_gradient(param))?)
    }

    /// The parameters that are updated here.
    fn own(&self) -> &[Named] {
        Part::of(self.part.as_ref(), &self.params)
    }
}

fn by_muon(optimizer: Optimizer, param: &Named) -> bool {
    optimizer == Optimizer::Muon && muon::takes(param)
}

/// Two moments of each parameter, the second empty if Muon updates it.
fn zeros(params: &[Named], optimizer: Optimizer) -> Result<Vec<[Tensor; 2]>, TrainerError> {
    let moments = |named: &Named| {
        let param = &named.1;
        let second = match by_muon(optimizer, named) {
            true => Tensor::f_zeros([0], (param.f_kind()?, param.device()))?,
            false => param.f_zeros_like()?,
        };
        Ok([param.f_zeros_like()?, second])
    };
    params.iter().map(moments).collect()
}

/// The same as [`torch_ext::adam_step`], with libtorch's operations, for devices that it does not support.
fn update(
    param: &Tensor,
    gradient: &Tensor,
    (m, v): (&mut Tensor, &mut Tensor),
    step: &AdamStep,
) -> Result<(), TrainerError> {
    let mut param = param.shallow_clone();
    if step.keep != 1.0 {
        let _ = param.f_mul_scalar_(step.keep)?;
    }
    let gradient = gradient.f_mul_scalar(step.gradient_scale)?;
    let _ = m.f_lerp_(&gradient, 1.0 - step.beta1)?;
    let square = gradient.f_mul(&gradient)?.f_mul_scalar_(1.0 - step.beta2)?;
    let _ = v.f_mul_scalar_(step.beta2)?.f_add_(&square)?;
    let denominator = v.f_sqrt()?.f_mul_scalar_(step.second_scale)?.f_add_scalar_(step.eps)?;
    let _ = param.f_sub_(&m.f_div(&denominator)?.f_mul_scalar_(step.step_size)?)?;
    Ok(())
}

/// The same tensors under the same names: libtorch's handles are reference-counted.
pub(crate) fn copy_handles(params: &[Named]) -> Vec<Named> {
    params.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    pub(super) fn parameter(values: &[f64]) -> Vec<Named> {
        vec![("w".to_owned(), Tensor::from_slice(values).set_requires_grad(true))]
    }

    pub(super) fn new(params: &[Named]) -> Adam {
        Adam::new(params, Optimizer::Adam).unwrap()
    }

    pub(super) fn descend(params: &[Named], adam: &mut Adam, steps: usize, config: &TrainConfig) {
        for _ in 0..steps {
            adam.forget_gradients().unwrap();
            // The loss is the sum of (w - 3)^2.
            (&params[0].1 - 3.0).square().sum(tch::Kind::Double).backward();
            adam.step(0.1, 1.0, config).unwrap();
        }
    }

    /// Compares with Algorithm 1 of the paper, written out in scalars.
    #[test]
    fn follows_the_paper() {
        for weight_decay in [0.0, 0.3] {
            let config = TrainConfig { weight_decay, ..example() };
            let params = parameter(&[1.0]);
            descend(&params, &mut new(&params), 7, &config);
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

    /// Both implementations give the same numbers; a tensor with gaps takes the second.
    #[test]
    fn libtorchs_operations_give_the_same() {
        let config = TrainConfig { weight_decay: 0.3, ..example() };
        let dense = parameter(&[1.0, -2.0, 0.5]);
        let wide = Tensor::from_slice(&[1.0, 9.0, -2.0, 9.0, 0.5, 9.0]).view([3, 2]);
        let gaps = vec![("w".to_owned(), wide.select(1, 0).set_requires_grad(true))];
        let (mut a, mut b) = (new(&dense), new(&gaps));
        descend(&dense, &mut a, 5, &config);
        descend(&gaps, &mut b, 5, &config);
        let gradient = gaps[0].1.grad();
        assert!(!torch_ext::adam_step_takes([&gaps[0].1, &gradient, &b.moments[0][0], &b.moments[0][1]]));
        assert!(f64::try_from((&dense[0].1 - &gaps[0].1).abs().max()).unwrap() < 1e-14);
    }
}
