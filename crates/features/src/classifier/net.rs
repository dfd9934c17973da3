//! The network for inference: convolutions with bias, ReLU, a mean over the map, and a linear layer to the classes.

use tch::{Device, Kind, Tensor};
use tensor_io::Named;

use super::plan::{Layer, Plan};
use crate::error::FeaturesError;

/// A trained classifier.
pub(crate) struct Net {
    plan: Plan,
    convolutions: Vec<(Layer, [Tensor; 2])>,
    classes: [Tensor; 2],
}

impl Net {
    /// Builds it from the tensors of [`Plan::tensors`], in that order.
    pub(crate) fn new(plan: Plan, tensors: Vec<Named>, device: Device) -> Result<Self, FeaturesError> {
        let mut tensors = tensors.into_iter().map(|(_, tensor)| tensor.f_to_device(device));
        let mut pair = || -> Result<[Tensor; 2], FeaturesError> {
            let missing = || tch::TchError::Kind("fewer tensors than layers".to_owned());
            Ok([tensors.next().ok_or_else(missing)??, tensors.next().ok_or_else(missing)??])
        };
        let convolutions = plan
            .layers()
            .into_iter()
            .map(|layer| Ok((layer, pair()?)))
            .collect::<Result<_, FeaturesError>>()?;
        Ok(Self { plan, convolutions, classes: pair()? })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Maps images `[b, c, h, w]` in [-1, 1] to features `[b, 128]` and logits `[b, classes]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor), FeaturesError> {
        let mut x = x.f_to_device(self.classes[0].device())?;
        for (layer, [weight, bias]) in &self.convolutions {
            x = x.f_conv2d(weight, Some(bias), layer.stride, 1, 1, 1)?.f_relu()?;
        }
        let features = x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)?; // [b, 128]
        let [weight, bias] = &self.classes;
        let logits = features.f_linear(weight, Some(bias))?;
        Ok((features, logits))
    }
}
