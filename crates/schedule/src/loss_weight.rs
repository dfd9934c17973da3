//! How much the loss of a noise level counts in training.

use crate::names::named;
use crate::{Level, Prediction};

/// The weight of a level as a factor on `|eps - eps_theta|^2`: a function of its signal-to-noise ratio
/// `SNR = alpha^2 / sigma^2`.
///
/// The squared error of `x_0` is that of eps divided by SNR, and so on, so a weight means the same for every network
/// output. The exception is [`LossWeight::Output`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum LossWeight {
    /// 1: L_simple (Ho et al. 2020, Eq. 14).
    #[default]
    Simple,
    /// `min(SNR, 5) / SNR`: the squared error of `x_0`, times SNR up to 5 (Min-SNR-gamma, Hang et al. 2023, Sec.
    /// 3.4). It limits the weight of levels with little noise, which would otherwise have the largest.
    MinSnr,
    /// `1 / (1 + SNR)` (P2, Choi et al. 2022, Eq. 8 with k = 1 and gamma = 1): more weight on levels with much noise.
    P2,
    /// The squared error of the network's output itself: for v the loss of Salimans & Ho 2022 (SNR + 1 times that of
    /// `x_0`), for F the loss of Karras et al. 2022, for the velocity that of flow matching. Levels without signal
    /// count as well, where the error of eps says nothing.
    Output,
    /// `(1 / SNR + sigma_data^2) / sigma_data^2`: lambda of Karras et al. 2022, Table 1, which gives the loss of
    /// their F the same weight at all levels.
    Edm {
        /// Deviation of the data, above 0.
        sigma_data: f64,
    },
}

named!(LossWeight, "loss weight": "simple" => Simple, "min-snr" => MinSnr, "p2" => P2, "output" => Output,
    "edm" => Edm { sigma_data: 0.5 });

/// gamma of Min-SNR, as its authors recommend.
const MIN_SNR_GAMMA: f64 = 5.0;

impl LossWeight {
    /// The weight of the squared error of an output at a level with some noise. It is 0 or more, and finite where the
    /// output says something about `x_0`.
    ///
    /// ```
    /// use schedule::{LossWeight, Prediction, Schedule};
    /// let schedule = Schedule::ddpm();
    /// // SNR is 4.04e-5 at the last step, and 9999 at the first.
    /// assert_eq!(LossWeight::MinSnr.of(Prediction::Eps, &schedule.level_at(999.0)?), 1.0);
    /// let first = LossWeight::MinSnr.of(Prediction::Eps, &schedule.level_at(0.0)?);
    /// assert!((first - 5.0 / 9999.0).abs() < 1e-9);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn of(self, prediction: Prediction, level: &Level) -> f64 {
        match (self, prediction) {
            (Self::Output, _) => 1.0,
            (_, Prediction::Eps) => self.of_eps(level),
            _ => self.of_v(level) * prediction.error_in_v(level).powi(2),
        }
    }

    fn of_eps(self, level: &Level) -> f64 {
        let snr = level.ratio().powi(-2);
        match self {
            Self::Simple | Self::Output => 1.0,
            Self::MinSnr => (MIN_SNR_GAMMA / snr).min(1.0),
            Self::P2 => 1.0 / (1.0 + snr),
            Self::Edm { sigma_data } => 1.0 + (snr * sigma_data * sigma_data).recip(),
        }
    }

    /// The weight for v: `alpha^2 / (alpha^2 + sigma^2)` times that for eps. Without signal the factor is 0 and the
    /// weight for eps may be infinite, so the product is written out.
    fn of_v(self, level: &Level) -> f64 {
        let (signal, noise) = (level.alpha.powi(2), level.sigma.powi(2));
        let power = signal + noise;
        match self {
            Self::Output => 1.0,
            Self::Simple => signal / power,
            Self::MinSnr => signal.min(MIN_SNR_GAMMA * noise) / power,
            Self::P2 => signal * noise / power.powi(2),
            Self::Edm { sigma_data } => (signal + noise / sigma_data.powi(2)) / power,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;

    /// The weights as the papers give them, for the error of the network's output.
    #[test]
    fn weights_are_those_of_the_papers_for_every_output() {
        let schedule = Schedule::ddpm();
        for t in [0_u32, 100, 400, 700, 999] {
            let level = schedule.level_at(f64::from(t)).unwrap();
            let snr = schedule.snr()[t as usize];
            for (prediction, simple, min_snr, p2) in [
                (Prediction::Eps, 1.0, snr.min(5.0) / snr, 1.0 / (1.0 + snr)),
                (Prediction::X0, snr, snr.min(5.0), snr / (1.0 + snr)),
                (Prediction::V, snr / (snr + 1.0), snr.min(5.0) / (snr + 1.0), snr / (snr + 1.0).powi(2)),
            ] {
                for (weight, want) in
                    [(LossWeight::Simple, simple), (LossWeight::MinSnr, min_snr), (LossWeight::P2, p2)]
                {
                    let got = weight.of(prediction, &level);
                    assert!(
                        (got / want - 1.0).abs() < 1e-9,
                        "{weight} of {prediction}, t = {t}: {got} is not {want}"
                    );
                }
                assert_eq!(LossWeight::Output.of(prediction, &level), 1.0);
            }
        }
    }

    /// `lambda(sigma) = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2` on the squared error of `x_0` is 1 on that
    /// of F.
    #[test]
    fn edm_weighs_its_own_output_by_one() {
        let sigma_data: f64 = 0.5;
        let edm = LossWeight::Edm { sigma_data };
        for sigma in [0.002, 0.5, 80.0_f64] {
            let level = Level { t: 0.0, alpha: 1.0, sigma };
            let lambda = (sigma.powi(2) + sigma_data.powi(2)) / (sigma * sigma_data).powi(2);
            assert!((edm.of(Prediction::X0, &level) / lambda - 1.0).abs() < 1e-12);
            assert!((edm.of(Prediction::Edm { sigma_data }, &level) - 1.0).abs() < 1e-12);
            assert!((edm.of(Prediction::Eps, &level) / (lambda * sigma.powi(2)) - 1.0).abs() < 1e-12);
        }
    }

    /// Without signal an error of v says nothing about eps; only weights on v or x_0 themselves count there.
    #[test]
    fn the_noisiest_level_has_finite_weights() {
        let noise = Level { t: 999.0, alpha: 0.0, sigma: 1.0 };
        for name in LossWeight::NAMES {
            let weight: LossWeight = name.parse().unwrap();
            let of_v = match weight {
                LossWeight::Output => 1.0,
                // A weight on the error of x_0, which equals that of v there.
                LossWeight::Edm { .. } => 4.0,
                _ => 0.0,
            };
            assert_eq!(weight.of(Prediction::V, &noise), of_v, "{name}");
            // The weight on x_0 is infinite for the error of eps there, and eps does not determine x_0.
            let finite = !matches!(weight, LossWeight::Edm { .. });
            assert!(!finite || weight.of(Prediction::Eps, &noise) == 1.0, "{name}");
        }
    }
}
