//! A data set: images of one size with perhaps labels, read by index.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ndarray::{Array3, Array4};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::arrays::{ArrayImages, load_cifar, load_idx, load_numpy};
use crate::embedded::{self, FASHION_MNIST_CLASSES};
use crate::error::DatasetError;
use crate::folder::load_folder;
use crate::padding::Padding;
use crate::pixels::{Fit, Pixels};
use crate::source::Source;
use crate::store::Store;

/// What to do with an image of a folder that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnBad {
    /// One error that lists them.
    #[default]
    Fail,
    /// Leave them out; [`Dataset::skipped`] counts them.
    Skip,
}

/// How a source is opened. The default takes everything as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Height and width to bring every image to, 1..=4096 pixels; `None` keeps the size, which must then
    /// be the same for all.
    pub size: Option<usize>,
    /// 1 (grey) or 3 (colour); `None` takes it from the data.
    pub channels: Option<usize>,
    /// How images that are not square become square.
    pub fit: Fit,
    /// Pads height and width with 0 (black) to multiples of this, 1..=1024; see [`Dataset::padding`].
    pub pad_to_multiple: Option<usize>,
    /// Takes this many images, evenly spread over the source, so that every class keeps its share.
    pub limit: Option<usize>,
    /// Where the decoded images of a large folder are kept for the next start; `None` keeps them only as long as
    /// the data set lives.
    pub cache_dir: Option<PathBuf>,
    /// What to do with an image that cannot be read.
    pub on_bad: OnBad,
    /// A decoded folder above this many bytes goes to a file instead of memory.
    pub memory_limit: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            size: None,
            channels: None,
            fit: Fit::default(),
            pad_to_multiple: None,
            limit: None,
            cache_dir: None,
            on_bad: OnBad::default(),
            memory_limit: 256 << 20,
        }
    }
}

impl OpenOptions {
    pub(crate) fn validate(&self) -> Result<(), DatasetError> {
        if let Some(size) = self.size.filter(|size| !(1..=4096).contains(size)) {
            return Err(DatasetError::option("size", "1..=4096 pixels", size));
        }
        if let Some(channels) = self.channels.filter(|c| ![1, 3].contains(c)) {
            return Err(DatasetError::option("channels", "1 (grey) or 3 (colour)", channels));
        }
        if self.limit == Some(0) {
            return Err(DatasetError::option("limit", "at least 1", 0));
        }
        if let Some(multiple) = self.pad_to_multiple {
            Padding::to_multiple(1, 1, multiple)?;
        }
        Ok(())
    }

    /// Indices of the images to take of `count`.
    pub(crate) fn chosen(&self, count: usize) -> Vec<usize> {
        let take = self.limit.unwrap_or(count).min(count);
        (0..take).map(|i| (i as u128 * count as u128 / take as u128) as usize).collect()
    }
}

/// Items of one size in memory or in a file; what every kind of source ends as.
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) store: Store,
    pub(crate) count: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Vec<String>,
    pub(crate) skipped: usize,
}

