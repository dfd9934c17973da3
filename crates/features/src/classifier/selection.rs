//! A selection of images from a dataset: all of them, or a random split.

use dataset::Dataset;
use ndarray::Array4;
use random::{Purpose, Stream};

use crate::error::FeaturesError;

/// Some images of a dataset, in a given order.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    set: &'a Dataset,
    places: Vec<usize>,
}

impl<'a> Selection<'a> {
    /// Selects every image.
    #[must_use]
    pub fn all(set: &'a Dataset) -> Self {
        Self { set, places: (0..set.len()).collect() }
    }

    /// Splits the images into two disjoint parts, drawn from `seed`. The second has the share `held_out` in 0..=1, rounded
    /// up.
    #[must_use]
    pub fn split(set: &'a Dataset, seed: u64, held_out: f64) -> (Self, Self) {
        // A dataset has fewer than 2^32 images; batch plans require that.
        let count = u32::try_from(set.len()).unwrap_or(u32::MAX);
        let order = Stream::new(seed, Purpose::Evaluate, 0, 0).permutation(count);
        let mut places: Vec<usize> = order.into_iter().map(|place| place as usize).collect();
        let held = (set.len() as f64 * held_out.clamp(0.0, 1.0)).ceil() as usize;
        let kept = places.split_off(held.min(places.len()));
        (Self { set, places: kept }, Self { set, places })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The dataset of the images.
    #[must_use]
    pub fn set(&self) -> &'a Dataset {
        self.set
    }

    /// The label of image `index` of this selection.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<u32> {
        self.set.label(*self.places.get(index)?)
    }

    /// Number of classes with an image here.
    pub(crate) fn classes_seen(&self) -> usize {
        let mut seen = vec![false; self.set.classes()];
        for label in (0..self.len()).filter_map(|index| self.label(index)) {
            if let Some(seen) = seen.get_mut(label as usize) {
                *seen = true;
            }
        }
        seen.into_iter().filter(|&seen| seen).count()
    }

    /// The images at these indices of the selection, `[indices, h, w, c]`.
    ///
    /// # Errors
    /// [`FeaturesError::Data`] when they cannot be read, or an index is past the end.
    pub fn images(&self, indices: &[usize]) -> Result<Array4<u8>, FeaturesError> {
        // An index past the end becomes a place past the end, which the dataset refuses.
        let place = |&index: &usize| self.places.get(index).copied().unwrap_or(self.set.len());
        Ok(self.set.images(indices.iter().map(place))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    fn numbered(count: usize) -> Dataset {
        let images = Array4::from_shape_fn((count, 2, 2, 1), |(i, ..)| i as u8);
        Dataset::from_array(images, Some((0..count as u32).map(|i| i % 3).collect())).unwrap()
    }

    #[test]
    fn a_split_has_every_image_once() {
        let set = numbered(41);
        let (kept, held) = Selection::split(&set, 7, 0.1);
        assert_eq!((kept.len(), held.len()), (36, 5));
        let mut all: Vec<usize> = kept.places.iter().chain(&held.places).copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..41));
        assert_eq!(Selection::split(&set, 7, 0.1).1.places, held.places);
        assert_ne!(Selection::split(&set, 8, 0.1).1.places, held.places);
    }

    #[test]
    fn images_and_labels_are_those_of_their_places() {
        let set = numbered(9);
        let (kept, _) = Selection::split(&set, 1, 0.3);
        let images = kept.images(&[2, 0]).unwrap();
        for (row, index) in [(0, 2), (1, 0)] {
            let place = kept.places[index];
            assert!(images.index_axis(Axis(0), row).iter().all(|&pixel| usize::from(pixel) == place));
            assert_eq!(kept.label(index), Some(place as u32 % 3));
        }
        assert!(matches!(kept.images(&[kept.len()]), Err(FeaturesError::Data(_))));
        assert_eq!((kept.label(kept.len()), Selection::all(&set).classes_seen()), (None, 3));
    }
}
