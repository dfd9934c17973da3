//! The image that an edit starts from: a file of any kind and size, or an image of the training data.

use std::path::Path;

use anyhow::Context;
use clap::Args;
use dataset::Fit;
use ndarray::Array3;
use tracing::warn;

use crate::config;
use crate::failure::bail_usage;
use crate::model::Loaded;
use crate::output;
use crate::paths::{DataSource, InputPath};
use crate::run_data;

/// Where the image is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageArgs {
    /// The image (PNG, JPEG, WebP, BMP, GIF or TIFF); transparent areas are white
    #[arg(long, value_name = "FILE", required_unless_present = "index")]
    image: Option<InputPath>,
    /// Use this image of the training data instead, counted from 0
    #[arg(long, value_name = "N", conflicts_with = "image")]
    index: Option<usize>,
    /// The training data, if it has moved [default: the recorded place, if the hash agrees]
    #[arg(long, value_name = "SRC", conflicts_with = "image")]
    data: Option<DataSource>,
}

impl ImageArgs {
    pub(crate) fn source(&self) -> Source<'_> {
        let (file, data) = (self.image.as_deref(), self.data.as_deref());
        Source { file, index: self.index, data, flags: ("--image", "--index") }
    }
}

/// A file, or an index into the data, and the flags that said so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) index: Option<usize>,
    /// Where the data is, for an index.
    pub(crate) data: Option<&'a str>,
    pub(crate) flags: (&'static str, &'static str),
}

impl Source<'_> {
    /// Reads the image at its own size, `[h, w, c]`, with the network's channels.
    pub(crate) fn read(&self, loaded: &Loaded) -> anyhow::Result<Array3<u8>> {
        let (image_flag, index_flag) = self.flags;
        if let Some(path) = self.file {
            let read = |channels| dataset::read_image(path, None, channels, Fit::Crop).context(image_flag);
            let (image, channels) = (read(None)?, loaded.images.channels);
            if image.dim().2 == channels {
                return Ok(image);
            }
            if channels == 1 {
                warn!("{} is in colour: converted to grey, like this network's images", path.display());
            }
            return read(Some(channels));
        }
        let index = self.index.unwrap_or(0);
        let data = run_data::locate(&loaded.config, self.data).context(index_flag)?;
        let data = config::open(&data.unpadded())?;
        if index >= data.len() {
            bail_usage!(
                "{index_flag} {index}: the data has {}, 0 to {}",
                output::images(data.len()),
                data.len() - 1
            );
        }
        Ok(data.image(index)?)
    }

    /// Reads the image at `size`, rows and columns. A file of another size is resized, with a warning.
    pub(crate) fn read_as(&self, loaded: &Loaded, size: (usize, usize)) -> anyhow::Result<Array3<u8>> {
        self.resized(self.read(loaded)?, size)
    }

    /// Does the same for an image that was read before.
    pub(crate) fn resized(&self, image: Array3<u8>, size: (usize, usize)) -> anyhow::Result<Array3<u8>> {
        let ((height, width), (from_height, from_width, _)) = (size, image.dim());
        if size == (from_height, from_width) {
            return Ok(image);
        }
        if let Some(path) = self.file {
            let cut = if from_height * width == from_width * height { "" } else { "cut to its middle and " };
            warn!(
                "{} is {from_width}x{from_height} pixels: {cut}resized to {width}x{height}",
                path.display()
            );
        }
        dataset::resize(image.view(), height, width).context(self.flags.0)
    }
}
