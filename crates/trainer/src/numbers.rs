//! The per-image coefficients of a batch, derived from its levels in f64, rounded once, and sent to the device together with
//! the images. So a step recorded on a GPU uses the coefficients of the step that it is replayed for.

use schedule::{Level, NoisePath, Posterior};
use tch::{Kind, Tensor};

use config::{LearnedVariance, Loss, TrainConfig};

use crate::consistency;
use crate::draw::Draw;
use crate::error::TrainerError;

/// A row of [`Numbers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// `x_t = alpha x_0 + sigma eps`.
    Alpha,
    Sigma,
    /// Scale of the network's input.
    CIn,
    /// Weights of `x_0` and eps in the target of the output.
    TargetX0,
    TargetEps,
    /// Weight of the image's loss.
    Weight,
    /// From here on: for learned variances. Weights that give `x_0` from the output.
    Skip,
    Out,
    /// Weight of `x_0` in the mean of the posterior.
    MeanX0,
    /// Logarithms of variances: of the posterior, which is also the lower end, and of beta.
    LogVariance,
    LogBeta,
    /// 1 for the first step of the chain, whose term is the decoder's.
    IsFirst,
    /// Weight of the image's term of the bound.
    BoundWeight,
    /// From here on for consistency. The level below, its form of `x_0`, and its t.
    BelowAlpha,
    BelowSigma,
    BelowCIn,
    BelowSkip,
    BelowOut,
    BelowT,
}

impl Row {
    const PLAIN: usize = Self::Weight as usize + 1;
    const LEARNED: usize = Self::BoundWeight as usize + 1;
    const ALL: usize = Self::BelowT as usize + 1;
}

/// One number per row and image, `[rows, b]`, in the type of the images.
pub(crate) struct Numbers {
    tensor: Tensor,
}

impl Numbers {
    /// The numbers of a draw, in host memory and in the images' type.
    pub(crate) fn on_host(
        path: &dyn NoisePath,
        config: &TrainConfig,
        draw: &Draw,
        kind: Kind,
    ) -> Result<Tensor, TrainerError> {
        let images = draw.levels.len();
        let learned = config.variance == LearnedVariance::Learned;
        let consistency = config.loss == Loss::Consistency;
        let rows = match (consistency, learned) {
            (true, _) => Row::ALL,
            (_, true) => Row::LEARNED,
            _ => Row::PLAIN,
        };
        let mut table = vec![0.0; rows * images];
        let (output, weight) = (config.output(), config.weight());
        let mut set = |row: Row, image: usize, value: f64| table[row as usize * images + image] = value;
        for (image, (level, more_often)) in draw.levels.iter().zip(&draw.oversampled).enumerate() {
            let target = output.target(level);
            set(Row::Alpha, image, level.alpha);
            set(Row::Sigma, image, level.sigma);
            set(Row::CIn, image, output.c_in(level));
            set(Row::TargetX0, image, target.x_0);
            set(Row::TargetEps, image, target.eps);
            set(Row::Weight, image, weight.of(output, level) / more_often);
            if consistency {
                let below = draw.below.get(image).unwrap_or(level);
                consistency::numbers(output, (level, below), *more_often, &mut |row, value| {
                    set(row, image, value)
                })?;
            }
            if learned {
                bound(path, config, level, *more_often, &mut |row, value| set(row, image, value))?;
            }
        }
        Ok(tensor_io::from_slice(&table, &[rows as i64, images as i64])?.f_to_kind(kind)?)
    }

    /// The same numbers, not copied.
    pub(crate) fn clone(&self) -> Self {
        Self::new(&self.tensor)
    }

    /// Wraps a tensor made by [`Numbers::on_host`], on any device.
    pub(crate) fn new(tensor: &Tensor) -> Self {
        Self { tensor: tensor.shallow_clone() }
    }

    /// The columns of `images` images from `first` on.
    pub(crate) fn part(&self, first: i64, images: i64) -> Result<Self, TrainerError> {
        Ok(Self { tensor: self.tensor.f_narrow(1, first, images)? })
    }

    /// A row, `[b]`.
    pub(crate) fn row(&self, row: Row) -> Result<Tensor, TrainerError> {
        Ok(self.tensor.f_select(0, row as i64)?)
    }

    /// A row as the weights of images, `[b, 1, 1, 1]`.
    pub(crate) fn each(&self, row: Row) -> Result<Tensor, TrainerError> {
        Ok(self.row(row)?.f_view([-1, 1, 1, 1])?)
    }

    /// `a x + b y` with the weights of each image.
    pub(crate) fn sum(&self, (a, x): (Row, &Tensor), (b, y): (Row, &Tensor)) -> Result<Tensor, TrainerError> {
        Ok(self.each(a)?.f_mul(x)?.f_add(&self.each(b)?.f_mul(y)?)?)
    }
}

/// Sets the numbers of the variational bound at a step of a chain.
fn bound(
    path: &dyn NoisePath,
    config: &TrainConfig,
    level: &Level,
    more_often: f64,
    set: &mut dyn FnMut(Row, f64),
) -> Result<(), TrainerError> {
    let below = |level: &Level| if level.t < 1.0 { Ok(Level::DATA) } else { path.level_at(level.t - 1.0) };
    let step = Posterior::between(level, &below(level)?);
    // The first variance is 0 and has no logarithm, so the second step's is used (Nichol & Dhariwal 2021, Sec. 3.1).
    let variance = if step.variance > 0.0 {
        step.variance
    } else {
        let second = path.level_at(1.0)?;
        Posterior::between(&second, &below(&second)?).variance
    };
    let form = config.output().form(level)?;
    set(Row::Skip, form.skip);
    set(Row::Out, form.out);
    set(Row::MeanX0, step.x_0);
    set(Row::LogVariance, variance.ln());
    set(Row::LogBeta, step.beta.ln());
    set(Row::IsFirst, f64::from(u8::from(level.t < 1.0)));
    // A term stands for all T of them; the part of the loss that does not depend on the variance has its own weight.
    let weight = if config.loss == Loss::Vlb { 1.0 } else { config.vlb_weight() };
    set(Row::BoundWeight, weight * path.steps() as f64 / more_often);
    Ok(())
}

/// The factor that turns the squared error of each image's output into that of eps. An error of consistency is left
/// as it is.
pub(crate) fn in_eps(config: &TrainConfig, levels: &[Level]) -> Vec<f64> {
    if config.loss == Loss::Consistency {
        return vec![1.0; levels.len()];
    }
    let output = config.output();
    levels.iter().map(|level| output.eps_weights(level).1.powi(2)).collect()
}

/// The t of each image, `[b]`: i64 if the network is trained on integer t only, otherwise f32.
pub(crate) fn times(path: &dyn NoisePath, levels: &[Level]) -> Result<Tensor, TrainerError> {
    let t: Vec<f64> = levels.iter().map(|level| level.t).collect();
    Ok(Tensor::f_from_slice(&t)?.f_to_kind(if path.is_discrete() { Kind::Int64 } else { Kind::Float })?)
}
