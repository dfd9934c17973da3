//! Random changes of the images of a batch: cropped, mirrored, in other colours. The network is not told of them, so the
//! samples vary in the same way.

use random::{Purpose, Stream};

use crate::error::DatasetError;
use crate::pixels::{Pixels, luma};

/// Maximum share of the area that a crop takes away.
const MAX_CROP: f64 = 0.9;

/// Which changes images get.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Vary {
    flip: bool,
    crop: f64,
    jitter: f64,
}

impl Vary {
    pub(crate) fn with_flip(self, flip: bool) -> Self {
        Self { flip, ..self }
    }

    pub(crate) fn with_crop(self, crop: f64) -> Result<Self, DatasetError> {
        if !(0.0..=MAX_CROP).contains(&crop) {
            let expected = format!("a share of the area from 0 to {MAX_CROP}");
            return Err(DatasetError::option("crop", expected, crop));
        }
        Ok(Self { crop, ..self })
    }

    pub(crate) fn with_jitter(self, jitter: f64) -> Result<Self, DatasetError> {
        if !(0.0..=1.0).contains(&jitter) {
            return Err(DatasetError::option("jitter", "a strength from 0 to 1", jitter));
        }
        Ok(Self { jitter, ..self })
    }

    /// The change of the image at a position in the endless sequence of images.
    pub(crate) fn change(self, seed: u64, position: u128) -> Change {
        let stream = |purpose| Stream::new(seed, purpose, position as u64, 0);
        let flip = self.flip && stream(Purpose::Flip).next_u32() & 1 == 1;
        let crop = (self.crop > 0.0).then(|| {
            let mut stream = stream(Purpose::Crop);
            let [area, top, left]: [f64; 3] = std::array::from_fn(|_| stream.uniform());
            Crop { area: 1.0 - self.crop * area, top, left }
        });
        let colours = (self.jitter > 0.0).then(|| {
            let mut stream = stream(Purpose::Jitter);
            let mut factor = || (1.0 + self.jitter * (2.0 * stream.uniform() - 1.0)) as f32;
            Colours { brightness: factor(), contrast: factor(), saturation: factor() }
        });
        Change { crop, flip, colours }
    }
}

/// The change of one image, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Change {
    crop: Option<Crop>,
    pub(crate) flip: bool,
    colours: Option<Colours>,
}

/// A part of an image with its aspect ratio, which is enlarged to the size of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crop {
    /// Share of the area, above 0.
    area: f64,
    /// Where the part lies in the space that it leaves, from 0 to 1.
    top: f64,
    left: f64,
}

/// Factors, 1 for no change.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Colours {
    brightness: f32,
    /// Of the distance from the image's mean grey value.
    contrast: f32,
    /// Of the distance from the pixel's own grey value.
    saturation: f32,
}

impl Change {
    /// Changes an image `[h, w, c]` without a border, with `c` 1 or 3.
    pub(crate) fn apply(&self, item: &mut [u8], (height, width, channels): (usize, usize, usize)) {
        if let Some(crop) = self.crop {
            crop.apply(item, (height, width, channels));
        }
        if self.flip {
            mirror(item, width, channels);
        }
        if let Some(colours) = self.colours {
            colours.apply(item, channels);
        }
    }
}

impl Crop {
    fn apply(self, item: &mut [u8], (height, width, channels): (usize, usize, usize)) {
        let side = |side: usize| ((side as f64 * self.area.sqrt()).round() as usize).clamp(1, side);
        let (rows, columns) = (side(height), side(width));
        if (rows, columns) == (height, width) {
            return;
        }
        // A share below 1 of one more than the space.
        let place = |share: f64, space: usize| ((share * (space + 1) as f64) as usize).min(space);
        let (top, left) = (place(self.top, height - rows), place(self.left, width - columns));
        let whole = Pixels { height, width, channels, pixels: item.to_vec() };
        let part = whole.cut(top, left, (rows, columns)).resize(height, width);
        item.copy_from_slice(&part.pixels);
    }
}

impl Colours {
    fn apply(self, item: &mut [u8], channels: usize) {
        let Self { brightness, contrast, saturation } = self;
        let grey = |pixel: &[u8]| match pixel {
            [_, _, _] => f32::from(luma(pixel)),
            _ => pixel.first().copied().map_or(0.0, f32::from),
        };
        let pixels = item.len() / channels;
        let sum: f64 = item.chunks_exact(channels).map(|pixel| f64::from(grey(pixel))).sum();
        let mean = brightness * (sum / pixels.max(1) as f64) as f32;
        for pixel in item.chunks_exact_mut(channels) {
            let own = brightness * grey(pixel);
            for value in pixel {
                let coloured = own + saturation * (brightness * f32::from(*value) - own);
                // The cast saturates at 0 and 255.
                *value = (mean + contrast * (coloured - mean)).round() as u8;
            }
        }
    }
}

