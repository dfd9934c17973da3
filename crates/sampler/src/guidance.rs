//! Classifier-free guidance (Ho & Salimans 2022): one network's conditional and unconditional predictions,
//! extrapolated, `u + w (c - u)`.

use denoiser::NO_LABEL;
use tch::{Kind, TchError, Tensor};
use thiserror::Error;

use crate::error::BoxError;

/// How strongly sampling is guided towards the labels.
///
/// ```
/// use sampler::{BoxError, Guidance};
/// use tch::Tensor;
///
/// // A network that puts out its label, and 0 without one.
/// let network = |x_t: &Tensor, _t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
///     let Some(labels) = labels else { return Ok(x_t.zeros_like()) };
///     Ok(x_t.zeros_like() + labels.clamp_min(0).view([-1, 1, 1, 1]))
/// };
/// let guided = Guidance::new(3.0).apply(network, &Tensor::from_slice(&[1_i64, 2]), 1000)?;
/// let x_t = Tensor::zeros([2, 1, 1, 1], (tch::Kind::Float, tch::Device::Cpu));
/// let output = guided(&x_t, &Tensor::from_slice(&[999_i64, 999]))?;
/// assert_eq!(tensor_io::to_vec(&output)?, [3.0, 6.0]);
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// w in `u + w (c - u)`, 0 or more: 0 is unconditional, 1 conditional, more than 1 guides. It is 1 + w of Ho &
    /// Salimans 2022, Eq. 6, where w = 0 is conditional.
    pub scale: f64,
    /// Where in the chain to guide, as shares of T in `[0, 1]`: at the paper's t with `low < t / T <= high`, which is
    /// `t + 1` here. Elsewhere the prediction is conditional (Kynkaanniemi et al. 2024, who find guidance harmful at
    /// high noise and useless at low noise). `(0, 1)` is everywhere.
    pub interval: (f64, f64),
    /// phi of Lin et al. 2024, Sec. 3.4, 0 to 1: how far the standard deviation of each guided output is moved back
    /// to that of the conditional one. 0 leaves it.
    pub rescale: f64,
}

/// Invalid guidance settings or inputs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuidanceError {
    /// The scale is negative or not finite.
    #[error("guidance scale = {got}: expected 0 (unconditional), 1 (conditional) or more")]
    Scale {
        /// The value.
        got: f64,
    },
    /// The interval is empty, reversed or not within [0, 1].
    #[error(
        "guidance interval = {low}, {high}: expected 0 <= low < high <= 1, shares of the chain's T steps"
    )]
    Interval {
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// The rescaling is not within [0, 1].
    #[error("guidance rescale = {got}: expected 0 (none) to 1 (all the way)")]
    Rescale {
        /// The value.
        got: f64,
    },
    /// The labels are not a list of i64.
    #[error("labels must be i64 of shape [b], got {got_kind} of shape {got:?}")]
    Labels {
        /// Their shape.
        got: Vec<i64>,
        /// Their element type.
        got_kind: String,
    },
    /// The numbers of images and labels differ.
    #[error("x_t has shape {got:?}, expected [{expected}, c, h, w], one image per label")]
    Batch {
        /// How many labels.
        expected: i64,
        /// Shape of `x_t`.
        got: Vec<i64>,
    },
    /// The network's output does not have the shape of its input.
    #[error("the network returned shape {got:?} for x_t of shape {expected:?}")]
    Output {
        /// Shape of its input; twice the channels are also valid.
        expected: Vec<i64>,
        /// Shape of its output.
        got: Vec<i64>,
    },
    /// An error of libtorch.
    #[error(transparent)]
    Torch(#[from] TchError),
}

/// Which predictions a step needs from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Unconditional,
    Conditional,
    Both,
}

impl Guidance {
    /// Guidance with this scale over the whole chain, without rescaling.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        Self { scale, interval: (0.0, 1.0), rescale: 0.0 }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`GuidanceError::Scale`], [`GuidanceError::Interval`], [`GuidanceError::Rescale`].
    pub fn validate(&self) -> Result<(), GuidanceError> {
        if !(self.scale >= 0.0 && self.scale.is_finite()) {
            return Err(GuidanceError::Scale { got: self.scale });
        }
        let (low, high) = self.interval;
        if !(low >= 0.0 && low < high && high <= 1.0) {
            return Err(GuidanceError::Interval { low, high });
        }
        if !(0.0..=1.0).contains(&self.rescale) {
            return Err(GuidanceError::Rescale { got: self.rescale });
        }
        Ok(())
    }

