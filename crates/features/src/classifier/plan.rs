//! The layers of a classifier, derived from the shape of its images; no tensors yet.

use super::selection::Selection;
use crate::error::FeaturesError;

/// The shape of the images and the number of classes, which determine everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Rows of an image.
    pub(crate) height: usize,
    /// Columns of an image.
    pub(crate) width: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
    /// Number of classes.
    pub(crate) classes: usize,
}

/// A convolution with a kernel of 3x3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) stride: i64,
}

impl Plan {
    /// Features per image.
    pub(crate) const FEATURES: usize = 128;
    /// Smallest and largest number of rows or columns.
    pub(crate) const SIDES: (usize, usize) = (16, 128);
    /// Most classes.
    pub(crate) const MOST_CLASSES: usize = 10_000;
    /// Channels before the first halving of the maps and after each; the last value also applies after further
    /// halvings.
    const WIDTHS: [usize; 3] = [16, 32, 64];
    /// Maps are halved until no side is longer than this.
    const LAST_SIDE: usize = 8;

    /// The plan for images to train on.
    ///
    /// # Errors
    /// [`FeaturesError::Training`] when no classifier can be trained on them.
    pub(crate) fn of(images: &Selection<'_>) -> Result<Self, FeaturesError> {
        let (height, width, channels) = images.set().shape();
        let refuse = |expected: String, found: String| Err(FeaturesError::Training { expected, found });
        let (least, most) = Self::SIDES;
        if ![height, width].iter().all(|side| (least..=most).contains(side)) {
            let found = format!("{width}x{height}");
            return refuse(format!("images from {least}x{least} to {most}x{most}"), found);
        }
        let classes = images.set().classes();
        if classes > Self::MOST_CLASSES {
            return refuse(format!("at most {} classes", Self::MOST_CLASSES), classes.to_string());
        }
        match images.classes_seen() {
            0 => refuse("images with labels".to_owned(), "images without".to_owned()),
            1 => refuse("images of at least 2 classes".to_owned(), "1 class".to_owned()),
            _ => Ok(Self { height, width, channels, classes }),
        }
    }

    /// The convolutions in order.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        let mut from = self.channels;
        let mut add = |to, stride| {
            layers.push(Layer { name: format!("conv{}", layers.len()), from, to, stride });
            from = to;
        };
        add(Self::WIDTHS[0], 1);
        for halving in 1..=self.halvings() {
            let to = Self::WIDTHS[halving.min(Self::WIDTHS.len() - 1)];
            add(to, 2);
            add(to, 1);
        }
        add(Self::FEATURES, 1);
        layers
    }

    /// How many times the maps are halved.
    fn halvings(&self) -> usize {
        let mut side = self.height.max(self.width);
        let mut halvings = 0;
        while side > Self::LAST_SIDE {
            side = side.div_ceil(2);
            halvings += 1;
        }
        halvings
    }

    /// Name and shape of each tensor in the file.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = Vec::new();
        for layer in self.layers() {
            tensors.push((format!("{}.weight", layer.name), vec![layer.to, layer.from, 3, 3]));
            tensors.push((format!("{}.bias", layer.name), vec![layer.to]));
        }
        tensors.push(("classes.weight".to_owned(), vec![self.classes, Self::FEATURES]));
        tensors.push(("classes.bias".to_owned(), vec![self.classes]));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::Dataset;
    use ndarray::Array4;

    #[test]
    fn maps_are_halved_to_eight_pixels() {
        let halvings = |height, width| Plan { height, width, channels: 1, classes: 2 }.halvings();
        for (sides, want) in
            [((16, 16), 1), ((17, 16), 2), ((28, 28), 2), ((32, 20), 2), ((64, 64), 3), ((16, 128), 4)]
        {
            assert_eq!(halvings(sides.0, sides.1), want, "{sides:?}");
        }
    }

    #[test]
    fn each_layer_takes_what_the_one_before_gives() {
        for (side, channels) in [(16, 1), (28, 1), (64, 3), (128, 3)] {
            let layers = Plan { height: side, width: side, channels, classes: 2 }.layers();
            assert_eq!(layers[0].from, channels);
            assert!(layers.windows(2).all(|pair| pair[0].to == pair[1].from));
            assert_eq!(layers[layers.len() - 1].to, Plan::FEATURES);
        }
    }

    #[test]
    fn images_unsuitable_for_training_are_refused() {
        let told = |shape: (usize, usize), labels: Option<Vec<u32>>| {
            let set = Dataset::from_array(Array4::zeros((3, shape.0, shape.1, 1)), labels).unwrap();
            Plan::of(&Selection::all(&set)).map_err(|error| error.to_string())
        };
        assert!(told((20, 16), Some(vec![0, 1, 1])).is_ok());
        assert!(
            told((15, 16), Some(vec![0, 1, 1])).unwrap_err().contains("from 16x16 to 128x128, found 16x15")
        );
        assert!(told((16, 129), Some(vec![0, 1, 1])).unwrap_err().contains("found 129x16"));
        assert!(told((16, 16), Some(vec![1, 1, 1])).unwrap_err().contains("2 classes, found 1 class"));
        assert!(told((16, 16), None).unwrap_err().contains("labels"));
    }
}
