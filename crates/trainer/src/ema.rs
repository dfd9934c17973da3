//! The exponential moving average of the weights, which is what samples are drawn with (Ho et al. 2020,
//! App. B: decay 0.9999).

use tch::{Tensor, no_grad_guard};
use tensor_io::Named;

use crate::adam::copy_handles;
use crate::error::TrainerError;
use config::TrainConfig;

/// The average and what it averages.
pub struct Ema {
    params: Vec<Named>,
    average: Vec<Named>,
}

impl Ema {
    /// Starts at the parameters as they are.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    pub fn new(params: &[Named]) -> Result<Self, TrainerError> {
        let copy = |(name, p): &Named| Ok((name.clone(), p.f_detach_copy()?));
        let average = params.iter().map(copy).collect::<Result<_, TrainerError>>()?;
        Ok(Self { params: copy_handles(params), average })
    }

    /// The decay of `step` (from 0): with warm-up at most `(1 + step) / (10 + step)`, so that the average
    /// forgets the random start of the network within the first tenth of its life.
    #[must_use]
    pub fn decay_at(config: &TrainConfig, step: u64) -> f64 {
        let rising = (1.0 + step as f64) / (10.0 + step as f64);
        if config.ema_warmup { config.ema_decay.min(rising) } else { config.ema_decay }
    }

    /// `average = decay average + (1 - decay) params`.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn update(&mut self, decay: f64) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        for ((_, average), (_, param)) in self.average.iter_mut().zip(&self.params) {
            let _ = average.f_lerp_(param, 1.0 - decay)?;
        }
        Ok(())
    }

    /// [`Ema::update`] with `1 - decay` as a number `[]` on the parameters' device.
    pub(crate) fn update_ahead(&self, weight: &Tensor) -> Result<(), TrainerError> {
        let pairs = self.average.iter().zip(&self.params).map(|((_, average), (_, param))| [average, param]);
        Ok(torch_ext::listed_average(&pairs.collect::<Vec<_>>(), weight)?)
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
        /// The average stays between its old value and the parameter, at the closed form's place.
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
