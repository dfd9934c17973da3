//! The density that the probability flow gives to points (Song et al. 2021, Sec. 4.3 and App. D.2).
//!
//! For `y = x_t / alpha` and `rho = ln(sigma / alpha)` the flow of every path is `dy / d rho = (sigma / alpha) eps(x_t, t)` (Karras et
//! al. 2022, Eq. 1, there with `alpha = 1`), and by the instantaneous change of variables
//!
//! ```text
//! ln p(y at the first level) = ln p(y at the last level) + integral of sigma tr(d eps / d x_t) d rho
//! ```
//!
//! The points move by Heun's method in `sigma / alpha`, in which the flow is straight at low and at high noise. The
//! integral is taken by the trapezoidal rule in rho, in which the integrand is constant at high noise. Both are
//! second order in the steps.

use std::f64::consts::TAU;
use std::ops::ControlFlow;

use schedule::{Level, ScheduleError};
use tch::{Kind, Tensor};

use crate::batch::{Steps as Telling, Stoppable};
use crate::draws::Draws;
use crate::error::LikelihoodError;
use crate::levels::Levels;
use crate::network::Network;

/// The flow of a network.
pub(crate) struct Flow<'a> {
    pub(crate) network: Network<'a>,
    /// Probes of Hutchinson's estimate of the trace, the same at all levels (Song et al. 2021, Eq. 40).
    pub(crate) probes: Vec<Tensor>,
}

/// eps, and `sigma tr(d eps / d x_t)` of each image.
struct Slope {
    eps: Tensor,
    trace: Tensor,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(
        network: Network<'a>,
        probes: usize,
        (draws, like): (&Draws, &Tensor),
    ) -> Result<Self, LikelihoodError> {
        let probes = (0..probes).map(|probe| draws.signs(like, probe)).collect::<Result<_, _>>()?;
        Ok(Self { network, probes })
    }

    /// The logarithm of the density at points `y` `[b, c, h, w]` f64, in nats, `[b]`.
    pub(crate) fn log_density(
        &self,
        y: &Tensor,
        levels: &Levels,
        telling: &mut Telling<'_, '_>,
    ) -> Result<Stoppable<Tensor>, LikelihoodError> {
        let images = y.size()[0];
        let mut y = y.shallow_clone();
        let mut integral = Tensor::f_zeros([images], (Kind::Double, y.device()))?;
        for i in 0..levels.len() {
            let level = levels.get(i);
            let Slope { eps, trace } = self.slope(&y, &level)?;
            // Half of the distance to each neighbour.
            let rho = |i: usize| levels.get(i).ratio().ln();
            let (below, above) = (i.saturating_sub(1), (i + 1).min(levels.len() - 1));
            integral = integral.f_add(&trace.f_mul_scalar(0.5 * (rho(above) - rho(below)))?)?;
            if i < above {
                let next = levels.get(above);
                let length = next.ratio() - level.ratio();
                let there = y.f_add(&eps.f_mul_scalar(length)?)?;
                let slopes = eps.f_add(&self.eps(&there, &next)?)?;
                y = y.f_add(&slopes.f_mul_scalar(0.5 * length)?)?;
            }
            if telling.done()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(integral.f_add(&log_prior(&y, &levels.last())?)?))
    }

    /// eps at a level, without gradients.
    fn eps(&self, y: &Tensor, level: &Level) -> Result<Tensor, LikelihoodError> {
        let _no_grad = tch::no_grad_guard();
        let x_t = y.f_mul_scalar(level.alpha)?;
        let levels = vec![*level; y.size()[0] as usize];
        let (output, _) = self.network.ask(&self.network.shown(&x_t, &levels)?, &levels)?;
        self.eps_of(&x_t, &output, level)
    }

    fn eps_of(&self, x_t: &Tensor, output: &Tensor, level: &Level) -> Result<Tensor, LikelihoodError> {
        let (of_x_t, of_output) = self.network.output.prediction.eps_weights(level);
        Ok(x_t.f_mul_scalar(of_x_t)?.f_add(&output.f_to_kind(Kind::Double)?.f_mul_scalar(of_output)?)?)
    }

    fn slope(&self, y: &Tensor, level: &Level) -> Result<Slope, LikelihoodError> {
        let x_t = y.f_mul_scalar(level.alpha)?;
        let levels = vec![*level; y.size()[0] as usize];
        let shown = self.network.shown(&x_t, &levels)?.f_detach()?.f_set_requires_grad(true)?;
        let (output, _) = self.network.ask(&shown, &levels)?;
        if !output.requires_grad() {
            return Err(LikelihoodError::NoGradient);
        }
        let mut trace = Tensor::f_zeros([y.size()[0]], (Kind::Double, y.device()))?;
        for (i, probe) in self.probes.iter().enumerate() {
            let product = output.f_mul(&probe.f_to_kind(output.f_kind()?)?)?.f_sum(None)?;
            let more = i + 1 < self.probes.len();
            let gradient = Tensor::f_run_backward(&[&product], &[&shown], more, false)?.swap_remove(0);
            if !gradient.defined() {
                return Err(LikelihoodError::NoGradient);
            }
            let of_image = gradient.f_to_kind(Kind::Double)?.f_mul(probe)?.f_flatten(1, -1)?;
            trace = trace.f_add(&of_image.f_sum_dim_intlist(1_i64, false, None)?)?;
        }
        let (of_x_t, of_output) = self.network.output.prediction.eps_weights(level);
        let scale = of_output * self.network.output.prediction.c_in(level) / self.probes.len() as f64;
        let numbers = (y.numel() / levels.len()) as f64;
        let trace = trace.f_mul_scalar(level.sigma * scale)?.f_add_scalar(level.sigma * of_x_t * numbers)?;
        Ok(Slope { eps: self.eps_of(&x_t, &output.f_detach()?, level)?, trace })
    }
}

/// `ln p(y)` of each image at the last level, where `x_t = alpha y` is `N(0, (alpha^2 + sigma^2) I)`.
fn log_prior(y: &Tensor, last: &Level) -> Result<Tensor, LikelihoodError> {
    let numbers = (y.numel() as i64 / y.size()[0]) as f64;
    // The deviation of y, which is that of x_t divided by alpha.
    let deviation = last.ratio().hypot(1.0);
    let squares = y.f_square()?.f_flatten(1, -1)?.f_sum_dim_intlist(1_i64, false, None)?;
    let constant = -numbers * (deviation.ln() + 0.5 * TAU.ln());
    Ok(squares.f_mul_scalar(-0.5 / deviation.powi(2))?.f_add_scalar(constant)?)
}

/// Checks that a flow can follow these levels: the last one must have some signal.
pub(crate) fn check(levels: &Levels) -> Result<(), LikelihoodError> {
    let last = levels.last();
    if last.alpha > 0.0 { Ok(()) } else { Err(ScheduleError::NoSignal { t: last.t }.into()) }
}
