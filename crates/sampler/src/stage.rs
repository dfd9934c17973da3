//! The form of a solver on a known grid: a list of network calls, each followed by weighted sums. The f64 weights are
//! all known in advance.
//!
//! Every solver here is linear in `x` and in the network's predictions, whatever variable its paper uses. So one loop
//! runs them all ([`crate::Sampler::sample`]), and it computes only the network and a few elementwise sums.

use schedule::Level;

/// A weighted sum of the tensors that the loop holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sum {
    /// Weight of `x`, the network's last input.
    pub x: f64,
    /// Weight of the held state, see [`Stage::hold`].
    pub held: f64,
    /// Weights of what is remembered of the calls, the newest first.
    pub past: Vec<f64>,
}

impl Sum {
    /// `w_x x + sum_j past_j m_j`.
    #[must_use]
    pub fn of_x(x: f64, past: &[f64]) -> Self {
        Self { x, held: 0.0, past: past.to_vec() }
    }

    /// `w held + sum_j past_j m_j`.
    #[must_use]
    pub fn of_held(held: f64, past: &[f64]) -> Self {
        Self { x: 0.0, held, past: past.to_vec() }
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.x.is_finite() && self.held.is_finite() && self.past.iter().all(|w| w.is_finite())
    }
}

/// What is remembered of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The predicted `x_0`, clipped if configured.
    X0,
    /// `eps = (x - alpha x_0) / sigma`: the noise that goes with that `x_0`.
    Eps,
}

/// Noise added just before a call (Karras et al. 2022, Algorithm 2): `x = keep x + noise z`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// Weight of the state.
    pub keep: f64,
    /// Standard deviation of the noise.
    pub noise: f64,
}

/// One network call and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Where the network is called: its t, and the `alpha` and `sigma` of its `x`.
    pub at: Level,
    /// Noise added before the call.
    pub churn: Option<Churn>,
    /// What is remembered of the call.
    pub memory: Memory,
    /// What becomes the held state after the call, before [`Stage::next`] is computed: the start of a step that
    /// takes several calls, or a corrected state.
    pub hold: Option<Sum>,
    /// The input of the next call; after the last stage, the sample.
    pub next: Sum,
    /// How many of the newest memories are dropped after that.
    pub forget: usize,
    /// The noise added to `next`.
    pub noise: StageNoise,
    /// Whether the call completes a step; the calls before it are intermediate.
    pub completes: bool,
}

/// Standard deviation of the noise that a step adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StageNoise {
    /// None is drawn.
    None,
    /// The same for every pixel.
    Fixed(f64),
    /// Predicted by the network for each pixel, between two log variances (Nichol & Dhariwal 2021, Eq. 15).
    Learned {
        /// Where the network's second half of channels is -1.
        log_min: f64,
        /// Where it is 1.
        log_max: f64,
    },
}

impl Stage {
    /// A call that completes a step without noise and remembers `x_0`.
    #[must_use]
    pub fn new(at: Level, next: Sum) -> Self {
        Self {
            at,
            churn: None,
            memory: Memory::X0,
            hold: None,
            next,
            forget: 0,
            noise: StageNoise::None,
            completes: true,
        }
    }

    /// The same with noise of standard deviation `sigma`; 0 draws none.
    #[must_use]
    pub fn with_noise(self, sigma: f64) -> Self {
        let noise = if sigma == 0.0 { StageNoise::None } else { StageNoise::Fixed(sigma) };
        Self { noise, ..self }
    }

    pub(crate) fn is_finite(&self) -> bool {
        let noise = match self.noise {
            StageNoise::None => true,
            StageNoise::Fixed(sigma) => sigma.is_finite(),
            StageNoise::Learned { log_min, log_max } => log_min.is_finite() && log_max.is_finite(),
        };
        let churn = self.churn.is_none_or(|churn| churn.keep.is_finite() && churn.noise.is_finite());
        noise && churn && self.next.is_finite() && self.hold.as_ref().is_none_or(Sum::is_finite)
    }

    /// How many memories the sums of this call need.
    pub(crate) fn asked(&self) -> usize {
        self.hold.as_ref().map_or(0, |sum| sum.past.len()).max(self.next.past.len())
    }

    /// Whether the step depends on this call only, so that it can be repeated.
    pub(crate) fn stands_alone(&self) -> bool {
        self.completes && self.hold.is_none() && self.next.held == 0.0 && self.next.past.len() <= 1
    }
}

/// The weights of `x` and `x_0` in the step that keeps both `x_0` and `eps`: the exact solution for a single grey,
/// DDIM with eta = 0 (Song et al. 2021, Eq. 12), and the first step of every deterministic solver here.
pub(crate) fn transfer(from: Level, to: Level) -> (f64, f64) {
    let x = to.sigma / from.sigma;
    (x, to.alpha - from.alpha * x)
}

/// The same in `x` and `eps`.
pub(crate) fn transfer_eps(from: Level, to: Level) -> (f64, f64) {
    let x = to.alpha / from.alpha;
    (x, to.sigma - from.sigma * x)
}
