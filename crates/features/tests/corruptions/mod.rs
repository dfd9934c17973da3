//! Images degraded by a known amount, and the resulting distances. Shared by a test and an example.

use std::error::Error;

use dataset::{Dataset, OpenOptions, Source};
use features::Extractor;
use metrics::{Moments, frechet_distance};
use ndarray::{Array4, ArrayView4, Axis};
use random::{Purpose, Stream};

/// A corruption of images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Corruption {
    /// Gaussian noise of this standard deviation, in grey levels.
    Noise(f32),
    /// Gaussian blur of this standard deviation, in pixels.
    Blur(f32),
    /// Shifted right by this many pixels, with black on the left.
    Shift(usize),
}

/// Each kind from weak to strong.
pub(crate) const SERIES: [(&str, &[Corruption]); 3] = [
    (
        "Gaussian noise, standard deviation in grey levels",
        &[Corruption::Noise(5.0), Corruption::Noise(10.0), Corruption::Noise(20.0), Corruption::Noise(40.0)],
    ),
    (
        "Gaussian blur, standard deviation in pixels",
        &[Corruption::Blur(0.5), Corruption::Blur(0.75), Corruption::Blur(1.0), Corruption::Blur(1.5)],
    ),
    (
        "moved to the right, pixels",
        &[Corruption::Shift(1), Corruption::Shift(2), Corruption::Shift(3), Corruption::Shift(4)],
    ),
];

impl Corruption {
    /// The strength as a number.
    pub(crate) fn strength(self) -> f32 {
        match self {
            Self::Noise(strength) | Self::Blur(strength) => strength,
            Self::Shift(pixels) => pixels as f32,
        }
    }

    /// The images `[n, h, w, c]` with this corruption.
    pub(crate) fn of(self, images: ArrayView4<'_, u8>) -> Array4<u8> {
        match self {
            Self::Noise(deviation) => {
                let noise = Stream::new(1, Purpose::Figure, 0, 0).normals(images.len());
                let mut noisy = images.mapv(f32::from);
                noisy.iter_mut().zip(noise).for_each(|(pixel, z)| *pixel += deviation * z);
                noisy.mapv(to_pixel)
            }
            Self::Blur(deviation) => {
                let rows = blurred(&images.mapv(f32::from), Axis(1), deviation);
                blurred(&rows, Axis(2), deviation).mapv(to_pixel)
            }
            Self::Shift(pixels) => {
                let kept = images.len_of(Axis(2)) - pixels;
                let mut moved = Array4::zeros(images.raw_dim());
                let mut target = moved.slice_axis_mut(Axis(2), (pixels..).into());
                target.assign(&images.slice_axis(Axis(2), (..kept).into()));
                moved
            }
        }
    }
}

fn to_pixel(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// One direction of a Gaussian blur; a side repeats its last row or column.
fn blurred(images: &Array4<f32>, axis: Axis, deviation: f32) -> Array4<f32> {
    let radius = (3.0 * deviation).ceil() as isize;
    let weight = |offset: isize| (-((offset * offset) as f32) / (2.0 * deviation * deviation)).exp();
    let total: f32 = (-radius..=radius).map(weight).sum();
    let last = images.len_of(axis) as isize - 1;
    let mut out = Array4::zeros(images.raw_dim());
    for (to, mut plane) in out.axis_iter_mut(axis).enumerate() {
        for offset in -radius..=radius {
            let from = (to as isize + offset).clamp(0, last) as usize;
            plane.scaled_add(weight(offset) / total, &images.index_axis(axis, from));
        }
    }
    out
}

/// The embedded test images in two halves, each a mixture of the classes.
pub(crate) fn halves() -> Result<(Array4<u8>, Array4<u8>), Box<dyn Error>> {
    let set = Dataset::open(&Source::detect("fashion-mnist:test")?, &OpenOptions::default())?;
    let (height, width, channels) = set.shape();
    let mut images = Array4::zeros((set.len(), height, width, channels));
    for (index, mut image) in images.outer_iter_mut().enumerate() {
        image.assign(&set.image(index)?);
    }
    let half = set.len() / 2;
    let part = |range: std::ops::Range<usize>| images.slice_axis(Axis(0), range.into()).to_owned();
    Ok((part(0..half), part(half..set.len())))
}

/// Mean and covariance of the features.
pub(crate) fn moments(network: &Extractor, images: ArrayView4<'_, u8>) -> Result<Moments, Box<dyn Error>> {
    Ok(Moments::of(&network.extract(images)?.features.mapv(f64::from))?)
}

/// The distance of corrupted images from clean ones.
pub(crate) fn distance(
    network: &Extractor,
    reference: &Moments,
    images: ArrayView4<'_, u8>,
) -> Result<f64, Box<dyn Error>> {
    Ok(frechet_distance(reference, &moments(network, images)?)?)
}