/// Mirrors `[h, w, c]` horizontally in place.
fn mirror(item: &mut [u8], width: usize, channels: usize) {
    for row in item.chunks_exact_mut(width * channels) {
        for x in 0..width / 2 {
            let other = width - 1 - x;
            for c in 0..channels {
                row.swap(x * channels + c, other * channels + c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize, channels: usize) -> Vec<u8> {
        (0..height * width * channels).map(|i| (i * 7 % 200 + 20) as u8).collect()
    }

    #[test]
    fn nothing_changes_by_default() {
        for position in 0..50 {
            assert_eq!(Vary::default().change(7, position), Change::default());
        }
        let mut item = ramp(5, 4, 3);
        Change::default().apply(&mut item, (5, 4, 3));
        assert_eq!(item, ramp(5, 4, 3));
        // A change by nothing.
        let same = Colours { brightness: 1.0, contrast: 1.0, saturation: 1.0 };
        let whole = Crop { area: 1.0, top: 0.9, left: 0.9 };
        Change { crop: Some(whole), flip: false, colours: Some(same) }.apply(&mut item, (5, 4, 3));
        assert_eq!(item, ramp(5, 4, 3));
    }

    #[test]
    fn a_crop_shows_a_part_of_the_image() {
        // Four quarters, each of one value.
        let quarters = |y: usize, x: usize| [[10_u8, 80], [150, 220]][y / 4][x / 4];
        let image: Vec<u8> = (0..64).map(|i| quarters(i / 8, i % 8)).collect();
        for (top, left, value) in [(0.0, 0.0, 10), (0.0, 0.999, 80), (0.999, 0.0, 150), (0.999, 0.999, 220)] {
            let mut item = image.clone();
            Crop { area: 0.25, top, left }.apply(&mut item, (8, 8, 1));
            assert!(item.iter().all(|&got| got == value), "{top} {left}: {item:?}");
        }
        // The smallest crops are still images.
        let mut item = ramp(1, 3, 3);
        Crop { area: 1e-9, top: 0.5, left: 0.5 }.apply(&mut item, (1, 3, 3));
        assert_eq!(item, ramp(1, 3, 3)[3..6].repeat(3));
    }

    #[test]
    fn factors_change_what_their_names_say() {
        let colours = |brightness, contrast, saturation| {
            let mut item = vec![100, 100, 100, 50, 50, 50, 150, 150, 150];
            Colours { brightness, contrast, saturation }.apply(&mut item, 3);
            item
        };
        assert_eq!(colours(2.0, 1.0, 1.0), [200, 200, 200, 100, 100, 100, 255, 255, 255]);
        assert_eq!(colours(1.0, 2.0, 1.0), [100, 100, 100, 0, 0, 0, 200, 200, 200]);
        // Grey pixels have no saturation.
        assert_eq!(colours(1.0, 1.0, 0.0), [100, 100, 100, 50, 50, 50, 150, 150, 150]);
        let mut red = vec![200, 100, 0];
        Colours { brightness: 1.0, contrast: 1.0, saturation: 0.0 }.apply(&mut red, 3);
        assert_eq!(red, [luma(&[200, 100, 0]); 3]);
    }

    #[test]
    fn draws_depend_on_the_position_alone() {
        let vary = Vary::default().with_flip(true).with_crop(0.5).unwrap().with_jitter(0.3).unwrap();
        let changes: Vec<Change> = (0..400).map(|position| vary.change(3, position)).collect();
        assert_eq!(vary.change(3, 399), changes[399]);
        assert_ne!(vary.change(4, 399), changes[399]);
        let areas: Vec<f64> = changes.iter().map(|change| change.crop.unwrap().area).collect();
        assert!(areas.iter().all(|area| (0.5..=1.0).contains(area)));
        let mean = areas.iter().sum::<f64>() / 400.0;
        assert!((mean - 0.75).abs() < 0.03, "{mean}");
        let factors: Vec<f32> = changes.iter().map(|change| change.colours.unwrap().contrast).collect();
        assert!(factors.iter().all(|factor| (0.7..=1.3).contains(factor)));
        // Flips are those without the other changes, so that runs keep theirs.
        let flips = Vary::default().with_flip(true);
        assert!((0..400).all(|position| flips.change(3, position).flip == changes[position as usize].flip));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for crop in [-0.1, 0.91, f64::NAN] {
            assert!(matches!(Vary::default().with_crop(crop), Err(DatasetError::BadOption { .. })));
        }
        for jitter in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(Vary::default().with_jitter(jitter), Err(DatasetError::BadOption { .. })));
        }
    }
}
