//! Pixels from `w N(mu_1, s_1^2) + (1 - w) N(mu_2, s_2^2)`.
//!
//! Each component diffuses to `N(alpha mu_k, V_k)` with `V_k = alpha^2 s_k^2 + sigma^2`, and the best prediction is the
//! mean of the components' own, weighted by how likely each is given `x_t`. The probability flow keeps the quantile: it
//! takes `x_t` to the `x` at which the mixture's distribution function has the same value (it is a monotone map that
//! transports one distribution to the other, and in one dimension there is only one).

use sampler::BoxError;
use schedule::{Level, Schedule};
use tch::Tensor;

pub(crate) struct Mixture {
    pub(crate) schedule: Schedule,
    pub(crate) parts: [Part; 2],
}

#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) weight: f64,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Part {
    /// Mean and standard deviation at a level.
    fn at(&self, level: &Level) -> (f64, f64) {
        (level.alpha * self.mean, (level.alpha * self.deviation).hypot(level.sigma))
    }
}

impl Mixture {
    pub(crate) fn new(parts: [Part; 2]) -> Self {
        Self { schedule: Schedule::ddpm(), parts }
    }

    /// `E[x_0 | x_t]`, for a batch at one t, whole or not, in the type of `x_t`.
    pub(crate) fn x_0(&self, x: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
        let level = self.schedule.level_at(f64::try_from(t.get(0))?)?;
        let terms: Vec<(Tensor, Tensor)> = self
            .parts
            .iter()
            .map(|part| {
                let (mean, deviation) = part.at(&level);
                let z = (x - mean) / deviation;
                let log_likelihood = &z * &z * -0.5 + (part.weight / deviation).ln();
                let gain = level.alpha * part.deviation.powi(2) / deviation;
                (log_likelihood, z * gain + part.mean)
            })
            .collect();
        let log_likelihoods = Tensor::stack(&[&terms[0].0, &terms[1].0], 0);
        let shares = log_likelihoods.softmax(0, x.kind());
        Ok(shares.get(0) * &terms[0].1 + shares.get(1) * &terms[1].1)
    }

    /// Where the probability flow takes `x` from one level to another, by bisection on the distribution functions.
    pub(crate) fn flow(&self, x: f64, from: &Level, to: &Level) -> f64 {
        let (upper, want) = self.tail(x, from);
        let (mut low, mut high) = (-20.0, 20.0);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            // The smaller tail keeps its precision.
            let (below, above) = (self.distribution(middle, to), self.complement(middle, to));
            let too_low = if upper { above > want } else { below < want };
            if too_low { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }

    /// Whether the smaller tail at x is the upper one, and its value.
    fn tail(&self, x: f64, level: &Level) -> (bool, f64) {
        let (below, above) = (self.distribution(x, level), self.complement(x, level));
        if above < below { (true, above) } else { (false, below) }
    }

    pub(crate) fn distribution(&self, x: f64, level: &Level) -> f64 {
        self.tails(level, |mean, deviation| (mean - x) / deviation)
    }

    fn complement(&self, x: f64, level: &Level) -> f64 {
        self.tails(level, |mean, deviation| (x - mean) / deviation)
    }

    fn tails(&self, level: &Level, z: impl Fn(f64, f64) -> f64) -> f64 {
        let of = |part: &Part| {
            let (mean, deviation) = part.at(level);
            0.5 * part.weight * erfc(z(mean, deviation) / std::f64::consts::SQRT_2)
        };
        self.parts.iter().map(of).sum()
    }

    /// Mean and variance of the data.
    pub(crate) fn moments(&self) -> (f64, f64) {
        let mean: f64 = self.parts.iter().map(|part| part.weight * part.mean).sum();
        let square: f64 =
            self.parts.iter().map(|part| part.weight * (part.mean.powi(2) + part.deviation.powi(2))).sum();
        (mean, square - mean * mean)
    }
}

/// The complementary error function, to f64.
fn erfc(x: f64) -> f64 {
    f64::try_from(Tensor::from_slice(&[x]).special_erfc()).unwrap()
}
