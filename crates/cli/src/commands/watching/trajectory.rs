//! The first images of a sampling run at some of its moments, kept across batches and drawn at the end.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use dataset::AnyArray;
use figures::Animation;
use ndarray::{Array5, Axis, Ix4, stack};
use tch::Tensor;

use crate::commands::watching::moments::FINISHED;
use crate::config::ImagesConfig;
use crate::failure::bail_usage;
use crate::output;

/// Most images to follow, and most of those in the strip.
const FOLLOWED: usize = 16;
const IN_STRIP: usize = 8;
/// Most numbers to keep: 512 MB.
const MOST_NUMBERS: usize = 1 << 27;
/// Most pixels of images in the strip: half of what a picture may have.
const MOST_PIXELS: usize = 1 << 26;
/// Approximate duration of the animation up to the samples, and the bounds on the duration of a frame.
const LASTS: Duration = Duration::from_secs(4);
const FASTEST: Duration = Duration::from_millis(60);
const SLOWEST: Duration = Duration::from_millis(400);
/// How long the samples are shown at the end.
const HOLD: Duration = Duration::from_secs(2);
/// Pixels between the images of a frame, before it is enlarged.
const GAP: usize = 1;

/// The file format of the animation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Animated {
    Gif,
    Apng,
}

impl FromStr for Animated {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "gif" => Ok(Self::Gif),
            "apng" => Ok(Self::Apng),
            _ => bail!("expected gif or apng"),
        }
    }
}

/// A batch at one moment.
pub(super) struct Frame<'a> {
    /// Index of the moment.
    pub(super) index: usize,
    /// In `0..T`, or [`FINISHED`].
    pub(super) t: f64,
    /// `[b, c, h, w]`.
    pub(super) x_t: &'a Tensor,
    /// The image predicted from it, `[b, c, h, w]`.
    pub(super) x_0: &'a Tensor,
}

/// The first images at every moment, on the host.
pub(crate) struct Trajectory<'a> {
    images: &'a ImagesConfig,
    animated: Animated,
    /// `[k]`.
    t: Vec<f64>,
    /// Images as the network sees them, `[k, n, c, h, w]`.
    x_t: Array5<f32>,
    x_0: Array5<f32>,
}

impl<'a> Trajectory<'a> {
    /// Makes room for the first of `count` images.
    pub(super) fn new(
        moments: usize,
        count: usize,
        images: &'a ImagesConfig,
        animated: Animated,
    ) -> anyhow::Result<Self> {
        let ImagesConfig { channels, height, width, .. } = *images;
        let shape = (moments, followed(moments, count, images)?, channels, height, width);
        let (x_t, x_0) = (Array5::zeros(shape), Array5::zeros(shape));
        Ok(Self { images, animated, t: vec![FINISHED; moments], x_t, x_0 })
    }

    /// Keeps the followed images of a batch that begins with image `first`.
    pub(super) fn keep(&mut self, first: usize, frame: &Frame<'_>) -> anyhow::Result<()> {
        let batch = usize::try_from(frame.x_t.size()[0])?;
        let end = (first + batch).min(self.x_t.len_of(Axis(1)));
        if first >= end {
            return Ok(());
        }
        self.t[frame.index] = frame.t;
        for (kept, seen) in [(&mut self.x_t, frame.x_t), (&mut self.x_0, frame.x_0)] {
            let seen = tensor_io::to_array(&seen.f_narrow(0, 0, (end - first) as i64)?)?;
            let mut kept = kept.index_axis_mut(Axis(0), frame.index);
            kept.slice_axis_mut(Axis(0), (first..end).into()).assign(&seen.into_dimensionality::<Ix4>()?);
        }
        Ok(())
    }

    /// Number of followed images.
    pub(crate) fn followed(&self) -> usize {
        self.x_t.len_of(Axis(1))
    }

    /// Draws the strip and the animation. Returns their files.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let (x_t, x_0) = (self.pixels(&self.x_t)?, self.pixels(&self.x_0)?);
        let (moments, count, height, ..) = x_t.dim();
        let in_strip = count.min(IN_STRIP).min(MOST_PIXELS / pixels_of_one(moments, self.images)).max(1);
        let rows = |x: &Array5<u8>| {
            let first = x.slice_axis(Axis(1), (0..in_strip).into());
            first.permuted_axes([1, 0, 2, 3, 4]).to_owned() // [n, k, h, w, c]
        };
        let strip = figures::denoising_strip(&self.t, rows(&x_t).view(), rows(&x_0).view())?.png()?;

