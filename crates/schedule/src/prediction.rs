//! What a network's output means at a level: how it gives `x_0 = skip x_t + out F(c_in x_t, t)`, and what the target
//! of F is in training. The trainer and the samplers know an output only as a few f64 numbers per level.

use crate::names::named;
use crate::{Level, ScheduleError};

/// What a network predicts from `x_t` and t.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// The noise in `x_t` (Ho et al. 2020, Sec. 3.2).
    Eps,
    /// The data itself.
    X0,
    /// `v = (alpha eps - sigma x_0) / sqrt(alpha^2 + sigma^2)` (Salimans & Ho 2022, where the root is 1).
    V,
    /// F of Karras et al. 2022, Sec. 5 ("EDM"). The network's input and its target have unit variance for data of
    /// standard deviation `sigma_data`. On a chain and with `sigma_data = 1` it is -v.
    Edm {
        /// Standard deviation of the data, above 0.
        sigma_data: f64,
    },
    /// `eps - x_0`: on the straight path the velocity `dx / ds` (Lipman et al. 2023, Liu et al. 2023).
    Velocity,
}

named!(Prediction, "prediction": "eps" => Eps, "x_0" => X0, "v" => V, "edm" => Edm { sigma_data: 0.5 },
    "velocity" => Velocity);

/// How an output F becomes an image: `x_0 = skip x_t + out F(c_in x_t, t)` (Karras et al. 2022, Eq. 7, whose `c_noise` is t).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Form {
    /// Scale of the network's input.
    pub c_in: f64,
    /// Weight of `x_t` in `x_0`.
    pub skip: f64,
    /// Weight of the output in `x_0`.
    pub out: f64,
}

/// What the output should be: `x_0 weight * x_0 + eps weight * eps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Weight of `x_0`.
    pub x_0: f64,
    /// Weight of eps.
    pub eps: f64,
}

impl Prediction {
    /// The form of the output at a level.
    ///
    /// # Errors
    /// [`ScheduleError::NoSignal`] for eps where no signal is left: `x_0` does not follow from noise alone.
    ///
    /// ```
    /// use schedule::{Prediction, Schedule};
    /// let form = Prediction::V.form(&Schedule::ddpm().level_at(0.0)?)?;
    /// assert!((form.skip.powi(2) + form.out.powi(2) - 1.0).abs() < 1e-12);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn form(self, level: &Level) -> Result<Form, ScheduleError> {
        let Level { t, alpha, sigma } = *level;
        let c_in = self.c_in(level);
        match self {
            Self::Eps if alpha == 0.0 => Err(ScheduleError::NoSignal { t }),
            // Eq. 15 of Ho et al. 2020.
            Self::Eps => Ok(Form { c_in, skip: 1.0 / alpha, out: -sigma / alpha }),
            Self::X0 => Ok(Form { c_in, skip: 0.0, out: 1.0 }),
            Self::V => {
                let power = power(alpha, sigma);
                Ok(Form { c_in, skip: alpha / power, out: -sigma / power.sqrt() })
            }
            // The paper's Table 1 has alpha = 1.
            Self::Edm { sigma_data } => {
                let deviation = (alpha * sigma_data).hypot(sigma);
                let skip = alpha * (sigma_data / deviation).powi(2);
                Ok(Form { c_in, skip, out: sigma * sigma_data / deviation })
            }
            // x_t = (alpha + sigma) x_0 + sigma (eps - x_0).
            Self::Velocity => {
                let sum = alpha + sigma;
                Ok(Form { c_in, skip: 1.0 / sum, out: -sigma / sum })
            }
        }
    }

    /// What the output should be at a level.
    #[must_use]
    pub fn target(self, level: &Level) -> Target {
        let Level { alpha, sigma, .. } = *level;
        match self {
            Self::Eps => Target { x_0: 0.0, eps: 1.0 },
            Self::X0 => Target { x_0: 1.0, eps: 0.0 },
            Self::V => {
                let deviation = power(alpha, sigma).sqrt();
                Target { x_0: -sigma / deviation, eps: alpha / deviation }
            }
            // (x_0 - skip x_t) / out.
            Self::Edm { sigma_data } => {
                let deviation = (alpha * sigma_data).hypot(sigma);
                Target { x_0: sigma / (sigma_data * deviation), eps: -alpha * sigma_data / deviation }
            }
            Self::Velocity => Target { x_0: -1.0, eps: 1.0 },
        }
    }

    /// How the network's input is scaled at a level; the same as [`Form::c_in`].
    #[must_use]
    pub fn c_in(self, level: &Level) -> f64 {
        match self {
            Self::Edm { sigma_data } => 1.0 / (level.alpha * sigma_data).hypot(level.sigma),
            _ => visible(level.alpha, level.sigma),
        }
    }

    /// The weights of `x_t` and of the output in eps at a level; not finite for `x_0` at a level without noise.
    #[must_use]
    pub fn eps_weights(self, level: &Level) -> (f64, f64) {
        let Level { alpha, sigma, .. } = *level;
        match self {
            Self::Eps => (0.0, 1.0),
            Self::X0 => (1.0 / sigma, -alpha / sigma),
            Self::V => {
                let power = power(alpha, sigma);
                (sigma / power, alpha / power.sqrt())
            }
            // (x_t - alpha x_0) / sigma.
            Self::Edm { sigma_data } => {
                let deviation = (alpha * sigma_data).hypot(sigma);
                (sigma / deviation.powi(2), -alpha * sigma_data / deviation)
            }
            Self::Velocity => (1.0 / (alpha + sigma), alpha / (alpha + sigma)),
        }
    }

    /// How much an error of the output changes `v`, which is defined for every level that has either signal or noise.
    pub(crate) fn error_in_v(self, level: &Level) -> f64 {
        let Level { alpha, sigma, .. } = *level;
        let deviation = power(alpha, sigma).sqrt();
        match self {
            Self::Eps => deviation / alpha,
            Self::X0 => deviation / sigma,
            Self::V => 1.0,
            Self::Edm { sigma_data } => deviation * sigma_data / (alpha * sigma_data).hypot(sigma),
            Self::Velocity => deviation / (alpha + sigma),
        }
    }
}

