//! The condition for a conditional network: a class for each image, and the guidance.

use std::ops::Range;
use std::rc::Rc;

use sampler::{BoxError, Guidance, Model};
use tch::{Kind, Tensor};
use tracing::warn;
use unet::{Backbone, NO_LABEL, Pass, Predictor};

use crate::config::ImagesConfig;

/// The classes of a set of images, in turn: image i shows class i modulo their number, whatever its batch. Without
/// classes the images are unconditional.
#[derive(Clone)]
pub(crate) struct Conditioning {
    classes: Vec<i64>,
    guidance: Guidance,
    /// A worse network to guide away from, instead of the same one without classes.
    guide: Option<Rc<dyn Backbone>>,
}

impl Conditioning {
    /// Unconditional images, even for a conditional network.
    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), Guidance::new(1.0))
    }

    /// Labels of classes that the network has.
    pub(crate) fn new(classes: Vec<i64>, guidance: Guidance) -> Self {
        Self { classes, guidance, guide: None }
    }

    /// The same, but guided away from a worse network.
    pub(crate) fn against(self, guide: Rc<dyn Backbone>) -> Self {
        Self { guide: Some(guide), ..self }
    }

    /// Every class that a network learned from these images, in turn, without guidance; none for an unconditional
    /// network.
    pub(crate) fn every_class_of(net: &dyn Backbone, images: &ImagesConfig) -> Self {
        Self::new(images.learned_classes(net.facts().classes.unwrap_or(0)), Guidance::new(1.0))
    }

    /// The classes that are drawn in turn; empty for unconditional images.
    pub(crate) fn classes(&self) -> &[i64] {
        &self.classes
    }

    /// The guidance, if there are classes.
    pub(crate) fn guidance(&self) -> Option<&Guidance> {
        (!self.classes.is_empty() || self.guide.is_some()).then_some(&self.guidance)
    }

    /// The labels of a range of images.
    pub(crate) fn labels(&self, images: Range<usize>) -> Vec<i64> {
        images.filter_map(|image| self.classes.get(image % self.classes.len().max(1)).copied()).collect()
    }

    /// The labels saved with the images: a guidance scale of 0 draws no class.
    pub(crate) fn drawn_labels(&self, images: Range<usize>) -> Vec<i64> {
        let mut labels = self.labels(images);
        if self.guidance.scale == 0.0 && self.guidance.interval == (0.0, 1.0) && self.guide.is_none() {
            labels.fill(NO_LABEL);
        }
        labels
    }

    /// Warns if some of the classes will not be drawn.
    pub(crate) fn check_count(&self, images: usize) {
        let classes = self.classes.len();
        if classes > images {
            warn!(
                "--class names {classes} classes and --count {images} draws the first {images} of them; --count {classes} has one \
                 image of each"
            );
        }
    }

    /// The network as a sampler calls it, for a range of images. `timesteps` is its T.
    pub(crate) fn model<'a>(
        &self,
        (net, kind): (&'a dyn Backbone, Kind),
        timesteps: usize,
        images: Range<usize>,
    ) -> anyhow::Result<Box<Model<'a>>> {
        if let Some(guide) = &self.guide {
            let (model, guide) = (self.asked(net, kind, &images)?, self.asked(&**guide, kind, &images)?);
            return Ok(Box::new(self.guidance.against(guide, model, timesteps)?));
        }
        if self.classes.is_empty() {
            return Ok(Box::new(self.asked(net, kind, &images)?));
        }
        let prepared = Predictor::new(net, &Pass::eval().with_kind(kind))?;
        let network = move |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(prepared.predict(x_t, t, labels)?)
        };
        let labels = net.labels(&self.labels(images))?;
        Ok(Box::new(self.guidance.apply(network, &labels, timesteps)?))
    }

    /// A network called with the classes, without guidance.
    fn asked(
        &self,
        net: &dyn Backbone,
        kind: Kind,
        images: &Range<usize>,
    ) -> anyhow::Result<impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + use<>> {
        let prepared = Predictor::new(net, &Pass::eval().with_kind(kind))?;
        let labels = self.labels(images.clone());
        let labels = if labels.is_empty() { None } else { Some(net.labels(&labels)?) };
        Ok(move |x_t: &Tensor, t: &Tensor| Ok(prepared.predict(x_t, t, labels.as_ref())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_depends_on_the_index_alone() {
        let conditioning = Conditioning::new(vec![7, 2, 5], Guidance::new(2.0));
        assert_eq!(conditioning.labels(0..7), [7, 2, 5, 7, 2, 5, 7]);
        for first in 0..7 {
            assert_eq!(conditioning.labels(first..first + 1), conditioning.labels(0..7)[first..=first]);
        }
        assert!(Conditioning::none().labels(0..7).is_empty());
    }

    #[test]
    fn images_without_a_class_have_no_label() {
        assert_eq!(Conditioning::new(vec![3], Guidance::new(0.0)).drawn_labels(0..2), [-1, -1]);
        assert_eq!(Conditioning::new(vec![3], Guidance::new(1.0)).drawn_labels(0..2), [3, 3]);
        assert!(Conditioning::none().drawn_labels(0..2).is_empty());
    }
}
