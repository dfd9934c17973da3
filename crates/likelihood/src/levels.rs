//! The noise levels that a likelihood is computed on.

use schedule::{Level, MAX_STEPS, NoisePath, Posterior, Spacing, timesteps};

use crate::error::LikelihoodError;

/// Levels above this `sigma / alpha` gain nothing: 0.004 % of the variance of `x_t` is signal. Paths without steps,
/// and every flow, end there. The paper's chain ends at 157.
const FARTHEST: f64 = 160.0;
const LOWEST: &str = "the lowest sigma / alpha";

/// Levels from the least noise to the most. For [`crate::bound`] they are the states `x_1 .. x_T` of a chain, for [`crate::ode`]
/// the points where the flow is evaluated.
///
/// ```
/// use likelihood::Levels;
/// use schedule::Schedule;
/// let chain = Levels::chain(&Schedule::ddpm(), None)?;
/// assert_eq!((chain.len(), chain.get(0).t, chain.get(999).t), (1000, 0.0, 999.0));
/// # Ok::<(), likelihood::LikelihoodError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    levels: Vec<Level>,
    /// Whether the network was trained on whole t only.
    pub(crate) discrete: bool,
    /// Posterior variance of the step to the first level. It replaces that of the step from there, which is 0.
    pub(crate) second: f64,
    /// Variance of the step from the first level to the grey levels, if it is fixed.
    decoder: f64,
}

impl Levels {
    /// The states of a chain, for [`crate::bound`].
    ///
    /// On a chain of betas: all T of them, or `steps` of them spread evenly from the first to the last (Nichol &
    /// Dhariwal 2021, Sec. 4). On a path without steps: [`Levels::even`] from its own first level, T of them by
    /// default.
    ///
    /// # Errors
    /// [`LikelihoodError::Count`] for fewer than 2 steps, or more than a chain of betas has; [`LikelihoodError::Schedule`].
    pub fn chain(path: &dyn NoisePath, steps: Option<usize>) -> Result<Self, LikelihoodError> {
        let count = steps.unwrap_or(path.steps());
        if !path.is_discrete() {
            return Self::even(path, count, None);
        }
        let kept = timesteps(Spacing::Linspace, path.steps(), checked("steps", count, 2, path.steps())?)?;
        let levels = kept.into_iter().map(|t| path.level_at(t as f64)).collect::<Result<_, _>>()?;
        Self::new(path, levels)
    }

    /// The points of a flow of `steps` steps, for [`crate::ode`]: [`Levels::even`] with one point more than steps.
    ///
    /// # Errors
    /// [`LikelihoodError::Count`] for fewer than 2 steps, or as many as a chain has levels; [`LikelihoodError::Schedule`].
    pub fn flow(path: &dyn NoisePath, steps: usize) -> Result<Self, LikelihoodError> {
        Self::even(path, checked("steps", steps, 2, most(path) - 1)? + 1, None)
    }

    /// Levels spaced evenly in `ln(sigma / alpha)`, from a ratio `lowest` (`None`: that of the path's t = 0) to the
    /// path's last one, at most 160.
    ///
    /// On a chain of betas they are the nearest of its own levels, because its network was trained on no others.
    /// Where these are farther apart, each is taken once, so that there are fewer than requested.
    ///
    /// # Errors
    /// [`LikelihoodError::Count`] for fewer than 2, or more than a chain has; [`LikelihoodError::Value`] for a ratio that is not
    /// above 0 and below the last one; [`LikelihoodError::Schedule`].
    pub fn even(path: &dyn NoisePath, count: usize, lowest: Option<f64>) -> Result<Self, LikelihoodError> {
        let count = checked("levels", count, 2, most(path))?;
        let first = match lowest {
            Some(ratio) if ratio > 0.0 => path.level_of_ratio(ratio)?,
            Some(got) => {
                return Err(LikelihoodError::Value { what: LOWEST, got, expected: "a number above 0" });
            }
            None => path.level_at(0.0)?,
        };
        let last = path.noisiest()?;
        let last = if last.ratio() > FARTHEST { path.level_of_ratio(FARTHEST)? } else { last };
        if first.ratio() >= last.ratio() {
            let expected = "a number below that of the path's last level and 160";
            return Err(LikelihoodError::Value { what: LOWEST, got: first.ratio(), expected });
        }
        let (low, high) = (first.ratio().ln(), last.ratio().ln());
        let gap = (high - low) / (count - 1) as f64;
        let between = (1..count - 1).map(|i| path.level_of_ratio((low + gap * i as f64).exp()));
        let levels =
            std::iter::once(Ok(first)).chain(between).chain([Ok(last)]).collect::<Result<Vec<_>, _>>()?;
        if !path.is_discrete() {
            return Self::new(path, levels);
        }
        let mut times: Vec<f64> = levels.iter().map(|level| level.t.round()).collect();
        times.dedup();
        let whole = Self::new(path, times.iter().map(|&t| path.level_at(t)).collect::<Result<_, _>>()?)?;
        // The step above the first level is that of the chain itself, as in training, however far away the second
        // level is.
        let second = Posterior::between(&path.level_at(times[0] + 1.0)?, &whole.levels[0]).variance;
        Ok(Self { second, decoder: second, ..whole })
    }

