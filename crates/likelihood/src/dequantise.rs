//! Dequantisation: from grey levels to points of a density.

use std::f64::consts::{LN_2, TAU};

use schedule::Variance;
use tch::{Kind, Tensor};

use crate::draws::Draws;
use crate::error::LikelihoodError;
use crate::levels::Levels;
use crate::network::Network;
use crate::steps::{ReverseVariance, Steps};

/// How many grey levels there are in a unit of the range [-1, 1].
const LEVELS_PER_UNIT: f64 = 127.5;

/// How grey levels become continuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dequantisation {
    /// Adds uniform noise as wide as a grey level and centred at it; the volume of a level turns `log2 p` into
    /// `log2 P` (Theis et al. 2016). The density is that at the first level of the flow, in `x_t / alpha`: the model
    /// is the flow down to there, rounded to grey levels. Most published numbers use this.
    ///
    /// Where the first level has more noise than a grey level is wide (0.01 on the paper's chain, whose grey levels
    /// are 0.008 wide), this costs bits at pixels that the model knows exactly, such as a black background.
    Uniform,
    /// Adds the noise of the first level, which the last step of the chain removes again:
    /// `ln P(x_0) >= E[ln P(x_0 | x_1) + ln p(x_1) - ln q(x_1 | x_0)]`. That step is the one of [`crate::bound`],
    /// with `x_0` clipped and the variance learned if the network predicts one. So the two likelihoods differ only
    /// above the first level.
    Noise,
}

/// Points of a density, and the bits that come on top of it.
pub(crate) struct Points {
    /// `x_t / alpha` at the first level, `[b, c, h, w]` f64.
    pub(crate) y: Tensor,
    /// Bits per dimension of an image in addition to `-log2 p(y)`, `[b]`.
    pub(crate) beside: Tensor,
}

impl Dequantisation {
    /// The points of images `[b, c, h, w]` f64. Calls the network once for [`Dequantisation::Noise`].
    pub(crate) fn points(
        self,
        levels: &Levels,
        network: &Network<'_>,
        x_0: &Tensor,
        draws: &Draws,
    ) -> Result<Points, LikelihoodError> {
        let images = x_0.size()[0];
        if self == Self::Uniform {
            let noise = draws.uniform(x_0)?.f_sub_scalar(0.5)?.f_div_scalar(LEVELS_PER_UNIT)?;
            let beside = Tensor::f_full([images], LEVELS_PER_UNIT.log2(), (Kind::Double, x_0.device()))?;
            return Ok(Points { y: x_0.f_add(&noise)?, beside });
        }
        let _no_grad = tch::no_grad_guard();
        let first = levels.get(0);
        // The noise that the bound uses at this level.
        let eps = draws.noise(x_0, &vec![0; images as usize])?;
        let y = x_0.f_add(&eps.f_mul_scalar(first.ratio())?)?;
        // log2 q(y | x_0) with the drawn noise, not its mean: the two deviations of log2 q and log2 p(y) offset each
        // other.
        let squares = eps.f_square()?.f_flatten(1, -1)?.f_mean_dim(1_i64, false, None)?;
        let constant = -0.5 * TAU.ln() - first.ratio().ln();
        let log_q = squares.f_mul_scalar(-0.5)?.f_add_scalar(constant)?.f_div_scalar(LN_2)?;
        let last_step = last_step(levels, network, x_0, &y.f_mul_scalar(first.alpha)?)?;
        Ok(Points { y, beside: last_step.f_add(&log_q)? })
    }
}

/// `-log2 P(x_0 | x_t)` at the first level, in bits per dimension, `[b]`.
fn last_step(
    levels: &Levels,
    network: &Network<'_>,
    x_0: &Tensor,
    x_t: &Tensor,
) -> Result<Tensor, LikelihoodError> {
    let images = x_0.size()[0] as usize;
    let fixed = ReverseVariance::Fixed(Variance::FixedSmall);
    let variance = if network.output.learned_variance { ReverseVariance::Learned } else { fixed };
    let steps = Steps::new(levels, network.output, variance, true)?;
    let of_images = vec![levels.get(0); images];
    let (output, said) = network.ask(&network.shown(x_t, &of_images)?, &of_images)?;
    steps.bits(&vec![0; images], (x_0, x_t), (&output, said.as_ref()))
}