    /// Turns a conditional network into a [`crate::Model`] that is guided towards `labels` `[b]` i64, one per image;
    /// -1 means no label. `timesteps` is the T of the chain it was trained on.
    ///
    /// `model` takes `x_t` `[n, c, h, w]`, `t` `[n]` and labels `[n]`, or no labels at all for unconditional
    /// predictions. A step calls it once. If there is something to extrapolate, both halves form one batch, n = 2b;
    /// otherwise, as at scale 0 or 1 and outside the interval, n = b.
    ///
    /// Its output `[n, c, h, w]`, or `[n, 2c, h, w]` with a learned variance, may be eps, v or x_0. At a given t each
    /// is an affine function of the others, with weights that do not depend on the labels. The weights 1 - w and w
    /// sum to 1, so guidance is the same in all three. Rescaling is not: it uses the output as it is (v, in Lin et
    /// al. 2024). At scale 0 nothing is rescaled, because the conditional prediction is not computed.
    ///
    /// Put `labels` on the device of the images: they are prepared here, not in every step. `t` is read only if the
    /// interval is narrower than the chain, and then only its first value, since a batch has one t. On a GPU the host
    /// then waits for the step before.
    ///
    /// # Errors
    /// Those of [`Guidance::validate`]; [`GuidanceError::Labels`]; those of libtorch. The returned model passes on
    /// errors of `model` and fails with [`GuidanceError::Batch`] and [`GuidanceError::Output`].
    pub fn apply<M>(
        &self,
        model: M,
        labels: &Tensor,
        timesteps: usize,
    ) -> Result<impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + use<M>, GuidanceError>
    where
        M: Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError>,
    {
        self.validate()?;
        let (guidance, kind) = (*self, labels.f_kind()?);
        let (&[batch], Kind::Int64) = (&labels.size()[..], kind) else {
            return Err(GuidanceError::Labels { got: labels.size(), got_kind: format!("{kind:?}") });
        };
        let labels = labels.shallow_clone();
        let both = Tensor::f_cat(&[&labels, &labels.f_full_like(NO_LABEL)?], 0)?; // [2b]
        Ok(move |x_t: &Tensor, t: &Tensor| {
            let size = x_t.size();
            if size.len() != 4 || size[0] != batch {
                return Err(GuidanceError::Batch { expected: batch, got: size }.into());
            }
            match guidance.ask(t, timesteps)? {
                Ask::Unconditional => model(x_t, t, None),
                Ask::Conditional => model(x_t, t, Some(&labels)),
                Ask::Both => {
                    let twice = Tensor::f_cat(&[x_t, x_t], 0)?; // [2b, c, h, w]
                    let output = model(&twice, &Tensor::f_cat(&[t, t], 0)?, Some(&both))?;
                    check_output(&twice, &output)?;
                    // A half-precision network returns half precision; differences are taken in the type of x_t.
                    let output = output.f_to_kind(x_t.f_kind()?)?;
                    let halves = [output.f_narrow(0, 0, batch)?, output.f_narrow(0, batch, batch)?];
                    Ok(guidance.combine(&halves[0], &halves[1], size[1])?)
                }
            }
        })
    }

    /// Which predictions a step at `t` `[b]`, one value for all, needs.
    fn ask(&self, t: &Tensor, timesteps: usize) -> Result<Ask, TchError> {
        if self.scale == 1.0 || !self.guides_at(t, timesteps)? {
            return Ok(Ask::Conditional);
        }
        Ok(if self.scale == 0.0 { Ask::Unconditional } else { Ask::Both })
    }

    pub(crate) fn guides_at(&self, t: &Tensor, timesteps: usize) -> Result<bool, TchError> {
        if self.interval == (0.0, 1.0) {
            return Ok(true);
        }
        let share = (f64::try_from(&t.f_get(0)?)? + 1.0) / timesteps as f64;
        let (low, high) = self.interval;
        Ok(low < share && share <= high)
    }

