//! Options for opening a source.

use std::path::PathBuf;

use crate::error::DatasetError;
use crate::limits::Inflation;
use crate::order::Order;
use crate::padding::Padding;
use crate::pixels::Fit;
use crate::size::Size;

/// What to do about an image of a folder that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnBad {
    /// Fail with one error that lists all of them.
    #[default]
    Fail,
    /// Skip it; [`crate::Dataset::skipped`] counts them.
    Skip,
}

/// Options for opening a source. By default all images are used unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// The size to which every image is resized, 1..=4096 pixels each way; `None` keeps the size, which must then be the
    /// same for all.
    pub size: Option<Size>,
    /// 1 (grey) or 3 (colour); `None` uses the data's.
    pub channels: Option<usize>,
    /// How images of another aspect ratio get that of the size.
    pub fit: Fit,
    /// Pads height and width with 0 (black) to multiples of this, 1..=1024; see [`crate::Dataset::padding`].
    pub pad_to_multiple: Option<usize>,
    /// Use only this many images, evenly spread over the source, so that every class keeps its share.
    pub limit: Option<usize>,
    /// Where the decoded images of a large folder are kept for the next start. `None` keeps them only for the lifetime
    /// of the dataset.
    pub cache_dir: Option<PathBuf>,
    /// What to do about an image that cannot be read.
    pub on_bad: OnBad,
    /// Whether labels are needed. If so, unusable labels are an error. If not, they are dropped, and
    /// [`crate::Dataset::notes`] says why.
    pub labels_required: bool,
    /// Bytes that one array or image of a compressed file may unpack to, if more than the default (16 MiB, or 200 times
    /// its compressed size). For files from a source that you trust.
    pub unpacked_limit: Option<u64>,
    /// Decoded images above this many bytes go to a file instead of memory.
    pub memory_limit: u64,
    /// If the decoded images of a folder, archive, shards or Parquet files would take more bytes than this, each is
    /// decoded when it is read, and nothing is kept. `None` is half of the available memory. See
    /// [`crate::Dataset::is_streamed`].
    pub keep_limit: Option<u64>,
    /// The order in which the images are going to be read. Shards that are streamed are read by blocks for
    /// [`Order::Blocks`].
    pub order: Order,
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
            labels_required: false,
            unpacked_limit: None,
            memory_limit: 256 << 20,
            keep_limit: None,
            order: Order::default(),
        }
    }
}

impl OpenOptions {
    pub(crate) fn inflation(&self) -> Inflation {
        Inflation::granted(self.unpacked_limit)
    }

    pub(crate) fn validate(&self) -> Result<(), DatasetError> {
        self.size.map_or(Ok(()), Size::validate)?;
        if let Some(channels) = self.channels.filter(|c| ![1, 3].contains(c)) {
            return Err(DatasetError::option("channels", "1 (grey) or 3 (colour)", channels));
        }
        self.order.validate()?;
        if self.limit == Some(0) {
            return Err(DatasetError::option("limit", "at least 1", 0));
        }
        if let Some(multiple) = self.pad_to_multiple {
            Padding::to_multiple(1, 1, multiple)?;
        }
        Ok(())
    }

    /// Indices of the selected images out of `count`.
    pub(crate) fn chosen(&self, count: usize) -> Vec<usize> {
        let take = self.limit.unwrap_or(count).min(count);
        (0..take).map(|i| (i as u128 * count as u128 / take as u128) as usize).collect()
    }
}
