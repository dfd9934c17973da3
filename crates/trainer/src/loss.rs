//! The loss of each image, from the network's output and its target.

use config::{LearnedVariance, Loss, TrainConfig};
use schedule::{LossWeight, Prediction};
use tch::{Reduction, Tensor};

use crate::algorithm::Losses;
use crate::bound::bound;
use crate::error::TrainerError;
use crate::numbers::{Numbers, Row};
use crate::parts::Noised;

/// The target of the output, `[b, c, h, w]`.
pub(crate) fn target(
    config: &TrainConfig,
    numbers: &Numbers,
    x_0: &Tensor,
    eps: &Tensor,
) -> Result<Tensor, TrainerError> {
    match config.output() {
        Prediction::Eps => Ok(eps.shallow_clone()),
        Prediction::X0 => Ok(x_0.shallow_clone()),
        _ => numbers.sum((Row::TargetX0, x_0), (Row::TargetEps, eps)),
    }
}

/// The losses of a part of a batch for an output `[b, c, h, w]`, or `[b, 2c, h, w]` with a variance.
pub(crate) fn of_part(config: &TrainConfig, part: &Noised, output: &Tensor) -> Result<Losses, TrainerError> {
    let Noised { numbers, target, .. } = part;
    if config.variance == LearnedVariance::Fixed {
        let each = each(config, output, target)?;
        let weighted = weighted(config, numbers, &each)?;
        return Ok(Losses { each, weighted });
    }
    let halves = output.f_chunk(2, 1)?;
    let (mean, variance) = (&halves[0], &halves[1]);
    let bits = |mean: &Tensor| -> Result<Tensor, TrainerError> {
        Ok(bound(part, mean, variance)?.f_mul(&numbers.row(Row::BoundWeight)?)?)
    };
    if config.loss == Loss::Vlb {
        let bits = bits(mean)?;
        return Ok(Losses { each: self::each(config, mean, target)?, weighted: bits });
    }
    // The bound trains the variance only (Nichol & Dhariwal 2021, Sec. 3.1).
    let each = each(config, mean, target)?;
    let weighted = weighted(config, numbers, &each)?.f_add(&bits(&mean.f_detach()?)?)?;
    Ok(Losses { each, weighted })
}

/// The mean error over each image, `[b]`.
fn each(config: &TrainConfig, output: &Tensor, target: &Tensor) -> Result<Tensor, TrainerError> {
    let errors = match config.loss {
        Loss::Squared | Loss::Vlb | Loss::Consistency => output.f_mse_loss(target, Reduction::None)?,
        // libtorch's Huber loss is half the square near 0.
        Loss::Huber => {
            output.f_huber_loss(target, Reduction::None, config.huber_delta())?.f_mul_scalar(2.0)?
        }
    };
    Ok(errors.f_flatten(1, -1)?.f_mean_dim(1_i64, false, target.f_kind()?)?)
}

/// The weighted losses, `[b]`.
fn weighted(config: &TrainConfig, numbers: &Numbers, losses: &Tensor) -> Result<Tensor, TrainerError> {
    let plain = match config.loss_weight {
        LossWeight::Simple => config.prediction == Prediction::Eps,
        LossWeight::Output => true,
        _ => false,
    };
    if plain && config.time_sampling != config::TimeSampling::ByLoss {
        return Ok(losses.shallow_clone());
    }
    Ok(losses.f_mul(&numbers.row(Row::Weight)?)?)
}

/// Whether a network with this kind of output ever gets an input other than `x_t`.
pub(crate) fn scales_input(
    path: &dyn schedule::NoisePath,
    prediction: Prediction,
) -> Result<bool, TrainerError> {
    let first = path.level_at(0.0)?;
    Ok([first, path.noisiest()?].iter().any(|level| prediction.c_in(level) != 1.0))
}
