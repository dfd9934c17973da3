//! A picture that is updated during sampling, for an image viewer that reloads it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tch::Tensor;
use tracing::warn;

use crate::config::ImagesConfig;
use crate::failure::bail_usage;
use crate::output;

/// Most images in it: more would be too small to see, and each moment copies them from the device.
const MOST: i64 = 64;

/// The predicted images of the current batch.
pub(super) struct Preview<'a> {
    path: PathBuf,
    images: &'a ImagesConfig,
    /// Whether it was written at least once.
    written: bool,
}

impl<'a> Preview<'a> {
    pub(super) fn new(path: PathBuf, images: &'a ImagesConfig) -> Self {
        Self { path, images, written: false }
    }

    /// Draws the predicted `x_0` `[b, c, h, w]`.
    ///
    /// A failure of the first write means that the flag is wrong, so it is an error. Later failures only end the
    /// preview, since the samples matter more.
    pub(super) fn show(&mut self, x_0: &Tensor) -> anyhow::Result<()> {
        let shown = x_0.f_narrow(0, 0, x_0.size()[0].min(MOST))?;
        let png = output::grid_png(&output::to_pixels(&shown, self.images)?)?;
        let result = files::write_output(&self.path, &png)
            .with_context(|| format!("--preview {}", self.path.display()));
        match result {
            Err(error) if self.written => warn!("{error:#}"),
            result => result?,
        }
        self.written = true;
        Ok(())
    }
}

/// Refuses a path that is not a PNG name or cannot be written.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if !is_png {
        bail_usage!("--preview {}: expected a name that ends in .png", path.display());
    }
    output::try_file("--preview", path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_file_is_replaced_and_a_folder_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/now.png");
        let images = ImagesConfig::square(4, 1);
        let mut preview = Preview::new(path.clone(), &images);
        let drawn = [-1.0, 1.0].map(|value| {
            preview.show(&Tensor::full([70, 1, 4, 4], value, (Kind::Float, Device::Cpu))).unwrap();
            fs::read(&path).unwrap()
        });
        assert_ne!(drawn[0], drawn[1]);
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
        // 64 of the 70 images.
        let expected = output::grid_png(&ndarray::Array4::from_elem((64, 4, 4, 1), 255)).unwrap();
        assert_eq!(drawn[1], expected);
    }

    #[test]
    fn only_the_first_failure_ends_the_sampling() {
        let folder = tempfile::tempdir().unwrap();
        let (path, images) = (folder.path().join("now.png"), ImagesConfig::square(4, 1));
        let image = Tensor::zeros([1, 1, 4, 4], (Kind::Float, Device::Cpu));
        fs::create_dir(&path).unwrap();
        let error = Preview::new(path.clone(), &images).show(&image).unwrap_err();
        assert!(error.to_string().starts_with("--preview "), "{error}");
        fs::remove_dir(&path).unwrap();

        let mut preview = Preview::new(path.clone(), &images);
        preview.show(&image).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        preview.show(&image).unwrap();
    }

    #[test]
    fn names_that_are_no_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder.png")).unwrap();
        fs::write(at("file.png"), "").unwrap();
        for wrong in ["now.jpg", "now", "folder.png", "file.png/now.png", "file.png/a/now.png"] {
            assert!(check(&at(wrong)).is_err(), "{wrong}");
        }
        for right in ["now.png", "now.PNG", "file.png", "folder.png/now.png", "new/folder/now.png"] {
            check(&at(right)).unwrap();
        }
        check(Path::new("now.png")).unwrap();
    }
}
