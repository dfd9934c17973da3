//! Inpainting against a closed form: images of two correlated Gaussian pixels, of which the first is known. Given the
//! first, the second is Gaussian, so the optimal network is linear.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use sampler::{
    BoxError, Known, Method, Noise, Prediction, Resampling, Sampler, SamplerConfig, Threshold, Times,
};
use schedule::{Level, Schedule};
use tch::{Device, Kind, Tensor};

/// Both pixels are N(0, S^2), with this correlation.
const S: f64 = 0.5;
const RHO: f64 = 0.9;
/// The known pixel, in the units of images.
const KNOWN: f64 = 0.6;
const COUNT: i64 = 4_000;

const NO_JUMPS: Resampling = Resampling::NONE;
/// Take every step ten times.
const TEN_TIMES: Resampling = Resampling { jump: 1, repeats: 10 };

/// `E[x_0 | x_t] = alpha C (alpha^2 C + sigma^2 I)^-1 x_t`. The covariance C of the data has the eigenvectors (1, 1) and
/// (1, -1), so sum and difference of the pixels are shrunk each by their own factor.
fn x_0(schedule: &Schedule, x: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
    let (own, other) = gains(schedule.level_at(f64::try_from(t.get(0))?)?);
    Ok(x * own + x.flip([3]) * other)
}

/// The weights of a pixel of `x_t` in its own `x_0` and in that of the other.
fn gains(level: Level) -> (f64, f64) {
    let shrink =
        |variance: f64| level.alpha * variance / (level.alpha.powi(2) * variance + level.sigma.powi(2));
    let (sum, difference) = (shrink(S * S * (1.0 + RHO)), shrink(S * S * (1.0 - RHO)));
    ((sum + difference) / 2.0, (sum - difference) / 2.0)
}

fn sampler(schedule: &Schedule, method: Method, steps: usize) -> Sampler {
    let config = SamplerConfig {
        steps: Some(steps),
        threshold: Threshold::Off,
        prediction: Prediction::X0,
        times: Times::LogSnr { whole: false },
        ..SamplerConfig::new(method)
    };
    Sampler::new(schedule, &config).unwrap()
}

/// Mean and variance of the second pixel over many drawn images.
fn drawn(method: Method, steps: usize, resampling: Resampling) -> (f64, f64) {
    let schedule = Schedule::ddpm();
    let noise = Noise { seed: 11, first_index: 0 };
    let x_t = noise.start([COUNT, 1, 1, 2], Device::Cpu).unwrap();
    let image = Tensor::from_slice(&[KNOWN as f32, 0.0]).view([1, 1, 1, 2]);
    let known = Known::outside(&image, &Tensor::from_slice(&[0.0, 1.0]).view([1, 1, 1, 2])).unwrap();
    let model = |x: &Tensor, t: &Tensor| x_0(&schedule, x, t);
    let sampler = sampler(&schedule, method, steps);
    let out = sampler.inpaint(&model, &x_t, &known, &resampling, &noise, &mut |_| Ok(())).unwrap();
    let (first, second) = (out.select(3, 0), out.select(3, 1).to_kind(Kind::Double));
    for end in [first.max(), first.min()] {
        assert_eq!(f64::try_from(end).unwrap(), f64::from(KNOWN as f32));
    }
    (f64::try_from(second.mean(Kind::Double)).unwrap(), f64::try_from(second.var(true)).unwrap())
}

/// The joint distribution of both pixels at a level: mean and covariance.
struct Both {
    mean: [f64; 2],
    covariance: [[f64; 2]; 2],
}

impl Both {
    /// `x' = M x + s z`, where `M` has `own` on its diagonal and `other` beside it.
    fn map(&mut self, own: f64, other: f64, variance: f64) {
        let m = [[own, other], [other, own]];
        let [a, b] = self.mean;
        self.mean = [own * a + other * b, other * a + own * b];
        let old = self.covariance;
        for (i, row) in self.covariance.iter_mut().enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                let sum = |k: usize| (0..2).map(|l| m[i][k] * old[k][l] * m[j][l]).sum::<f64>();
                *entry = sum(0) + sum(1) + if i == j { variance } else { 0.0 };
            }
        }
    }

    /// The first pixel is replaced by the known one, diffused.
    fn impose(&mut self, level: Level) {
        self.mean[0] = level.alpha * KNOWN;
        self.covariance = [[level.sigma.powi(2), 0.0], [0.0, self.covariance[1][1]]];
    }
}