    /// The caller's own levels on a path, the least noisy first, at least 2.
    ///
    /// # Errors
    /// [`LikelihoodError::Levels`] for values that are not numbers, for a level without noise, and where the noise does not
    /// rise; [`LikelihoodError::Count`] for fewer than 2.
    pub fn new(path: &dyn NoisePath, levels: Vec<Level>) -> Result<Self, LikelihoodError> {
        let bad = |position: usize, reason: &'static str| Err(LikelihoodError::Levels { position, reason });
        for (i, level) in levels.iter().enumerate() {
            let in_range = (0.0..=1.0).contains(&level.alpha) && level.sigma > 0.0 && level.sigma.is_finite();
            if !(level.t.is_finite() && in_range) {
                return bad(i, "t, alpha and sigma must be numbers, alpha in [0, 1] and sigma above 0");
            }
        }
        if let Some(i) = levels.windows(2).position(|pair| pair[0].ratio() >= pair[1].ratio()) {
            return bad(i + 1, "sigma / alpha must rise from level to level");
        }
        let [first, second, ..] = levels[..] else {
            let (least, most) = (2, MAX_STEPS);
            return Err(LikelihoodError::Count { what: "levels", got: levels.len(), least, most });
        };
        let discrete = path.is_discrete();
        let second = Posterior::between(&second, &first).variance;
        let decoder = if discrete { second } else { first.ratio().powi(2) };
        Ok(Self { levels, discrete, second, decoder })
    }

    /// The same levels with another variance of the last step, for fixed reverse variances. On a chain of betas the
    /// default is the posterior variance of the second step, for either fixed variance, as in the code of Ho et al.
    /// 2020. On other paths it is `(sigma / alpha)^2` of the first level.
    ///
    /// # Errors
    /// [`LikelihoodError::Value`] unless it is above 0 and finite.
    pub fn with_decoder_variance(self, variance: f64) -> Result<Self, LikelihoodError> {
        if variance > 0.0 && variance.is_finite() {
            Ok(Self { decoder: variance, ..self })
        } else {
            let (what, expected) = ("the variance of the last step", "a number above 0");
            Err(LikelihoodError::Value { what, got: variance, expected })
        }
    }

    /// The variance of the last step, if it is fixed.
    #[must_use]
    pub fn decoder_variance(&self) -> f64 {
        self.decoder
    }

    /// The number of levels, at least 2.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Level i, the least noisy first.
    ///
    /// # Panics
    /// Beyond the last.
    #[must_use]
    pub fn get(&self, i: usize) -> Level {
        self.levels[i]
    }

    /// The noisiest.
    pub(crate) fn last(&self) -> Level {
        self.levels[self.levels.len() - 1]
    }

    /// Every other level, and the last.
    pub(crate) fn coarser(&self) -> Self {
        let last = self.levels.len() - 1;
        let kept = (0..=last).filter(|i| i % 2 == 0 || *i == last).map(|i| self.levels[i]).collect();
        Self { levels: kept, ..*self }
    }
}

/// The largest number of levels.
fn most(path: &dyn NoisePath) -> usize {
    if path.is_discrete() { path.steps() } else { MAX_STEPS }
}

