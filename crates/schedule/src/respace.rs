//! A shorter chain through some of the steps of a longer one (Nichol & Dhariwal 2021, Sec. 4):
//! `beta_i = 1 - alpha_bar_{t_i} / alpha_bar_{t_{i-1}}`, which leaves `q(x_{t_i} | x_0)` unchanged.

use ndarray::Array1;

use crate::{Schedule, ScheduleError};

/// A shorter chain and the times its steps have in the original one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Respaced {
    /// The tables of the shorter chain; its own t runs over `0..timesteps.len()`.
    pub schedule: Schedule,
    /// `timesteps[i]` is the original t of step i, ascending. Pass it to a network trained on the original chain.
    pub timesteps: Vec<usize>,
}

impl Schedule {
    /// The chain through these `timesteps` only (in `0..T`, ascending, each once).
    ///
    /// Its `alpha_bars` are exactly the original ones at these times. A step whose predecessor is also kept has its
    /// original beta. The chain may have a single step.
    ///
    /// # Errors
    /// [`ScheduleError::ShortSteps`] for an empty list; [`ScheduleError::Timestep`] for a time outside the
    /// chain; [`ScheduleError::NotAscending`].
    ///
    /// ```
    /// let schedule = schedule::Schedule::ddpm();
    /// let short = schedule.respace(&[99, 499, 999])?;
    /// assert_eq!(short.schedule.alpha_bars()[1], schedule.alpha_bars()[499]);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn respace(&self, timesteps: &[usize]) -> Result<Respaced, ScheduleError> {
        check_timesteps(timesteps, self.steps())?;
        // The step before the first kept one is the data, with alpha_bar = 1.
        let kept = |i: usize| if i == 0 { 1.0 } else { self.alpha_bars()[timesteps[i - 1]] };
        let mut betas = Array1::zeros(timesteps.len());
        let mut alphas = Array1::zeros(timesteps.len());
        for (i, &t) in timesteps.iter().enumerate() {
            let next_to_previous = if i == 0 { t == 0 } else { timesteps[i - 1] + 1 == t };
            if next_to_previous {
                // Copied, to avoid the rounding of a division.
                (betas[i], alphas[i]) = (self.betas()[t], self.alphas()[t]);
            } else {
                alphas[i] = self.alpha_bars()[t] / kept(i);
                betas[i] = 1.0 - alphas[i];
            }
        }
        let alpha_bars = timesteps.iter().map(|&t| self.alpha_bars()[t]).collect();
        let schedule = Self::assemble(betas, alphas, alpha_bars)?;
        Ok(Respaced { schedule, timesteps: timesteps.to_vec() })
    }
}

fn check_timesteps(timesteps: &[usize], steps: usize) -> Result<(), ScheduleError> {
    if timesteps.is_empty() {
        return Err(ScheduleError::ShortSteps { train_steps: steps, got: 0 });
    }
    if let Some(&got) = timesteps.iter().find(|&&t| t >= steps) {
        return Err(ScheduleError::Timestep { steps, got });
    }
    match timesteps.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(before) => Err(ScheduleError::NotAscending {
            position: before + 1,
            previous: timesteps[before],
            got: timesteps[before + 1],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BetaSchedule;
    use proptest::prelude::*;

    #[test]
    fn the_whole_chain_is_itself() {
        for name in BetaSchedule::NAMES {
            let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
            let all: Vec<usize> = (0..1000).collect();
            let whole = schedule.respace(&all).unwrap();
            assert_eq!((whole.schedule, whole.timesteps), (schedule, all));
        }
    }

    #[test]
    fn one_step_goes_from_noise_to_data() {
        let schedule = Schedule::ddpm();
        let one = schedule.respace(&[999]).unwrap().schedule;
        assert_eq!(one.steps(), 1);
        assert_eq!(one.betas()[0], 1.0 - schedule.alpha_bars()[999]);
        assert_eq!(one.posterior_variance()[0], 0.0);
        assert!(one.posterior_log_variance_clipped()[0].is_finite());
    }

    #[test]
    fn wrong_timesteps_are_refused() {
        use ScheduleError::{NotAscending, ShortSteps, Timestep};
        let schedule = Schedule::ddpm();
        assert_eq!(schedule.respace(&[]), Err(ShortSteps { train_steps: 1000, got: 0 }));
        assert_eq!(schedule.respace(&[0, 1000]), Err(Timestep { steps: 1000, got: 1000 }));
        let twice = NotAscending { position: 2, previous: 5, got: 5 };
        assert_eq!(schedule.respace(&[0, 5, 5]), Err(twice));
        let falling = NotAscending { position: 1, previous: 9, got: 3 };
        assert_eq!(falling.to_string(), "timesteps must ascend: 3 at position 1 follows 9");
        assert_eq!(schedule.respace(&[9, 3]), Err(falling));
    }

    proptest! {
        /// Any subset: the kept alpha_bars are the original ones, bit for bit; the betas multiply up to them; and
        /// respacing in two stages equals respacing at once.
        #[test]
        fn kept_steps_keep_their_alpha_bar(mask in proptest::collection::vec(any::<bool>(), 200)) {
            let schedule = Schedule::new(&BetaSchedule::from_name("cosine").unwrap(), 200).unwrap();
            let kept: Vec<usize> = (0..200).filter(|&t| mask[t]).collect();
            prop_assume!(kept.len() >= 2);
            let Respaced { schedule: short, timesteps } = schedule.respace(&kept).unwrap();
            prop_assert_eq!(&timesteps, &kept);
            let mut product = 1.0;
            for (i, &t) in kept.iter().enumerate() {
                prop_assert_eq!(short.alpha_bars()[i], schedule.alpha_bars()[t]);
                product *= 1.0 - short.betas()[i];
                // 1 - beta at beta = 0.999 is accurate to 1e-13.
                prop_assert!((product / short.alpha_bars()[i] - 1.0).abs() < 1e-11);
            }
            let every_other: Vec<usize> = (0..kept.len()).step_by(2).collect();
            let twice = short.respace(&every_other).unwrap().schedule;
            let once: Vec<usize> = every_other.iter().map(|&i| kept[i]).collect();
            let once = schedule.respace(&once).unwrap().schedule;
            prop_assert_eq!(twice.alpha_bars(), once.alpha_bars());
        }
    }
}
