//! The betas of each kind of schedule: `beta_t` is the variance of the noise that step `t` adds.
//!
//! Each function returns shape `[steps]`, index 0 first, dimensionless variances in (0, 1).

use std::f64::consts::FRAC_PI_2;

use ndarray::Array1;

use crate::{MAX_STEPS, MIN_STEPS, ScheduleError};

/// `beta_t` evenly spaced from `beta_start` to `beta_end`, both included (Ho et al. 2020, Sec. 4: 1e-4 to
/// 0.02 over 1000 steps).
///
/// The end points do not depend on `steps`: a chain much shorter than 1000 steps leaves much of the
/// signal in `x_T` unless they are raised, as [`BetaSchedule::usual`](crate::BetaSchedule::usual) does.
///
/// # Errors
/// [`ScheduleError::Steps`]; [`ScheduleError::Parameter`] for a beta outside (0, 1);
/// [`ScheduleError::EndBelowStart`].
///
/// ```
/// let betas = schedule::beta::linear(3, 0.1, 0.3)?;
/// assert_eq!(betas.to_vec(), [0.1, 0.2, 0.3]);
/// # Ok::<(), schedule::ScheduleError>(())
/// ```
pub fn linear(steps: usize, beta_start: f64, beta_end: f64) -> Result<Array1<f64>, ScheduleError> {
    check_range(steps, beta_start, beta_end)?;
    Ok(linspace(steps, beta_start, beta_end))
}

/// `sqrt(beta_t)` evenly spaced from `sqrt(beta_start)` to `sqrt(beta_end)`, both included: the schedule of
/// latent diffusion (Rombach et al. 2022).
///
/// # Errors
/// As [`linear`].
pub fn scaled_linear(steps: usize, beta_start: f64, beta_end: f64) -> Result<Array1<f64>, ScheduleError> {
    check_range(steps, beta_start, beta_end)?;
    Ok(linspace(steps, beta_start.sqrt(), beta_end.sqrt()).mapv(|root| root * root))
}

/// `beta_t = min(1 - f(t + 1) / f(t), max_beta)` with `f(t) = cos^2((t / steps + s) / (1 + s) * pi / 2)`
/// (Nichol & Dhariwal 2021, Eq. 17, with s = 0.008 and max_beta = 0.999).
///
/// `s` keeps the first betas from being too small; `max_beta` keeps the last from reaching 1.
///
/// # Errors
/// [`ScheduleError::Steps`]; [`ScheduleError::Parameter`] for `s` outside [0, 1) or `max_beta` outside (0, 1).
pub fn cosine(steps: usize, s: f64, max_beta: f64) -> Result<Array1<f64>, ScheduleError> {
    check_steps(steps)?;
    if !(0.0..1.0).contains(&s) {
        return Err(ScheduleError::Parameter { name: "the cosine schedule's s", expected: "[0, 1)", got: s });
    }
    check_beta("max_beta", max_beta)?;
    let f = |t: usize| (FRAC_PI_2 * (t as f64 / steps as f64 + s) / (1.0 + s)).cos().powi(2);
    Ok(Array1::from_shape_fn(steps, |t| (1.0 - f(t + 1) / f(t)).min(max_beta)))
}

/// `beta_t = beta_start + (beta_end - beta_start) / (1 + exp(-u_t))` with `u_t` evenly spaced from -6 to 6,
/// both included (Xu et al. 2022, "GeoDiff", in their code).
///
/// The logistic function reaches 0.0025 and 0.9975 there, so the end points themselves are not reached.
///
/// # Errors
/// As [`linear`].
pub fn sigmoid(steps: usize, beta_start: f64, beta_end: f64) -> Result<Array1<f64>, ScheduleError> {
    check_range(steps, beta_start, beta_end)?;
    let logistic = |u: f64| 1.0 / (1.0 + (-u).exp());
    Ok(linspace(steps, -6.0, 6.0).mapv(|u| beta_start + (beta_end - beta_start) * logistic(u)))
}

/// The same `beta` at every step, so that `alpha_bar_t = (1 - beta)^(t + 1)`. Ho et al. 2020 (App. B)
/// considered constant schedules before they chose the linear one.
///
/// # Errors
/// [`ScheduleError::Steps`]; [`ScheduleError::Parameter`] for a beta outside (0, 1).
pub fn constant(steps: usize, beta: f64) -> Result<Array1<f64>, ScheduleError> {
    check_steps(steps)?;
    check_beta("beta", beta)?;
    Ok(Array1::from_elem(steps, beta))
}

/// `n >= 2` evenly spaced values; the last is exactly `end`.
fn linspace(n: usize, start: f64, end: f64) -> Array1<f64> {
    let step = (end - start) / (n - 1) as f64;
    Array1::from_shape_fn(n, |i| if i == n - 1 { end } else { start + i as f64 * step })
}

fn check_range(steps: usize, beta_start: f64, beta_end: f64) -> Result<(), ScheduleError> {
    check_steps(steps)?;
    check_beta("beta_start", beta_start)?;
    check_beta("beta_end", beta_end)?;
    if beta_end < beta_start {
        return Err(ScheduleError::EndBelowStart { beta_start, beta_end });
    }
    Ok(())
}

pub(crate) fn check_steps(steps: usize) -> Result<(), ScheduleError> {
    if (MIN_STEPS..=MAX_STEPS).contains(&steps) { Ok(()) } else { Err(ScheduleError::Steps { got: steps }) }
}

