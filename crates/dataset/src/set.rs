//! A dataset: images of one size, possibly with labels, read by index.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::{Array3, Array4};
use rayon::prelude::*;

use crate::arrays::{ArrayImages, arrange, load_idx, load_numpy};
use crate::cifar_files::{self, load_cifar};
use crate::embedded::{self, FASHION_MNIST_CLASSES};
use crate::error::DatasetError;
use crate::fingerprint;
use crate::folder::{load_archive, load_folder, load_shards, load_tables};
use crate::items::Items;
use crate::labels::{check_labels, numbered};
use crate::options::OpenOptions;
use crate::padding::Padding;
use crate::source::Source;
use crate::store::Store;
use crate::vary::Change;

/// Images of one size, u8 HWC, possibly with labels. Cloning is cheap and shares the pixels.
#[derive(Debug, Clone)]
pub struct Dataset {
    items: Arc<Items>,
    range: Range<usize>,
    padding: Padding,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Opens a source. Everything is checked here, so that no bad image turns up during a run. Of a set that is too large
    /// for that only some images are checked; see [`Dataset::is_streamed`].
    ///
    /// # Errors
    /// [`DatasetError`] with the file, what was expected and what was found.
    ///
    /// ```
    /// use dataset::{Dataset, OpenOptions, Source};
    /// let options = OpenOptions { pad_to_multiple: Some(8), limit: Some(100), ..OpenOptions::default() };
    /// let set = Dataset::open(&Source::detect("fashion-mnist")?, &options)?;
    /// assert_eq!((set.len(), set.shape(), set.classes()), (100, (32, 32, 1), 10));
    /// # Ok::<(), dataset::DatasetError>(())
    /// ```
    pub fn open(source: &Source, options: &OpenOptions) -> Result<Self, DatasetError> {
        options.validate()?;
        let items = match source {
            Source::Embedded { split } => {
                let (images, labels) = embedded::load(*split)?;
                let class_names = FASHION_MNIST_CLASSES.map(str::to_owned).to_vec();
                let notes = Vec::new();
                Items::from_arrays(ArrayImages { images, labels: Some(labels), class_names, notes }, options)
            }
            Source::Idx { images, labels } => {
                Items::from_arrays(load_idx(images, labels.as_deref(), options)?, options)
            }
            Source::Cifar { path } => Items::from_arrays(load_cifar(path)?, options),
            Source::CifarArchive { path, split } => {
                Items::from_arrays(cifar_files::load_archive(path, *split, options.inflation())?, options)
            }
            Source::Npz { path, split } => Items::from_arrays(load_numpy(path, *split, options)?, options),
            Source::Folder { path, split } => load_folder(path, *split, options)?,
            Source::Zip { path, split } => load_archive(path, *split, options)?,
            Source::Shards { path, split } => load_shards(path, *split, options)?,
            Source::Parquet { path, split } => load_tables(path, *split, options)?,
        };
        let padding = match options.pad_to_multiple {
            Some(multiple) => Padding::to_multiple(items.height, items.width, multiple)?,
            None => Padding::default(),
        };
        tracing::debug!(%source, count = items.count, height = items.height, width = items.width, "dataset opened");
        Ok(Self { range: 0..items.count, items: Arc::new(items), padding, fingerprint: OnceLock::new() })
    }

    /// Makes a dataset of images `[n, h, w, c]` in memory, with `c` 1 or 3 and pixels in 0..=255.
    ///
    /// # Errors
    /// [`DatasetError::Unsuitable`], [`DatasetError::Empty`], [`DatasetError::LabelCount`].
    pub fn from_array(images: Array4<u8>, labels: Option<Vec<u32>>) -> Result<Self, DatasetError> {
        let images = arrange("images in memory", images.into_dyn())?;
        let count = images.dim().0;
        if let Some(got) = labels.as_ref().map(Vec::len).filter(|&n| n != count) {
            return Err(DatasetError::LabelCount {
                file: "labels in memory".to_owned(),
                expected: count,
                got,
            });
        }
        let labels = match labels {
            Some(labels) => Some(check_labels("labels in memory", labels)?),
            None => None,
        };
        let class_names = numbered(labels.as_deref());
        let source = ArrayImages { images, labels, class_names, notes: Vec::new() };
        let items = Arc::new(Items::from_arrays(source, &OpenOptions::default()));
        Ok(Self { items, range: 0..count, padding: Padding::default(), fingerprint: OnceLock::new() })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no images; only a [`Dataset::subset`] can be empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// `(height, width, channels)` of every image, including padding.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        let Padding { top, bottom, left, right } = self.padding;
        (top + self.items.height + bottom, left + self.items.width + right, self.items.channels)
    }

