//! The exponential moving average of the weights, which is used for sampling (Ho et al. 2020, App. B: decay 0.9999).

use std::collections::HashSet;

use tch::{Tensor, no_grad_guard};
use tensor_io::Named;

use crate::error::TrainerError;
use config::TrainConfig;

/// The average and the parameters it follows.
pub struct Ema {
    /// Average and parameter, for the parameters that are trained.
    pairs: Vec<[Tensor; 2]>,
    average: Vec<Named>,
}

impl Ema {
    /// Starts as a copy of the parameters.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(params: &[Named]) -> Result<Self, TrainerError> {
        let copy = |(name, p): &Named| Ok((name.clone(), p.f_detach_copy()?));
        let average = params.iter().map(copy).collect::<Result<Vec<_>, TrainerError>>()?;
        let pair = |((_, average), (_, param)): (&Named, &Named)| [average, param].map(Tensor::shallow_clone);
        Ok(Self { pairs: average.iter().zip(params).map(pair).collect(), average })
    }

    /// The same average, but with the tensors of these parameters never updated: even an update without a change turns
    /// -0 into 0.
    pub(crate) fn without(mut self, frozen: &[Named]) -> Self {
        let frozen: HashSet<&str> = frozen.iter().map(|(name, _)| name.as_str()).collect();
        let mut names = self.average.iter();
        self.pairs.retain(|_| names.next().is_some_and(|(name, _)| !frozen.contains(name.as_str())));
        self
    }

    /// The decay at `step` (from 0). With warm-up it is at most `(1 + step) / (10 + step)`, so after `n` steps the
    /// weight of the random start is at most `9! n! / (n + 9)!`: 1e-5 after 10 steps.
    #[must_use]
    pub fn decay_at(config: &TrainConfig, step: u64) -> f64 {
        let rising = (1.0 + step as f64) / (10.0 + step as f64);
        if config.ema_warmup { config.ema_decay.min(rising) } else { config.ema_decay }
    }

    /// `average = decay average + (1 - decay) params`.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn update(&mut self, decay: f64) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        for [average, param] in &mut self.pairs {
            let _ = average.f_lerp_(param, 1.0 - decay)?;
        }
        Ok(())
    }

    /// [`Ema::update`] with `1 - decay` as a tensor `[]` on the parameters' device.
    pub(crate) fn update_ahead(&self, weight: &Tensor) -> Result<(), TrainerError> {
        let pairs: Vec<[&Tensor; 2]> = self.pairs.iter().map(|[average, param]| [average, param]).collect();
        Ok(torch_ext::listed_average(&pairs, weight)?)
    }

    /// The averaged weights, under the parameters' names.
    pub fn weights(&self) -> &[Named] {
        &self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use proptest::prelude::*;

    fn value(named: &[Named]) -> f64 {
        f64::try_from(&named[0].1.get(0)).unwrap()
    }

    #[test]
    fn decay_warms_up_to_its_value() {
        let config = TrainConfig { ema_decay: 0.99, ..example() };
        assert!((Ema::decay_at(&config, 0) - 0.1).abs() < 1e-12);
        assert!((Ema::decay_at(&config, 90) - 0.91).abs() < 1e-12);
        assert_eq!(Ema::decay_at(&config, 1_000_000), 0.99);
        assert_eq!(Ema::decay_at(&TrainConfig { ema_warmup: false, ..config }, 0), 0.99);
    }

    proptest! {
        /// The average stays between its old value and the parameter, as in the closed form.
        #[test]
        fn stays_between_its_inputs(start in -10.0..10.0_f64, end in -10.0..10.0_f64, decay in 0.0..1.0_f64) {
            let params = vec![("w".to_owned(), Tensor::from_slice(&[start]))];
            let mut ema = Ema::new(&params).unwrap();
            let _ = params[0].1.shallow_clone().fill_(end);
            prop_assert_eq!(value(ema.weights()), start);
            for n in 1..4 {
                ema.update(decay).unwrap();
                let want = end + decay.powi(n) * (start - end);
                prop_assert!((value(ema.weights()) - want).abs() < 1e-9);
            }
        }
    }
}