        let frames = figures::grid_frames(x_t.view(), figures::square_columns(count), GAP)?;
        let delay = (LASTS / u32::try_from(moments)?).clamp(FASTEST, SLOWEST);
        let scale = output::scale(height);
        let animation = Animation::new(frames.view()).scale(scale).delay(delay).hold(HOLD);
        let (name, animation) = match self.animated {
            Animated::Gif => ("trajectory.gif", animation.gif()?),
            Animated::Apng => ("trajectory.apng", animation.apng()?),
        };
        let write = |(name, bytes): (&str, Vec<u8>)| {
            let path = folder.join(name);
            files::write_output(&path, &bytes).with_context(|| path.display().to_string())?;
            Ok(path)
        };
        [("trajectory.png", strip), (name, animation)].into_iter().map(write).collect()
    }

    /// The arrays, by their names in an archive.
    pub(crate) fn arrays(self) -> Vec<(&'static str, AnyArray)> {
        let t = ndarray::Array1::from(self.t).into_dyn();
        let (x_t, x_0) = (self.x_t.into_dyn(), self.x_0.into_dyn());
        vec![("x_t", AnyArray::F32(x_t)), ("x_0", AnyArray::F32(x_0)), ("t", AnyArray::F64(t))]
    }

    /// `[k, n, h, w, c]`, without the network's border.
    fn pixels(&self, x: &Array5<f32>) -> anyhow::Result<Array5<u8>> {
        let moments: Vec<_> = x
            .outer_iter()
            .map(|moment| output::array_to_pixels(moment, self.images))
            .collect::<anyhow::Result<_>>()?;
        let views: Vec<_> = moments.iter().map(ndarray::Array4::view).collect();
        Ok(stack(Axis(0), &views)?)
    }
}

/// How many images can be kept and drawn at this many moments.
fn followed(moments: usize, count: usize, images: &ImagesConfig) -> anyhow::Result<usize> {
    let ImagesConfig { channels, height, width, .. } = *images;
    let pixels = pixels_of_one(moments, images);
    if pixels > MOST_PIXELS {
        bail_usage!(
            "--trajectory {moments}: this many moments of a {width}x{height} image do not fit in a picture; \
             expected at most {}",
            MOST_PIXELS / pixels_of_one(1, images)
        );
    }
    Ok(count.min(FOLLOWED).min(MOST_NUMBERS / pixels.saturating_mul(channels)).max(1))
}

/// Pixels of one image over this many moments, as `x_t` and as `x_0`.
fn pixels_of_one(moments: usize, images: &ImagesConfig) -> usize {
    images.height.saturating_mul(images.width).saturating_mul(2 * moments).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Image i at a moment is filled with `(i + 20 moment) / 100`, and its prediction with the negative of that.
    fn kept(images: &ImagesConfig, count: usize, batch: usize) -> Trajectory<'_> {
        let mut trajectory = Trajectory::new(3, count, images, Animated::Gif).unwrap();
        for first in (0..count).step_by(batch) {
            let size = batch.min(count - first) as i64;
            for (index, t) in [9.0, 4.5, FINISHED].into_iter().enumerate() {
                let start = (first + 20 * index) as i64;
                let value = Tensor::arange_start(start, start + size, (Kind::Float, Device::Cpu)) / 100.0;
                let x_t = value.view([size, 1, 1, 1]).expand([size, 1, 4, 4], false);
                trajectory.keep(first, &Frame { index, t, x_t: &x_t, x_0: &-&x_t }).unwrap();
            }
        }
        trajectory
    }

    #[test]
    fn batches_do_not_matter() {
        let images = ImagesConfig::square(4, 1);
        let whole = kept(&images, 40, 64);
        assert_eq!((whole.x_t.dim(), &whole.t[..]), ((3, 16, 1, 4, 4), &[9.0, 4.5, FINISHED][..]));
        for ((k, i, ..), &value) in whole.x_t.indexed_iter() {
            assert_eq!(value, (i + 20 * k) as f32 / 100.0);
        }
        assert_eq!(whole.x_0, whole.x_t.mapv(|value| -value));
        for batch in [1, 5, 16, 17] {
            let other = kept(&images, 40, batch);
            assert_eq!((&other.t, &other.x_t, &other.x_0), (&whole.t, &whole.x_t, &whole.x_0), "{batch}");
        }
        assert_eq!(kept(&images, 3, 2).x_t.dim().1, 3);
    }

    #[test]
    fn files_and_arrays() {
        let (folder, images) = (tempfile::tempdir().unwrap(), ImagesConfig::square(4, 1));
        for (animated, name) in [(Animated::Gif, "trajectory.gif"), (Animated::Apng, "trajectory.apng")] {
            let trajectory = Trajectory { animated, ..kept(&images, 5, 2) };
            let files = trajectory.save(folder.path()).unwrap();
            assert_eq!(files, ["trajectory.png", name].map(|name| folder.path().join(name)));
            assert!(files.iter().all(|file| file.metadata().unwrap().len() > 100));
        }
        let arrays = kept(&images, 5, 2).arrays();
        let shapes: Vec<_> = arrays.iter().map(|(name, array)| (*name, array.shape())).collect();
        assert_eq!(shapes, [("x_t", &[3, 5, 1, 4, 4][..]), ("x_0", &[3, 5, 1, 4, 4]), ("t", &[3])]);
    }

    /// However large the images, the arrays and pictures stay bounded.
    #[test]
    fn large_images_are_fewer() {
        let followed = |moments, side, channels| {
            followed(moments, 64, &ImagesConfig::square(side, channels)).map_err(|error| error.to_string())
        };
        assert_eq!(followed(64, 64, 3), Ok(16));
        assert_eq!(followed(64, 256, 3), Ok(5));
        assert_eq!(followed(16, 1024, 1), Ok(4));
        let error = followed(64, 1024, 3).unwrap_err();
        assert!(error.starts_with("--trajectory 64: ") && error.ends_with("at most 32"), "{error}");
        assert_eq!(followed(32, 1024, 3), Ok(1));
    }
}