fn checked(what: &'static str, got: usize, least: usize, most: usize) -> Result<usize, LikelihoodError> {
    if (least..=most).contains(&got) {
        Ok(got)
    } else {
        Err(LikelihoodError::Count { what, got, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schedule::{BetaSchedule, Continuous, ContinuousPath, Schedule};

    fn paths() -> Vec<Box<dyn NoisePath>> {
        let cosine = Schedule::new(&BetaSchedule::from_name("cosine").unwrap(), 1000).unwrap();
        let mut paths: Vec<Box<dyn NoisePath>> = vec![
            Box::new(Schedule::ddpm()),
            Box::new(Schedule::ddpm().with_zero_terminal_snr().unwrap()),
            Box::new(cosine),
        ];
        for name in Continuous::NAMES {
            paths.push(Box::new(ContinuousPath::new(name.parse().unwrap(), 1000).unwrap()));
        }
        paths
    }

    #[test]
    fn chains_are_whole_or_evenly_thinned() {
        let chain = Levels::chain(&Schedule::ddpm(), Some(4)).unwrap();
        assert_eq!([0, 1, 2, 3].map(|i| chain.get(i).t), [0.0, 333.0, 666.0, 999.0]);
        let whole = Levels::chain(&Schedule::ddpm(), None).unwrap();
        assert_eq!(whole.len(), 1000);
        assert!((whole.decoder_variance() / Schedule::ddpm().posterior_variance()[1] - 1.0).abs() < 1e-10);
        let edm = Levels::chain(&*paths()[4], None).unwrap();
        assert_eq!((edm.len(), edm.get(0).sigma, edm.last().sigma), (1000, 0.002, 80.0));
        assert!((edm.decoder_variance() - 0.002_f64.powi(2)).abs() < 1e-20);
        let higher = Levels::even(&*paths()[4], 50, Some(0.01)).unwrap();
        assert!(
            (higher.len(), higher.last().sigma) == (50, 80.0) && (higher.get(0).sigma - 0.01).abs() < 1e-12
        );
        let whole = Levels::even(&Schedule::ddpm(), 50, Some(0.05)).unwrap();
        assert_eq!(whole.get(0), Schedule::ddpm().level_at(11.0).unwrap());
        assert!((whole.get(0).ratio() - 0.05).abs() < 1e-3, "{:?}", whole.get(0));
    }

    #[test]
    fn levels_end_where_no_signal_is_left() {
        for path in paths() {
            let flow = Levels::flow(&*path, 100).unwrap();
            assert!(if path.is_discrete() { (80..=101).contains(&flow.len()) } else { flow.len() == 101 });
            assert_eq!(flow.get(0), path.level_at(0.0).unwrap());
            let wanted = path.noisiest().unwrap().ratio().min(FARTHEST);
            assert!((flow.last().ratio() / wanted).ln().abs() < 0.2, "{path:?}: {:?}", flow.last());
            assert!(!path.is_discrete() || (0..flow.len()).all(|i| flow.get(i).t.fract() == 0.0));
            // The bound of a chain of betas uses all of it, even where no signal is left.
            assert!(!path.is_discrete() || Levels::chain(&*path, None).unwrap().last().t == 999.0);
        }
    }

    #[test]
    fn wrong_levels_are_refused() {
        use LikelihoodError::{Count, Value};
        let (chain, edm) = (Schedule::ddpm(), &paths()[4]);
        for got in [0, 1, 1001] {
            assert!(
                matches!(Levels::chain(&chain, Some(got)), Err(Count { got: g, most: 1000, .. }) if g == got)
            );
        }
        for got in [0, 1, 1000, usize::MAX] {
            assert!(
                matches!(Levels::flow(&chain, got), Err(Count { got: g, least: 2, most: 999, .. }) if g == got)
            );
        }
        assert!(Levels::flow(&chain, 999).is_ok() && Levels::chain(&**edm, Some(5000)).is_ok());
        assert!(Levels::chain(&**edm, Some(MAX_STEPS + 1)).is_err());
        assert!(matches!(Levels::even(&**edm, 9, Some(81.0)), Err(Value { .. })));
        let at = |t| chain.level_at(t).unwrap();
        let wrong = |levels: Vec<Level>, at: usize| {
            let error = Levels::new(&chain, levels).unwrap_err();
            assert!(matches!(error, LikelihoodError::Levels { position, .. } if position == at), "{error}");
        };
        wrong(vec![at(5.0), at(5.0)], 1);
        wrong(vec![at(5.0), at(7.0), at(6.0)], 2);
        wrong(vec![Level::DATA, at(5.0)], 0);
        wrong(vec![at(5.0), Level { t: f64::NAN, ..at(6.0) }], 1);
        wrong(vec![at(5.0), Level { alpha: -0.1, ..at(6.0) }], 1);
        wrong(vec![at(5.0), Level { sigma: f64::INFINITY, ..at(6.0) }], 1);
        assert!(matches!(Levels::new(&chain, vec![at(5.0)]), Err(Count { got: 1, .. })));
        assert!(matches!(Levels::new(&chain, Vec::new()), Err(Count { got: 0, .. })));
        for got in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let levels = Levels::chain(&chain, None).unwrap();
            assert!(matches!(levels.with_decoder_variance(got), Err(Value { .. })), "{got}");
            assert!(
                got.is_infinite() || matches!(Levels::even(&chain, 9, Some(got)), Err(Value { .. })),
                "{got}"
            );
        }
    }

    #[test]
    fn coarser_levels_keep_both_ends() {
        let chain = Schedule::ddpm();
        for (steps, want) in [(4, 2), (5, 3), (2, 1)] {
            let (fine, coarse) =
                (Levels::flow(&chain, steps).unwrap(), Levels::flow(&chain, steps).unwrap().coarser());
            assert_eq!(coarse.len(), want + 1);
            assert_eq!((coarse.get(0), coarse.last()), (fine.get(0), fine.last()));
        }
    }

    proptest! {
        #[test]
        fn any_number_of_steps_rises(steps in 2_usize..=999) {
            for path in paths() {
                let flow = Levels::flow(&*path, steps).unwrap();
                let count = 3..=steps + 1;
                prop_assert!(count.contains(&flow.len()) && flow.last().alpha > 0.0, "{:?}", flow.last());
            }
        }
    }
}
