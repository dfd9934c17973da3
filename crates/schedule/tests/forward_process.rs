//! Compares the closed form `q(x_t | x_0)` with the chain `q(x_t | x_{t-1})` walked step by step, in mean and
//! variance: exactly, by the recursion of the moments, and by sampling.

use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use random::{Purpose, Stream};
use schedule::{BetaSchedule, Schedule};

/// If x_{t-1} has mean m x_0 and variance v, then x_t has mean sqrt(alpha_t) m x_0 and variance
/// alpha_t v + beta_t.
#[test]
fn moments_agree_exactly() {
    for name in BetaSchedule::NAMES {
        let schedule = Schedule::new(&BetaSchedule::from_name(name).unwrap(), 1000).unwrap();
        let (mut mean, mut variance) = (1.0, 0.0);
        for t in 0..1000 {
            mean *= schedule.alphas()[t].sqrt();
            variance = schedule.alphas()[t] * variance + schedule.betas()[t];
            assert!((mean - schedule.sqrt_alpha_bars()[t]).abs() < 1e-13, "{name}, mean at t = {t}");
            assert!(
                (variance - (1.0 - schedule.alpha_bars()[t])).abs() < 1e-13,
                "{name}, variance at t = {t}"
            );
        }
    }
}

/// 4096 walks from x_0 = 1.5 and 4096 draws of the closed form, at four times: mean and variance of both
/// lie within 5 standard errors of what Eq. 4 says (one false alarm in 100,000 runs of new seeds; the
/// seeds here are fixed).
#[test]
fn walks_and_closed_form_have_the_same_moments() {
    const N: usize = 4096;
    let schedule = Schedule::ddpm();
    let x_0 = ArrayD::from_elem(IxDyn(&[1, N]), 1.5_f32);
    let noise = |purpose, step: usize| {
        let draws = Stream::new(11, purpose, step as u64, 0).normals(N);
        ArrayD::from_shape_vec(IxDyn(&[1, N]), draws).unwrap()
    };
    let mut x_t = x_0.clone();
    for t in 0..1000 {
        x_t = schedule.q_step(&x_t, &[t], &noise(Purpose::Figure, t)).unwrap();
        if [0, 49, 249, 999].contains(&t) {
            let direct = schedule.q_sample(&x_0, &[t], &noise(Purpose::Diffuse, t)).unwrap();
            for (how, x) in [("walk", &x_t), ("closed form", &direct)] {
                let (mean, variance) = moments(x);
                let want_mean = 1.5 * schedule.sqrt_alpha_bars()[t];
                let want_variance = 1.0 - schedule.alpha_bars()[t];
                let n = N as f64;
                // Standard errors of a sample mean and a sample variance of normal draws.
                let mean_bound = 5.0 * (want_variance / n).sqrt();
                let variance_bound = 5.0 * want_variance * (2.0 / n).sqrt();
                assert!(
                    (mean - want_mean).abs() < mean_bound,
                    "{how}, t = {t}: mean {mean}, not {want_mean}"
                );
                assert!(
                    (variance - want_variance).abs() < variance_bound,
                    "{how}, t = {t}: variance {variance}, not {want_variance}"
                );
            }
        }
    }
}

/// Data of unit variance keeps it at every t, in samples as in the tables.
#[test]
fn unit_variance_is_kept() {
    const N: usize = 1 << 14;
    let schedule = Schedule::ddpm();
    let normal = |purpose| {
        let draws = Stream::new(3, purpose, 0, 0).normals(N);
        ArrayD::from_shape_vec(IxDyn(&[1, N]), draws).unwrap()
    };
    let (x_0, eps) = (normal(Purpose::Figure), normal(Purpose::Diffuse));
    for t in (0..1000).step_by(111) {
        let signal = schedule.sqrt_alpha_bars()[t].powi(2);
        let noise = schedule.sqrt_one_minus_alpha_bars()[t].powi(2);
        assert!((signal + noise - 1.0).abs() < 1e-15);
        let (_, variance) = moments(&schedule.q_sample(&x_0, &[t], &eps).unwrap());
        // 5 standard errors of the variance of N normal draws: 0.055.
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / N as f64).sqrt(), "t = {t}: {variance}");
    }
}

fn moments(x: &ArrayD<f32>) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}

fn any_schedule() -> impl Strategy<Value = BetaSchedule> {
    let range = || (1e-5_f64..0.05, 0.0_f64..0.05);
    prop_oneof![
        range().prop_map(|(a, d)| BetaSchedule::Linear { beta_start: a, beta_end: a + d }),
        range().prop_map(|(a, d)| BetaSchedule::ScaledLinear { beta_start: a, beta_end: a + d }),
        range().prop_map(|(a, d)| BetaSchedule::Sigmoid { beta_start: a, beta_end: a + d }),
        (0.0_f64..0.5, 0.1_f64..0.999).prop_map(|(s, max_beta)| BetaSchedule::Cosine { s, max_beta }),
        (1e-5_f64..0.3).prop_map(|beta| BetaSchedule::Constant { beta }),
    ]
}

proptest! {
    /// Properties of every schedule that is accepted.
    #[test]
    fn tables_are_consistent(kind in any_schedule(), steps in 2_usize..1500) {
        let schedule = Schedule::new(&kind, steps).unwrap();
        let alpha_bars = schedule.alpha_bars();
        prop_assert!(alpha_bars[0] < 1.0 && alpha_bars[steps - 1] > 0.0);
        prop_assert!(alpha_bars.windows(2).into_iter().all(|pair| pair[1] < pair[0]), "alpha_bar falls");
        let log_snr = schedule.log_snr();
        prop_assert!(log_snr.windows(2).into_iter().all(|pair| pair[1] < pair[0]), "log SNR falls");
        for t in 0..steps {
            // The posterior variance is at most beta, and positive after the first step.
            let variance = schedule.posterior_variance()[t];
            prop_assert!(variance <= schedule.betas()[t] * (1.0 + 1e-15) && (variance > 0.0) == (t > 0));
            prop_assert!(schedule.posterior_log_variance_clipped()[t].is_finite());
        }
        prop_assert_eq!(Schedule::from_betas(schedule.betas().clone()).unwrap(), schedule);
    }
}