/// `alpha^2 + sigma^2`, 1 on a chain.
fn power(alpha: f64, sigma: f64) -> f64 {
    alpha * alpha + sigma * sigma
}

/// A scale that keeps the network's input from growing with the noise: 1 where `alpha^2 + sigma^2` is at most 1.
fn visible(alpha: f64, sigma: f64) -> f64 {
    let deviation = alpha.hypot(sigma);
    // On a chain it is 1 up to rounding.
    if deviation > 1.0 + 1e-9 { 1.0 / deviation } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;
    use proptest::prelude::*;

    const ALL: &[Prediction] = &[
        Prediction::Eps,
        Prediction::X0,
        Prediction::V,
        Prediction::Edm { sigma_data: 0.5 },
        Prediction::Velocity,
    ];

    #[test]
    fn without_signal_eps_alone_is_refused() {
        let noise = Level { t: 999.0, alpha: 0.0, sigma: 1.0 };
        for prediction in ALL {
            match prediction.form(&noise) {
                Err(error) => {
                    assert_eq!((*prediction, error), (Prediction::Eps, ScheduleError::NoSignal { t: 999.0 }));
                }
                Ok(form) => assert!(form.skip.is_finite() && form.out.is_finite(), "{prediction}"),
            }
        }
    }

    #[test]
    fn on_a_chain_the_network_sees_x_t_itself() {
        let schedule = Schedule::ddpm();
        for t in 0..1000 {
            let level = schedule.level_at(f64::from(t)).unwrap();
            let plain = [Prediction::Eps, Prediction::X0, Prediction::V];
            assert!(plain.iter().all(|prediction| prediction.c_in(&level) == 1.0), "t = {t}");
        }
        // Noise of deviation 80 is scaled down to about 1.
        let level = Level { t: 0.0, alpha: 1.0, sigma: 80.0 };
        assert!((Prediction::Eps.c_in(&level) * 80.0 - 1.0).abs() < 1e-4);
    }

    /// Karras et al. 2022, Table 1, and the requirements from which they derive it (App. B.6).
    #[test]
    fn edm_is_the_preconditioning_of_the_paper() {
        let sigma_data: f64 = 0.5;
        for sigma in [0.002, 0.5, 3.0, 80.0_f64] {
            let level = Level { t: 0.0, alpha: 1.0, sigma };
            let edm = Prediction::Edm { sigma_data };
            let form = edm.form(&level).unwrap();
            let total = sigma_data.powi(2) + sigma.powi(2);
            assert!((form.skip - sigma_data.powi(2) / total).abs() < 1e-15);
            assert!((form.out - sigma * sigma_data / total.sqrt()).abs() < 1e-14);
            assert!((form.c_in - 1.0 / total.sqrt()).abs() < 1e-13);
            // Input and target have unit variance.
            let target = edm.target(&level);
            let variance = (target.x_0 * sigma_data).powi(2) + target.eps.powi(2);
            assert!((variance - 1.0).abs() < 1e-12 && (form.c_in.powi(2) * total - 1.0).abs() < 1e-12);
        }
        let chain = Schedule::ddpm().level_at(300.0).unwrap();
        let (f, v) = (Prediction::Edm { sigma_data: 1.0 }.target(&chain), Prediction::V.target(&chain));
        assert!((f.x_0 + v.x_0).abs() < 1e-12 && (f.eps + v.eps).abs() < 1e-12);
    }

    proptest! {
        /// On any path the training target gives back the x_0 and eps it was made from.
        #[test]
        fn the_target_leads_to_x_0_and_eps(
            x_0 in -1.0_f64..1.0, eps in -4.0_f64..4.0, alpha in 0.01_f64..=1.0, sigma in 0.01_f64..80.0,
        ) {
            let level = Level { t: 3.0, alpha, sigma };
            let x_t = alpha * x_0 + sigma * eps;
            for prediction in ALL {
                let Target { x_0: of_x_0, eps: of_eps } = prediction.target(&level);
                let output = of_x_0 * x_0 + of_eps * eps;
                let form = prediction.form(&level).unwrap();
                let scale = 1.0 + (form.skip * x_t).abs();
                prop_assert!((form.skip * x_t + form.out * output - x_0).abs() < 1e-12 * scale, "{prediction}");
                let (of_x_t, of_output) = prediction.eps_weights(&level);
                let scale = 1.0 + (of_x_t * x_t).abs();
                prop_assert!((of_x_t * x_t + of_output * output - eps).abs() < 1e-12 * scale, "{prediction}");
                prop_assert!(form.c_in == prediction.c_in(&level));
                // An error of the output is proportional to one of v, and to one of eps.
                let v = prediction.error_in_v(&level);
                prop_assert!((v.abs() * alpha / power(alpha, sigma).sqrt() / of_output.abs() - 1.0).abs() < 1e-9, "{prediction}");
            }
        }
    }
}