/// The same from RePaint's Algorithm 1 with the posterior of DDPM (`eta` = 1) or DDIM (0), as the papers write them, step
/// by step in closed form; every step is repeated, one level up and down again.
fn exact(eta: f64, steps: usize, resampling: Resampling) -> (f64, f64) {
    assert_eq!(resampling.jump, 1);
    let schedule = Schedule::ddpm();
    let sampler = sampler(&schedule, Method::Ddim { eta }, steps);
    let level = |i: usize| sampler.grid().level(i);
    let mut both = Both { mean: [0.0; 2], covariance: [[1.0, 0.0], [0.0, 1.0]] };
    both.impose(level(0));
    for i in 0..steps {
        // No jump starts at the data.
        let repeats = if i + 1 == steps { 1 } else { resampling.repeats };
        let (from, to) = (level(i), level(i + 1));
        let beta = 1.0 - (from.alpha / to.alpha).powi(2);
        for visit in 0..repeats {
            if visit > 0 {
                both.map((1.0 - beta).sqrt(), 0.0, beta);
            }
            let posterior = eta * eta * beta * to.sigma.powi(2) / from.sigma.powi(2);
            let (own, other) = gains(from);
            // x_{t-1} = alpha' x_0 + sqrt(sigma'^2 - posterior) eps, eps = (x_t - alpha x_0) / sigma.
            let of_x = (to.sigma.powi(2) - posterior).max(0.0).sqrt() / from.sigma;
            let of_x_0 = to.alpha - from.alpha * of_x;
            both.map(of_x + of_x_0 * own, of_x_0 * other, posterior);
            both.impose(to);
        }
    }
    (both.mean[1], both.covariance[1][1])
}

/// `E[x_2 | x_1]` and `Var[x_2 | x_1]`.
fn conditional() -> (f64, f64) {
    (RHO * KNOWN, S * S * (1.0 - RHO * RHO))
}

#[test]
fn drawn_pixels_have_the_moments_of_the_algorithm() {
    let ddpm = Method::Ddpm { variance: schedule::Variance::FixedSmall };
    for (method, eta) in [(ddpm, 1.0), (Method::Ddim { eta: 0.0 }, 0.0)] {
        for resampling in [NO_JUMPS, TEN_TIMES] {
            let ((mean, variance), (want_mean, want_variance)) =
                (drawn(method, 50, resampling), exact(eta, 50, resampling));
            // Five standard errors.
            let n = COUNT as f64;
            assert!((mean - want_mean).abs() < 5.0 * (want_variance / n).sqrt(), "{mean} {want_mean}");
            assert!(
                (variance / want_variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(),
                "{variance} {want_variance}"
            );
        }
    }
}

/// With every step taken ten times, the second pixel nearly has its distribution given the first. Without repeats it
/// adapts to the first too late: a third of the way to the mean is missing.
#[test]
fn resampling_gives_the_conditional_distribution() {
    let (mean, variance) = conditional();
    let (with, without) = (exact(1.0, 200, TEN_TIMES), exact(1.0, 200, NO_JUMPS));
    assert!((with.0 / mean - 1.0).abs() < 0.03 && (with.1 / variance - 1.0).abs() < 0.02, "{with:?}");
    assert!(without.0 / mean < 0.7 && without.1 / variance > 1.5, "{without:?}");
    // More steps alone do not help, more repeats do.
    assert!(exact(1.0, 1000, NO_JUMPS).0 / mean < 0.7);
    let more = Resampling { jump: 1, repeats: 40 };
    assert!((exact(1.0, 200, more).0 / mean - 1.0).abs() < 0.01);
}

/// The same for drawn images: 4000 of them, within five standard errors of the bias known from the formulas.
#[test]
fn the_drawn_pixel_follows_the_known_one() {
    let ddpm = Method::Ddpm { variance: schedule::Variance::FixedSmall };
    let ((mean, variance), with, without) =
        (conditional(), drawn(ddpm, 50, TEN_TIMES), drawn(ddpm, 50, NO_JUMPS));
    assert!((with.0 - mean).abs() < 0.04 && (with.1 / variance - 1.0).abs() < 0.25, "{with:?}");
    assert!((without.0 - mean).abs() > 0.14 && without.1 / variance > 1.3, "{without:?}");
}
