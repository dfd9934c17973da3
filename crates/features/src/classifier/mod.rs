//! A small convolutional classifier whose penultimate activations are the features.

mod augment;
mod descent;
mod net;
mod plan;
mod selection;
mod train;
mod trainable;
mod trained;

use ndarray::ArrayView4;
use tch::{Device, Kind};
use tensor_io::Named;

use crate::error::{FeaturesError, shape_text};
use crate::extractor::Given;
use crate::weights::Weights;
use net::Net;
use plan::Plan;
pub use selection::Selection;
pub use train::{ClassifierTraining, TrainOptions};
pub use trained::{About, TrainedClassifier};

/// The value of `kind` in the metadata of its file.
pub(crate) const KIND: &str = "classifier";

/// Images per pass.
const PART: usize = 64;

/// A classifier loaded from a file, ready for images.
pub(crate) struct Classifier {
    name: String,
    net: Net,
}

impl Classifier {
    /// # Errors
    /// [`FeaturesError::Metadata`] and [`FeaturesError::Tensors`] for an inconsistent file.
    pub(crate) fn load(weights: &Weights, device: Device) -> Result<Self, FeaturesError> {
        let plan = Plan {
            height: weights.number("height", Plan::SIDES)?,
            width: weights.number("width", Plan::SIDES)?,
            channels: weights.number("channels", (1, 3))?,
            classes: weights.number("classes", (2, Plan::MOST_CLASSES))?,
        };
        Self::new(weights.name()?.to_owned(), plan, weights.tensors(&plan.tensors())?, device)
    }

    /// Builds it from the tensors of [`Plan::tensors`], in that order.
    pub(crate) fn new(
        name: String,
        plan: Plan,
        tensors: Vec<Named>,
        device: Device,
    ) -> Result<Self, FeaturesError> {
        Ok(Self { name: format!("{name} features"), net: Net::new(plan, tensors, device)? })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn width(&self) -> usize {
        Plan::FEATURES
    }

    pub(crate) fn classes(&self) -> usize {
        self.net.plan().classes
    }

    pub(crate) fn resize_rule(&self) -> String {
        let Plan { height, width, .. } = self.net.plan();
        format!("none ({width}x{height})")
    }

    pub(crate) fn check(&self, found: [usize; 3]) -> Result<(), FeaturesError> {
        let Plan { height, width, channels, .. } = *self.net.plan();
        if found == [height, width, channels] {
            return Ok(());
        }
        let expected = format!(
            "{}; train features for your own images with `ddpm train-features`",
            shape_text([height, width, channels])
        );
        Err(FeaturesError::Images { network: self.name.clone(), expected, found })
    }

    pub(crate) fn part(&self) -> usize {
        PART
    }

    pub(crate) fn forward(&self, part: ArrayView4<'_, u8>) -> Result<Given, FeaturesError> {
        let x = tensor_io::from_array(&dataset::to_model(part).view().into_dyn())?;
        let (features, logits) = self.net.forward(&x)?;
        Ok((features, Some(logits.f_softmax(-1, Kind::Float)?)))
    }
}