/// NaN fails both comparisons, so it is refused here too.
fn check_beta(name: &'static str, beta: f64) -> Result<(), ScheduleError> {
    if beta > 0.0 && beta < 1.0 {
        Ok(())
    } else {
        Err(ScheduleError::Parameter { name, expected: "(0, 1)", got: beta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{got} is not {want}");
    }

    /// beta at t = 0, 499 and 999, from numpy with the formula written out in float64.
    #[test]
    fn goldens_for_1000_steps() {
        for (betas, want) in [
            (linear(1000, 1e-4, 0.02).unwrap(), [1e-4, 0.010040040040040039, 0.02]),
            (scaled_linear(1000, 0.00085, 0.012).unwrap(), [0.00085, 0.004803792980550717, 0.012]),
            (cosine(1000, 0.008, 0.999).unwrap(), [4.128422482196914e-5, 0.0031458862304780677, 0.999]),
            (
                sigmoid(1000, 1e-4, 0.02).unwrap(),
                [0.00014920520081703202, 0.010020120209938985, 0.01995079479918297],
            ),
            (constant(1000, 0.01).unwrap(), [0.01; 3]),
        ] {
            assert_eq!(betas.len(), 1000);
            for (t, want) in [0, 499, 999].into_iter().zip(want) {
                // 1 - f(t + 1) / f(t) loses up to 1e-16 of 1, which is 3e-12 of beta_0 of the cosine.
                assert!(
                    (betas[t] - want).abs() <= 4e-16 + 1e-12 * want,
                    "t = {t}: {} is not {want}",
                    betas[t]
                );
            }
        }
    }

    #[test]
    fn linear_is_a_linspace_with_both_ends() {
        let betas = linear(7, 0.1, 0.7).unwrap();
        assert_eq!((betas[0], betas[6]), (0.1, 0.7));
        betas.windows(2).into_iter().for_each(|pair| close(pair[1] - pair[0], 0.1 * (1.0 + 1e-15)));
        let betas = linear(2, 0.25, 0.5).unwrap();
        assert_eq!(betas.to_vec(), [0.25, 0.5]);
    }

    /// Up to the `max_beta` limit the cosine's cumulative product telescopes to f(t + 1) / f(0).
    #[test]
    fn cosine_telescopes() {
        let betas = cosine(100, 0.008, 0.999).unwrap();
        let f = |u: f64| (FRAC_PI_2 * (u + 0.008) / 1.008).cos().powi(2);
        let mut alpha_bar = 1.0;
        for (t, beta) in betas.iter().take(99).enumerate() {
            alpha_bar *= 1.0 - beta;
            assert!((alpha_bar - f((t + 1) as f64 / 100.0) / f(0.0)).abs() < 1e-14);
        }
        assert_eq!(betas[99], 0.999);
    }

    #[test]
    fn steps_out_of_range() {
        for steps in [0, 1, MAX_STEPS + 1, usize::MAX] {
            let wrong = Err(ScheduleError::Steps { got: steps });
            assert_eq!(linear(steps, 0.1, 0.2), wrong);
            assert_eq!(scaled_linear(steps, 0.1, 0.2), wrong);
            assert_eq!(cosine(steps, 0.008, 0.999), wrong);
            assert_eq!(sigmoid(steps, 0.1, 0.2), wrong);
            assert_eq!(constant(steps, 0.1), wrong);
        }
    }

    #[test]
    fn betas_out_of_range() {
        use ScheduleError::Parameter;
        for bad in [0.0, -0.1, 1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for kind in [linear, scaled_linear, sigmoid] {
                assert!(matches!(kind(10, bad, 0.5), Err(Parameter { name: "beta_start", .. })), "{bad}");
                assert!(matches!(kind(10, 0.5, bad), Err(Parameter { name: "beta_end", .. })), "{bad}");
            }
            assert!(matches!(constant(10, bad), Err(Parameter { name: "beta", .. })), "{bad}");
            assert!(matches!(cosine(10, 0.008, bad), Err(Parameter { name: "max_beta", .. })), "{bad}");
        }
        for bad in [-1e-9, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(cosine(10, bad, 0.9), Err(Parameter { expected: "[0, 1)", .. })), "{bad}");
        }
        let falling = ScheduleError::EndBelowStart { beta_start: 0.02, beta_end: 0.01 };
        assert_eq!(linear(10, 0.02, 0.01), Err(falling.clone()));
        assert_eq!(falling.to_string(), "beta_end must be at least beta_start = 0.02, got 0.01");
    }

    proptest! {
        #[test]
        fn betas_rise_within_their_range(steps in 2_usize..400, a in 1e-6_f64..0.5, b in 1e-6_f64..0.5) {
            let (start, end) = (a.min(b), a.max(b));
            for kind in [linear, scaled_linear, sigmoid] {
                let betas = kind(steps, start, end).unwrap();
                prop_assert_eq!(betas.len(), steps);
                prop_assert!(betas.iter().all(|&beta| beta >= start * (1.0 - 1e-15) && beta <= end * (1.0 + 1e-15)));
                prop_assert!(betas.windows(2).into_iter().all(|pair| pair[0] <= pair[1] * (1.0 + 1e-15)));
            }
            let betas = cosine(steps, a, 0.999).unwrap();
            prop_assert!(betas.iter().all(|&beta| beta > 0.0 && beta <= 0.999));
        }
    }
}
