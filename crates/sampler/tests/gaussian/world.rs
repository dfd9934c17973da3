//! Gaussian data, its optimal network, and the result of the reverse process.
//!
//! If `x_0 ~ N(mu, s^2)` then `x_t ~ N(r mu, V)` with `r = sqrt(alpha_bar_t)`, `V = s^2 alpha_bar_t + 1 - alpha_bar_t`,
//! and the network with the least loss is `E[eps | x_t] = sqrt(1 - alpha_bar_t) (x_t - r mu) / V`.

use sampler::{BoxError, Method, Noise, Sampler, SamplerConfig, Threshold};
use schedule::{Schedule, Variance};
use tch::Tensor;

pub(crate) const DDPM_SMALL: Method = Method::Ddpm { variance: Variance::FixedSmall };
pub(crate) const DDPM_LARGE: Method = Method::Ddpm { variance: Variance::FixedLarge };

/// Every pixel of every image is drawn from N(mu, s^2).
pub(crate) struct World {
    pub(crate) schedule: Schedule,
    pub(crate) mu: f64,
    pub(crate) s: f64,
}

/// `x -> slope x + offset + N(0, variance)`: what some steps do to a pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    pub(crate) slope: f64,
    pub(crate) offset: f64,
    pub(crate) variance: f64,
}

impl Affine {
    /// Mean and variance of the result for N(mean, variance).
    pub(crate) fn of(&self, (mean, variance): (f64, f64)) -> (f64, f64) {
        (self.slope * mean + self.offset, self.slope.powi(2) * variance + self.variance)
    }
}

impl World {
    pub(crate) fn new(mu: f64, s: f64) -> Self {
        Self { schedule: Schedule::ddpm(), mu, s }
    }

    /// Variance of `x_t`.
    fn variance_at(&self, alpha_bar: f64) -> f64 {
        self.s.powi(2) * alpha_bar + 1.0 - alpha_bar
    }

    fn best_eps(&self, x_t: f64, alpha_bar: f64) -> f64 {
        (1.0 - alpha_bar).sqrt() * (x_t - alpha_bar.sqrt() * self.mu) / self.variance_at(alpha_bar)
    }

    /// The optimal network. It uses the t of each image, so a wrong t gives wrong moments.
    pub(crate) fn model(&self) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> {
        let tables = |f: &dyn Fn(f64) -> f64| {
            let values: Vec<f32> = self.schedule.alpha_bars().iter().map(|&a| f(a) as f32).collect();
            Tensor::from_slice(&values)
        };
        let slopes = tables(&|alpha_bar| (1.0 - alpha_bar).sqrt() / self.variance_at(alpha_bar));
        let centres = tables(&|alpha_bar| alpha_bar.sqrt() * self.mu);
        move |x_t, t| {
            let at_t =
                |table: &Tensor| table.index_select(0, &t.to_kind(tch::Kind::Int64)).view([-1, 1, 1, 1]);
            Ok((x_t - at_t(&centres)) * at_t(&slopes))
        }
    }

    pub(crate) fn config(method: Method, steps: usize) -> SamplerConfig {
        SamplerConfig { steps: Some(steps), threshold: Threshold::Off, ..SamplerConfig::new(method) }
    }

    /// All reverse steps of a sampler combined, by the papers' formulas in eps.
    pub(crate) fn reverse(&self, method: Method, sampler: &Sampler) -> Affine {
        let falling: Vec<usize> = sampler.timesteps().map(|t| t as usize).collect();
        let mut all = Affine { slope: 1.0, offset: 0.0, variance: 0.0 };
        for (i, &t) in falling.iter().enumerate() {
            let alpha_bar = self.schedule.alpha_bars()[t];
            let prev = falling.get(i + 1).map_or(1.0, |&t| self.schedule.alpha_bars()[t]);
            let beta = 1.0 - alpha_bar / prev;
            let posterior = beta * (1.0 - prev) / (1.0 - alpha_bar);
            let mut sigma_2 = match method {
                DDPM_LARGE => beta,
                DDPM_SMALL => posterior,
                Method::Ddim { eta } => eta * eta * posterior,
                _ => unreachable!("no closed form for {method}"),
            };
            let step = |x_t: f64| {
                let eps = self.best_eps(x_t, alpha_bar);
                if let Method::Ddim { .. } = method {
                    // Song et al. 2021, Eq. 12.
                    let x_0 = (x_t - (1.0 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt();
                    prev.sqrt() * x_0 + (1.0 - prev - sigma_2).max(0.0).sqrt() * eps
                } else {
                    // Ho et al. 2020, Algorithm 2, line 4.
                    (x_t - beta / (1.0 - alpha_bar).sqrt() * eps) / (1.0 - beta).sqrt()
                }
            };
            let (offset, slope) = (step(0.0), step(1.0) - step(0.0));
            if i + 1 == falling.len() {
                sigma_2 = 0.0;
            }
            all = Affine {
                slope: slope * all.slope,
                offset: slope * all.offset + offset,
                variance: slope.powi(2) * all.variance + sigma_2,
            };
        }
        all
    }

    /// Mean and variance of samples from pure noise.
    pub(crate) fn sample_moments(&self, method: Method, steps: usize) -> (f64, f64) {
        let sampler = Sampler::new(&self.schedule, &Self::config(method, steps)).unwrap();
        self.reverse(method, &sampler).of((0.0, 1.0))
    }

    /// The `32 * 32` pixels of each of `count` sampled images.
    pub(crate) fn sample(&self, method: Method, steps: usize, noise: &Noise, count: i64) -> Vec<f32> {
        let sampler = Sampler::new(&self.schedule, &Self::config(method, steps)).unwrap();
        let x_t = noise.start([count, 1, 32, 32], tch::Device::Cpu).unwrap();
        let images = sampler.sample(&self.model(), &x_t, noise, &mut |_| Ok(())).unwrap();
        tensor_io::to_vec(&images).unwrap()
    }
}

/// Mean and variance of numbers.
pub(crate) fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance)
}
