//! A picture that is drawn anew while the sampling goes on, for an image viewer that looks again by itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tch::Tensor;
use tracing::warn;

use crate::config::ImagesConfig;
use crate::failure::bail_usage;
use crate::output;

/// Images in it: more would be too small to see, and a copy from the device at each moment.
const MOST: i64 = 64;

/// The images of the batch at work, as far as they can be told.
pub(super) struct Preview<'a> {
    path: PathBuf,
    images: &'a ImagesConfig,
    /// It was written at least once.
    written: bool,
}

impl<'a> Preview<'a> {
    pub(super) fn new(path: PathBuf, images: &'a ImagesConfig) -> Self {
        Self { path, images, written: false }
    }

    /// Draws the predicted `x_0` `[b, c, h, w]`.
    ///
    /// Where it cannot be written at first, something is wrong with the flag; when that comes later, the sampling
    /// is worth more than the view of it.
    pub(super) fn show(&mut self, x_0: &Tensor) -> anyhow::Result<()> {
        let shown = x_0.f_narrow(0, 0, x_0.size()[0].min(MOST))?;
        let png = output::grid_png(&output::to_pixels(&shown, self.images)?)?;
        let result = fs::create_dir_all(files::parent(&self.path))
            .and_then(|()| files::write_atomic(&self.path, &png))
            .with_context(|| format!("--preview {}", self.path.display()));
        match result {
            Err(error) if self.written => warn!("{error:#}"),
            result => result?,
        }
        self.written = true;
        Ok(())
    }
}

/// Refuses what is no name of a PNG.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if !is_png {
        bail_usage!("--preview {}: expected a name that ends in .png", path.display());
    }
    if path.is_dir() {
        bail_usage!("--preview {}: expected a file or a new name, found a folder", path.display());
    }
    Ok(())
}
