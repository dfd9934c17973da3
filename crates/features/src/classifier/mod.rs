//! A small convolutional classifier whose penultimate activations are the features.

mod net;
mod plan;

use ndarray::ArrayView4;
use tch::{Device, Kind};

use crate::error::{FeaturesError, shape_text};
use crate::extractor::Given;
use crate::weights::Weights;
use net::Net;
pub use plan::Plan;

/// What the metadata of its file says under `kind`.
pub(crate) const KIND: &str = "classifier";

/// Floats of a feature map that a part may take: 64 MiB.
const PART_FLOATS: usize = 16 << 20;
/// Most images of a part.
const PART_IMAGES: usize = 256;

/// The classifier of a file, ready for images.
pub(crate) struct Classifier {
    name: String,
    net: Net,
}

impl Classifier {
    /// # Errors
    /// [`FeaturesError::Metadata`] and [`FeaturesError::Tensors`] for a file that does not fit itself.
    pub(crate) fn load(weights: &Weights, device: Device) -> Result<Self, FeaturesError> {
        let sides = (Plan::SIDES.0, Plan::SIDES.1);
        let plan = Plan {
            height: weights.number("height", sides)?,
            width: weights.number("width", sides)?,
            channels: weights.number("channels", (1, 3))?,
            classes: weights.number("classes", (2, Plan::MOST_CLASSES))?,
        };
        let name = format!("{} features", weights.text("name")?);
        Ok(Self { name, net: Net::new(plan, weights.tensors(&plan.tensors())?, device)? })
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
        format!("none ({height}x{width})")
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

    /// The number is a function of the shape alone.
    pub(crate) fn part(&self) -> usize {
        (PART_FLOATS / self.net.plan().largest_map()).clamp(1, PART_IMAGES)
    }

    pub(crate) fn forward(&self, part: ArrayView4<'_, u8>) -> Result<Given, FeaturesError> {
        let x = tensor_io::from_array(&dataset::to_model(part).view().into_dyn())?;
        let (features, logits) = self.net.forward(&x)?;
        Ok((features, Some(logits.f_softmax(-1, Kind::Float)?)))
    }
}
