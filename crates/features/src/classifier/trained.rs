//! A trained classifier: its accuracy and its file.

use std::collections::BTreeMap;

use ndarray::Axis;
use tch::{Device, Kind};
use tensor_io::Named;

use super::plan::Plan;
use super::selection::Selection;
use super::{Classifier, KIND};
use crate::error::FeaturesError;
use crate::extractor::Extractor;

/// Images read at a time.
const READ: usize = 1024;

/// What a file records besides the shape of the images.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Name of the features, without the word "features": `fashion`.
    pub name: String,
    /// A description of the training images.
    pub trained_on: String,
    /// Number of training images.
    pub images: usize,
    /// A description of the images that measured the accuracy.
    pub held_out: String,
    /// Share of those that it classified correctly, in 0..=1.
    pub accuracy: f64,
}

/// A trained classifier, with weights rounded to f16 as in its file.
pub struct TrainedClassifier {
    plan: Plan,
    /// The weights, in f16.
    tensors: Vec<Named>,
    extractor: Extractor,
}

impl TrainedClassifier {
    pub(super) fn new(plan: Plan, tensors: Vec<Named>, device: Device) -> Result<Self, FeaturesError> {
        let to = |kind| move |(name, tensor): &Named| Ok((name.clone(), tensor.f_to_kind(kind)?));
        let stored: Vec<Named> = tensors.iter().map(to(Kind::Half)).collect::<Result<_, FeaturesError>>()?;
        let used = stored.iter().map(to(Kind::Float)).collect::<Result<_, FeaturesError>>()?;
        let extractor = Extractor::of_classifier(Classifier::new(String::new(), plan, used, device)?);
        Ok(Self { plan, tensors: stored, extractor })
    }

    /// Share of the images whose most probable class is their label, in 0..=1.
    ///
    /// # Errors
    /// [`FeaturesError::Images`] for images of another shape; errors of reading; errors from libtorch.
    pub fn accuracy(&self, images: &Selection<'_>) -> Result<f64, FeaturesError> {
        let indices: Vec<usize> = (0..images.len()).collect();
        let mut right = 0;
        for part in indices.chunks(READ) {
            let extracted = self.extractor.extract(images.images(part)?.view())?;
            let answers = extracted.answers.unwrap_or_default();
            let told = answers.axis_iter(Axis(0)).map(|row| {
                let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                best.map(|(class, _)| class as u32)
            });
            right += part.iter().zip(told).filter(|&(&index, told)| images.label(index) == told).count();
        }
        Ok(right as f64 / images.len().max(1) as f64)
    }

    /// The contents of its file, for [`Extractor::open`].
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn file(&self, about: &About) -> Result<Vec<u8>, FeaturesError> {
        let Plan { height, width, channels, classes } = self.plan;
        let metadata = [
            ("kind", KIND.to_owned()),
            ("name", about.name.clone()),
            ("height", height.to_string()),
            ("width", width.to_string()),
            ("channels", channels.to_string()),
            ("classes", classes.to_string()),
            ("accuracy", format!("{:.4}", about.accuracy)),
            ("held_out", about.held_out.clone()),
            ("trained_on", about.trained_on.clone()),
            ("n", about.images.to_string()),
        ];
        let metadata: BTreeMap<_, _> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(tensor_io::serialize_with(&self.tensors, &metadata)?)
    }
}