/// Images of one size, u8 HWC, with perhaps labels. Cloning is cheap and shares the pixels.
#[derive(Debug, Clone)]
pub struct Dataset {
    items: Arc<Items>,
    range: Range<usize>,
    padding: Padding,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Opens a source. Everything is checked here, so that no bad image turns up in the middle of a run.
    ///
    /// # Errors
    /// [`DatasetError`], naming the file, what was expected and what was found.
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
                from_arrays(ArrayImages { images, labels: Some(labels), class_names }, options)
            }
            Source::Idx { images, labels } => from_arrays(load_idx(images, labels.as_deref())?, options),
            Source::Cifar { path } => from_arrays(load_cifar(path)?, options),
            Source::Npz { path, split } => from_arrays(load_numpy(path, *split)?, options),
            Source::Folder { path } => load_folder(path, options)?,
        };
        let padding = match options.pad_to_multiple {
            Some(multiple) => Padding::to_multiple(items.height, items.width, multiple)?,
            None => Padding::default(),
        };
        tracing::debug!(%source, count = items.count, height = items.height, width = items.width, "data set opened");
        Ok(Self { range: 0..items.count, items: Arc::new(items), padding, fingerprint: OnceLock::new() })
    }

    /// A data set of images `[n, h, w, c]` in memory, with `c` 1 or 3.
    ///
    /// # Errors
    /// [`DatasetError::Unsuitable`], [`DatasetError::Empty`], [`DatasetError::LabelCount`].
    pub fn from_array(images: Array4<u8>, labels: Option<Vec<u32>>) -> Result<Self, DatasetError> {
        let images = crate::arrays::to_images("images in memory", images.into())?;
        let count = images.dim().0;
        if let Some(got) = labels.as_ref().map(Vec::len).filter(|&n| n != count) {
            return Err(DatasetError::LabelCount {
                file: "labels in memory".to_owned(),
                expected: count,
                got,
            });
        }
        let largest = labels.as_ref().and_then(|labels| labels.iter().max());
        let class_names = largest.map_or(Vec::new(), |&n| (0..=n).map(|i| i.to_string()).collect());
        let items = from_arrays(ArrayImages { images, labels, class_names }, &OpenOptions::default());
        let items = Arc::new(items);
        Ok(Self { items, range: 0..count, padding: Padding::default(), fingerprint: OnceLock::new() })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is no image; only a [`Dataset::subset`] can be empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// `(height, width, channels)` of every image, with padding.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        let Padding { top, bottom, left, right } = self.padding;
        (top + self.items.height + bottom, left + self.items.width + right, self.items.channels)
    }

    /// What was added around every image, to be taken off the output.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Number of classes; 0 without labels.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.items.class_names.len()
    }

    /// Names of the classes in label order.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.items.class_names
    }

    /// The label of image `index`, below [`Dataset::classes`]; `None` without labels or past the end.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<u32> {
        self.items.labels.as_ref()?[self.range.clone()].get(index).copied()
    }

    /// How many unreadable images were left out.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.items.skipped
    }

    /// Whether the pixels are read from a file instead of memory.
    #[must_use]
    pub fn is_spooled(&self) -> bool {
        matches!(self.items.store, Store::File(_))
    }

    /// Copies image `index`, HWC with padding, into `out` of `height * width * channels` bytes.
    ///
    /// # Errors
    /// [`DatasetError::OutOfRange`], [`DatasetError::Shape`] for a buffer of another length,
    /// [`DatasetError::Io`] when the cache file cannot be read.
    pub fn read_into(&self, index: usize, out: &mut [u8]) -> Result<(), DatasetError> {
        if index >= self.len() {
            return Err(DatasetError::OutOfRange { what: "image", len: self.len(), got: index });
        }
        let (height, width, channels) = self.shape();
        if out.len() != height * width * channels {
            let expected = vec![height, width, channels];
            return Err(DatasetError::Shape { what: "image buffer", expected, got: vec![out.len()] });
        }
        let bytes = self.items.item_bytes();
        let start = (self.range.start + index) * bytes;
        if self.padding.is_none() {
            return self.items.store.read(start, out);
        }
        let mut item = vec![0; bytes];
        self.items.store.read(start, &mut item)?;
        self.padding.place(&item, self.items.width, channels, out);
        Ok(())
    }

    /// Image `index` as `[h, w, c]`, with padding.
    ///
    /// # Errors
    /// As [`Dataset::read_into`].
    pub fn image(&self, index: usize) -> Result<Array3<u8>, DatasetError> {
        let mut image = Array3::zeros(self.shape());
        if let Some(out) = image.as_slice_mut() {
            self.read_into(index, out)?;
        }
        Ok(image)
    }

    /// The images of `range`, sharing the pixels.
    ///
    /// # Errors
    /// [`DatasetError::OutOfRange`] when it ends past the end or before its start.
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

    /// SHA-256 in hex over count, shape, labels and pixels with padding; computed once. Two sets with one
    /// fingerprint train the same model.
    ///
    /// # Errors
    /// [`DatasetError::Io`] when the cache file cannot be read.
    pub fn fingerprint(&self) -> Result<String, DatasetError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let mut hash = Sha256::new();
        let (height, width, channels) = self.shape();
        for number in [self.len(), height, width, channels, usize::from(self.items.labels.is_some())] {
            hash.update((number as u64).to_le_bytes());
        }
        let mut item = vec![0; height * width * channels];
        for index in 0..self.len() {
            hash.update(self.label(index).unwrap_or(0).to_le_bytes());
            self.read_into(index, &mut item)?;
            hash.update(&item);
        }
        let digest = crate::spool::hex(&hash.finalize());
        Ok(self.fingerprint.get_or_init(|| digest).clone())
    }
}

impl Items {
    pub(crate) fn item_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// Takes the chosen images and brings them to the size and channels asked for.
fn from_arrays(source: ArrayImages, options: &OpenOptions) -> Items {
    let (count, height, width, channels) = source.images.dim();
    let chosen = options.chosen(count);
    let pixels = source.images.as_standard_layout();
    let bytes = height * width * channels;
    let all = pixels.as_slice().unwrap_or_default();
    let item = |index: usize| &all[index * bytes..(index + 1) * bytes];
    let out_channels = options.channels.unwrap_or(channels);
    let (out_height, out_width) = options.size.map_or((height, width), |size| (size, size));
    let out: Vec<u8> = if (out_height, out_width, out_channels) == (height, width, channels) {
        chosen.iter().flat_map(|&index| item(index)).copied().collect()
    } else {
        let convert = |&index: &usize| {
            let image = Pixels { height, width, channels, pixels: item(index).to_vec() };
            let image = image.with_channels(out_channels);
            if out_height == out_width { image.fit(out_height, options.fit) } else { image }.pixels
        };
        chosen.par_iter().map(convert).flatten_iter().collect()
    };
    Items {
        store: Store::Memory(out),
        count: chosen.len(),
        height: out_height,
        width: out_width,
        channels: out_channels,
        labels: source.labels.map(|labels| chosen.iter().map(|&index| labels[index]).collect()),
        class_names: source.class_names,
        skipped: 0,
    }
}