    /// The guided output from the conditional and the unconditional one, or the better and the worse, `[b, c, h, w]`
    /// or, with a learned variance, `[b, 2c, h, w]` each. The variance stays the conditional one and is not
    /// extrapolated.
    pub(crate) fn combine(
        &self,
        conditional: &Tensor,
        unconditional: &Tensor,
        c: i64,
    ) -> Result<Tensor, TchError> {
        let all = conditional.size()[1];
        let mean = self.extrapolate(&conditional.f_narrow(1, 0, c)?, &unconditional.f_narrow(1, 0, c)?)?;
        if all == c { Ok(mean) } else { Tensor::f_cat(&[mean, conditional.f_narrow(1, c, all - c)?], 1) }
    }

    fn extrapolate(&self, conditional: &Tensor, unconditional: &Tensor) -> Result<Tensor, TchError> {
        let difference = conditional.f_sub(unconditional)?;
        let guided = difference.f_mul_scalar(self.scale)?.f_add(unconditional)?;
        if self.rescale == 0.0 {
            return Ok(guided);
        }
        // Per image; otherwise its neighbours in the batch would change it.
        let deviation = |images: &Tensor| images.f_flatten(1, -1)?.f_std_dim(1, false, false); // [b]
        let of_guided = deviation(&guided)?;
        let ratio = deviation(conditional)?.f_div(&of_guided)?;
        // A constant output has no deviation to rescale.
        let ratio = ratio.f_where_self(&of_guided.f_gt(0.0)?, &ratio.f_ones_like()?)?;
        let factor = ratio.f_mul_scalar(self.rescale)?.f_add_scalar(1.0 - self.rescale)?;
        guided.f_mul(&factor.f_view([-1, 1, 1, 1])?)
    }
}

/// Checks that the output has the shape of the input, or twice the channels with a learned variance.
pub(crate) fn check_output(x_t: &Tensor, output: &Tensor) -> Result<(), GuidanceError> {
    let (expected, got) = (x_t.size(), output.size());
    let mut with_variance = expected.clone();
    with_variance[1] *= 2;
    if got == expected || got == with_variance {
        Ok(())
    } else {
        Err(GuidanceError::Output { expected, got })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        let good = Guidance::new(2.0);
        for guidance in [
            Guidance::new(0.0),
            Guidance::new(1.0),
            Guidance { interval: (0.2, 0.8), rescale: 1.0, ..good },
            Guidance { interval: (0.0, 0.5), ..good },
        ] {
            guidance.validate().unwrap();
        }
        for got in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Guidance::new(got).validate().unwrap_err();
            assert!(matches!(error, GuidanceError::Scale { got: g } if g.total_cmp(&got).is_eq()), "{error}");
        }
        for interval in [(0.8, 0.2), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (f64::NAN, 1.0), (0.0, f64::NAN)] {
            let error = Guidance { interval, ..good }.validate().unwrap_err();
            assert!(matches!(error, GuidanceError::Interval { .. }), "{interval:?}: {error}");
        }
        for rescale in [-0.1, 1.1, f64::NAN] {
            let error = Guidance { rescale, ..good }.validate().unwrap_err();
            assert!(matches!(error, GuidanceError::Rescale { .. }), "{rescale}: {error}");
        }
    }

    /// The paper's t is t + 1, and the interval is open below and closed above.
    #[test]
    fn the_interval_is_in_shares_of_the_chain() {
        let guidance = Guidance { interval: (0.2, 0.5), ..Guidance::new(3.0) };
        let asks = |t: i64| {
            let whole = guidance.ask(&Tensor::from_slice(&[t, t]), 10).unwrap();
            // A sampler may pass t as floats, with the same result.
            assert_eq!(whole, guidance.ask(&Tensor::from_slice(&[t as f32, t as f32]), 10).unwrap());
            whole
        };
        let guided: Vec<i64> = (0..10).filter(|&t| asks(t) == Ask::Both).collect();
        assert_eq!(guided, [2, 3, 4]);
        assert!((0..2).chain(5..10).all(|t| asks(t) == Ask::Conditional));
        let between = |t: f32| guidance.ask(&Tensor::from_slice(&[t]), 10).unwrap() == Ask::Both;
        assert!(!between(1.0) && between(1.01) && between(4.0) && !between(4.01));
    }
}
