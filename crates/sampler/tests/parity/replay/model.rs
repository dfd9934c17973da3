//! The network of the goldens, in closed form: the exact denoiser of independent pixels of the mixture
//! `1/2 N(m, s^2) + 1/2 N(-m, s^2)`, times a factor that is 1 at the data. With `w = alpha^2 s^2 + sigma^2`,
//!
//! ```text
//! x_0(x, t) = (1 + g sigma^2) (alpha s^2 x + sigma^2 m tanh(alpha m x / w)) / w
//! ```
//!
//! `scripts/make_sampler_goldens.py` has the same network and explains the choice.

use sampler::{BoxError, Prediction};
use schedule::{Level, Schedule};
use serde::Deserialize;
use tch::{Kind, Tensor};

/// m, s and g.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mixture {
    mean: f64,
    deviation: f64,
    gain: f64,
}

/// The network of one run.
pub(crate) struct Network<'a> {
    pub(crate) mixture: Mixture,
    pub(crate) schedule: &'a Schedule,
    pub(crate) prediction: Prediction,
    /// Whether channels c..2c give the position in the range of variances, by `tanh(x)`.
    pub(crate) learns_variance: bool,
}

impl Network<'_> {
    /// f32 `x` `[b, c, h, w]` and `t` `[b]`, all the same, to f32 `[b, c or 2c, h, w]`; f64 in between.
    pub(crate) fn predict(&self, x: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
        let level = self.schedule.level_at(t.f_double_value(&[0])?)?;
        let x = x.f_to_kind(Kind::Double)?;
        let x_0 = self.x_0(&x, &level);
        let Level { alpha, sigma, .. } = level;
        let eps = (&x - alpha * &x_0) / sigma;
        let output = match self.prediction {
            Prediction::X0 => x_0,
            Prediction::V => alpha * eps - sigma * x_0,
            _ => eps,
        };
        let output = if self.learns_variance { Tensor::f_cat(&[output, x.f_tanh()?], 1)? } else { output };
        Ok(output.f_to_kind(Kind::Float)?)
    }

    fn x_0(&self, x: &Tensor, level: &Level) -> Tensor {
        let Mixture { mean, deviation, gain } = self.mixture;
        let (alpha, noise) = (level.alpha, level.sigma.powi(2));
        let w = (alpha * deviation).powi(2) + noise;
        let side = (x * (alpha * mean / w)).tanh(); // how much more likely m is than -m
        (x * (alpha * deviation.powi(2)) + side * (noise * mean)) * ((1.0 + gain * noise) / w)
    }
}