    /// The same images with a border of 0 (black) to multiples of `multiple` pixels, 1..=1024, which replaces their
    /// current border; see [`Dataset::padding`].
    ///
    /// # Errors
    /// [`DatasetError::BadOption`].
    pub fn with_border(self, multiple: usize) -> Result<Self, DatasetError> {
        let padding = Padding::to_multiple(self.items.height, self.items.width, multiple)?;
        Ok(Self { padding, fingerprint: OnceLock::new(), ..self })
    }

    /// Notes for the user on how the data was read, one sentence each: which part was used and what was left out,
    /// values that were scaled, labels that are not used and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.items.notes
    }

    /// The border around every image, to be cropped from the output.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Number of classes; 0 without labels.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.items.class_names.len()
    }

    /// Class names in label order.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.items.class_names
    }

    /// The label of image `index`, below [`Dataset::classes`]; `None` without labels or past the end.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<u32> {
        self.items.labels.as_ref()?[self.range.clone()].get(index).copied()
    }

    /// How many unreadable images were skipped.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.items.skipped
    }

    /// Whether the pixels are read from a file instead of memory.
    #[must_use]
    pub fn is_spooled(&self) -> bool {
        matches!(self.items.store, Store::File(_))
    }

    /// Whether the images do not fit in memory, so each is decoded when it is read. Only some of them were checked when
    /// the set was opened; an image that cannot be read is an error of reading it.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.items.streamed
    }

    /// Bytes of images in memory: pixels, or encoded images that are kept for a streamed set.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        match &self.items.store {
            Store::Memory(pixels) => pixels.len() as u64,
            Store::File(_) => 0,
            Store::Images(decoder) => decoder.held(),
        }
    }

    /// Whether reading an image decodes it.
    pub(crate) fn is_decoding(&self) -> bool {
        matches!(self.items.store, Store::Images(_))
    }

    /// Copies image `index`, HWC with padding, into `out` of `height * width * channels` bytes.
    ///
    /// # Errors
    /// [`DatasetError::OutOfRange`]; [`DatasetError::Shape`] for a buffer of another length; [`DatasetError::Io`] if
    /// the cache file cannot be read; [`DatasetError::Malformed`] if it is damaged.
    pub fn read_into(&self, index: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        self.read_changed(index, &Change::default(), out)
    }

    /// Like [`Dataset::read_into`], with a change of the image but not of its border.
    pub(crate) fn read_changed(
        &self,
        index: usize,
        change: &Change,
        out: &mut [u8],
    ) -> Result<(), DatasetError> {
        if index >= self.len() {
            return Err(DatasetError::OutOfRange { what: "image", len: self.len(), got: index });
        }
        let (height, width, channels) = self.shape();
        if out.len() != height * width * channels {
            let expected = vec![height, width, channels];
            return Err(DatasetError::Shape { what: "image buffer", expected, got: vec![out.len()] });
        }
        let bytes = self.items.item_bytes();
        let place = self.range.start + index;
        let inner = (self.items.height, self.items.width, channels);
        if self.padding.is_none() {
            self.items.store.read(place, out)?;
            change.apply(out, inner);
            return Ok(());
        }
        // Change it before adding the border, which stays black and is wider on one side if it is odd.
        let mut item = vec![0; bytes];
        self.items.store.read(place, &mut item)?;
        change.apply(&mut item, inner);
        self.padding.place(&item, self.items.width, channels, out);
        Ok(())
    }

    /// Image `index` as `[h, w, c]`, including padding.
    ///
    /// # Errors
    /// As for [`Dataset::read_into`].
    pub fn image(&self, index: usize) -> Result<Array3<u8>, DatasetError> {
        let mut image = Array3::zeros(self.shape());
        if let Some(out) = image.as_slice_mut() {
            self.read_into(index, out)?;
        }
        Ok(image)
    }

    /// Images by index, `[n, h, w, c]`, including padding.
    ///
    /// # Errors
    /// As for [`Dataset::read_into`].
    pub fn images(&self, indices: impl IntoIterator<Item = usize>) -> Result<Array4<u8>, DatasetError> {
        let indices: Vec<usize> = indices.into_iter().collect();
        let (height, width, channels) = self.shape();
        let mut images = Array4::zeros((indices.len(), height, width, channels));
        // A new array is contiguous.
        let all = images.as_slice_mut().unwrap_or_default();
        let mut items = indices.into_iter().zip(all.chunks_exact_mut((height * width * channels).max(1)));
        let read = |(index, out): (usize, &mut [u8])| self.read_into(index, out);
        if self.is_decoding() {
            let items: Vec<_> = items.collect();
            items.into_par_iter().try_for_each(read)?;
        } else {
            items.try_for_each(read)?;
        }
        Ok(images)
    }

    /// The images of `range`, sharing the pixels.
    ///
    /// # Errors
    /// [`DatasetError::OutOfRange`] if it ends past the end or before its start.
    pub fn subset(&self, range: Range<usize>) -> Result<Self, DatasetError> {
        if range.end > self.len() || range.start > range.end {
            let got = range.start.max(range.end);
            return Err(DatasetError::OutOfRange { what: "subset", len: self.len() + 1, got });
        }
        let range = self.range.start + range.start..self.range.start + range.end;
        Ok(Self {
            items: Arc::clone(&self.items),
            range,
            padding: self.padding,
            fingerprint: OnceLock::new(),
        })
    }

    /// What identifies the images, computed once. Two datasets with the same fingerprint train the same model.
    ///
    /// SHA-256 in hex over count, shape, labels and pixels with padding. For a streamed set, which is too large for that,
    /// `index:` and the SHA-256 over shape and padding, names and sizes of the encoded images, labels, and the bytes of a
    /// few images.
    ///
    /// # Errors
    /// [`DatasetError::Io`] if the cache file cannot be read.
    pub fn fingerprint(&self) -> Result<String, DatasetError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let computed = self.fingerprint_of(self.is_streamed())?;
        Ok(self.fingerprint.get_or_init(|| computed).clone())
    }

    /// The fingerprint of the kind that `known` is, to compare with it. A set may be streamed on one machine and fit in
    /// the memory of another.
    ///
    /// # Errors
    /// As for [`Dataset::fingerprint`]; any error of decoding, if a streamed set is compared by its pixels.
    pub fn fingerprint_like(&self, known: &str) -> Result<String, DatasetError> {
        match fingerprint::is_of_index(known) {
            of_index if of_index == self.is_streamed() => self.fingerprint(),
            of_index => self.fingerprint_of(of_index),
        }
    }

    fn fingerprint_of(&self, index: bool) -> Result<String, DatasetError> {
        match self.items.identity.filter(|_| index) {
            Some(identity) => Ok(fingerprint::of_index(self, &identity, &self.range)),
            None => fingerprint::of_pixels(self, self.items.labels.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    #[test]
    fn images_have_the_requested_order() {
        let pixels = Array4::from_shape_fn((5, 2, 3, 1), |(n, y, x, _)| (n * 40 + y * 3 + x) as u8);
        let set = Dataset::from_array(pixels, None).unwrap();
        let images = set.images([3, 0, 3]).unwrap();
        for (row, index) in [3, 0, 3].into_iter().enumerate() {
            assert_eq!(images.index_axis(Axis(0), row), set.image(index).unwrap());
        }
        assert_eq!(set.images([]).unwrap().dim(), (0, 2, 3, 1));
        assert!(matches!(set.images([5]), Err(DatasetError::OutOfRange { got: 5, .. })));
    }
}
