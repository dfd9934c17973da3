//! InceptionV3 as used for the Frechet inception distance ("FID") of Heusel et al. 2017, with weights that a user
//! supplies.

mod net;
mod plan;
mod resize;

use ndarray::ArrayView4;
use tch::{Device, Kind};

use crate::error::FeaturesError;
use crate::extractor::Given;
use crate::weights::Weights;
use net::Net;
use resize::Resize;

/// The value of `kind` in the metadata of its file.
pub(crate) const KIND: &str = "inception-v3-fid";

/// Images in the network at a time: 0.6 GB at its widest layer.
const PART: usize = 16;

/// A network loaded from a file, ready for images.
pub(crate) struct Inception {
    net: Net,
    resize: Resize,
}

impl Inception {
    /// # Errors
    /// [`FeaturesError::Metadata`] and [`FeaturesError::Tensors`] for a file without such a network.
    pub(crate) fn load(weights: &Weights, device: Device) -> Result<Self, FeaturesError> {
        let rule = weights.text("resize")?;
        let resize = Resize::named(rule).ok_or_else(|| weights.wrong("resize", &Resize::names(), rule))?;
        Ok(Self { net: Net::new(weights.tensors(&plan::tensors())?, device)?, resize })
    }

    pub(crate) fn name(&self) -> &'static str {
        "InceptionV3 features"
    }

    pub(crate) fn width(&self) -> usize {
        plan::FEATURES
    }

    pub(crate) fn classes(&self) -> usize {
        plan::CLASSES
    }

    pub(crate) fn resize_rule(&self) -> String {
        self.resize.to_string()
    }

    /// Any size is accepted.
    pub(crate) fn check(&self, found: [usize; 3]) -> Result<(), FeaturesError> {
        let [height, width, channels] = found;
        if height > 0 && width > 0 && [1, 3].contains(&channels) {
            return Ok(());
        }
        let expected = "any size and 1 or 3 channels".to_owned();
        Err(FeaturesError::Images { network: self.name().to_owned(), expected, found })
    }

    pub(crate) fn part(&self) -> usize {
        PART
    }

    pub(crate) fn forward(&self, part: ArrayView4<'_, u8>) -> Result<Given, FeaturesError> {
        let (features, logits) = self.net.forward(&self.resize.apply(part, self.net.device())?)?;
        Ok((features, Some(logits.f_softmax(-1, Kind::Float)?)))
    }
}
