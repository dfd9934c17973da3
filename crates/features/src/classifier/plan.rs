//! What the layers of a classifier are, from the shape of its images: no tensors yet.

/// The shape of images and the number of classes, from which all else follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Classes that are told apart.
    pub classes: usize,
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
    /// Numbers in the features of an image.
    pub const FEATURES: usize = 128;
    /// Least and most rows or columns.
    pub const SIDES: (usize, usize) = (16, 256);
    /// Most classes.
    pub const MOST_CLASSES: usize = 10_000;
    /// Channels before the first halving of the maps and after each; the last for all that follow.
    const WIDTHS: [usize; 3] = [24, 48, 96];
    /// Maps are halved until no side is longer.
    const LAST_SIDE: usize = 8;

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

    /// How often the maps are halved.
    fn halvings(&self) -> usize {
        let mut side = self.height.max(self.width);
        let mut halvings = 0;
        while side > Self::LAST_SIDE {
            side = side.div_ceil(2);
            halvings += 1;
        }
        halvings
    }

    /// Name and shape of each tensor of the file.
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

    /// Numbers in the largest feature map of an image.
    pub(crate) fn largest_map(&self) -> usize {
        self.height * self.width * Self::WIDTHS[0]
    }
}
