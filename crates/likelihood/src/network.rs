//! Calls of the network with a level for each image.

use denoiser::Conditional;
use schedule::{Level, Prediction};
use tch::{Device, Kind, Tensor};

use crate::error::LikelihoodError;

/// What a network outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// The quantity it predicts.
    pub prediction: Prediction,
    /// Whether a second half of channels gives the variance of each pixel (Nichol & Dhariwal 2021, Sec. 3.1).
    pub learned_variance: bool,
}

/// A network and the labels of a batch.
pub(crate) struct Network<'a> {
    pub(crate) model: &'a Conditional<'a>,
    pub(crate) output: Output,
    pub(crate) labels: Option<Tensor>,
    /// The type in which it computes.
    pub(crate) kind: Kind,
    /// Whether it was trained on whole t only.
    pub(crate) discrete: bool,
}

impl Network<'_> {
    /// The network's input for `x_t` `[b, c, h, w]` with a level for each image: scaled, and in the network's type.
    pub(crate) fn shown(&self, x_t: &Tensor, levels: &[Level]) -> Result<Tensor, LikelihoodError> {
        let scales: Vec<f64> = levels.iter().map(|level| self.output.prediction.c_in(level)).collect();
        let scaled = if scales.iter().all(|scale| *scale == 1.0) {
            x_t.shallow_clone()
        } else {
            each(&scales, x_t.device())?.f_mul(x_t)?
        };
        Ok(scaled.f_to_kind(self.kind)?)
    }

    /// The output for an input made by [`Network::shown`], `[b, c, h, w]`, and the predicted variance, if any.
    pub(crate) fn ask(
        &self,
        shown: &Tensor,
        levels: &[Level],
    ) -> Result<(Tensor, Option<Tensor>), LikelihoodError> {
        let t: Vec<f64> = levels.iter().map(|level| level.t).collect();
        let whole = self.discrete && t.iter().all(|t| t.fract() == 0.0);
        let t = Tensor::f_from_slice(&t)?.f_to_kind(if whole { Kind::Int64 } else { self.kind })?;
        let output = (self.model)(shown, &t.f_to_device(shown.device())?, self.labels.as_ref());
        let output = output.map_err(LikelihoodError::Caller)?;
        let mut expected = shown.size();
        expected[1] *= if self.output.learned_variance { 2 } else { 1 };
        if output.size() != expected {
            return Err(LikelihoodError::Output { expected, got: output.size() });
        }
        if !self.output.learned_variance {
            return Ok((output, None));
        }
        let mut halves = output.f_chunk(2, 1)?;
        let variance = halves.pop();
        Ok((halves.swap_remove(0), variance))
    }
}

/// One number per image, `[b, 1, 1, 1]` f64.
pub(crate) fn each(numbers: &[f64], device: Device) -> Result<Tensor, LikelihoodError> {
    Ok(Tensor::f_from_slice(numbers)?.f_view([-1, 1, 1, 1])?.f_to_device(device)?)
}

/// Checks that a batch has one label per image.
pub(crate) fn check_labels(
    labels: Option<&Tensor>,
    images: &Tensor,
) -> Result<Option<Tensor>, LikelihoodError> {
    let (expected, got) = (images.size()[0], labels.map(Tensor::size).unwrap_or_default());
    match labels {
        Some(_) if got.first() != Some(&expected) => Err(LikelihoodError::Labels { expected, got }),
        Some(labels) => Ok(Some(labels.f_to_device(images.device())?)),
        None => Ok(None),
    }
}
