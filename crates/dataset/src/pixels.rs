//! Converts an image to a given size and number of channels.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb};

use crate::size::Size;

/// How an image of another aspect ratio gets that of the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Crop the largest centred part with that aspect ratio and resize it.
    #[default]
    Crop,
    /// Resize both sides, each by its own factor.
    Stretch,
    /// Fit the whole image into the target and fill the rest with black (0).
    Pad,
}

/// An image of 1 or 3 channels, HWC; `pixels` has `height * width * channels` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Pixels {
    /// Resizes the image to a size; unchanged if it already has that size.
    ///
    /// The filter is Catmull-Rom (bicubic). When an image shrinks, the filter's support grows accordingly, so there is
    /// no aliasing.
    pub(crate) fn fit(self, size: Size, fit: Fit) -> Self {
        let Size { height, width } = size;
        if (self.height, self.width) == (height, width) {
            return self;
        }
        match fit {
            Fit::Stretch => self.resize(height, width),
            Fit::Crop => self.cover(height, width),
            Fit::Pad => {
                // Both borders have the same width, so that a mirrored image stays in place. For that the side that does
                // not fill the target, `share / of` pixels, is rounded to the parity of the target's side.
                let scaled = |side: usize, share: usize, of: usize| {
                    let border = (side * of - share + of - 1) / (2 * of);
                    (side - 2 * border).max(2 - side % 2)
                };
                let (rows, columns) = if self.height * width >= self.width * height {
                    (height, scaled(width, self.width * height, self.height))
                } else {
                    (scaled(height, self.height * width, self.width), width)
                };
                let channels = self.channels;
                let inner = self.resize(rows, columns);
                let (top, left) = ((height - rows) / 2, (width - columns) / 2);
                let mut pixels = vec![0; height * width * channels];
                for (y, row) in inner.pixels.chunks_exact(columns * channels).enumerate() {
                    pixels[((top + y) * width + left) * channels..][..row.len()].copy_from_slice(row);
                }
                Self { height, width, channels, pixels }
            }
        }
    }

    /// Crops the largest centred part with the aspect ratio of `height` x `width` (both at least 1), and resizes it to
    /// that.
    pub(crate) fn cover(self, height: usize, width: usize) -> Self {
        // Crop first: a strip of 1 x 16384 would otherwise grow to half a million pixels.
        let share = |side: usize, of: usize, other: usize| ((side * of + other / 2) / other).max(1);
        let (rows, columns) = if self.width * height >= self.height * width {
            (self.height, share(self.height, width, height).min(self.width))
        } else {
            (share(self.width, height, width).min(self.height), self.width)
        };
        let (top, left) = ((self.height - rows) / 2, (self.width - columns) / 2);
        self.cut(top, left, (rows, columns)).resize(height, width)
    }

    /// Converts grey to three equal channels, or colour to its luma (ITU-R BT.709 weights).
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
            _ => return self,
        };
        Self { channels, pixels, ..self }
    }

    pub(crate) fn cut(self, top: usize, left: usize, (height, width): (usize, usize)) -> Self {
        let row = self.width * self.channels;
        let rows = self.pixels.chunks_exact(row).skip(top).take(height);
        let pixels =
            rows.flat_map(|r| &r[left * self.channels..][..width * self.channels]).copied().collect();
        Self { height, width, channels: self.channels, pixels }
    }

    pub(crate) fn resize(self, height: usize, width: usize) -> Self {
        if (self.height, self.width) == (height, width) {
            return self;
        }
        let (from_height, from_width) = (self.height as u32, self.width as u32);
        let (to_height, to_width) = (height as u32, width as u32);
        let filter = FilterType::CatmullRom;
        // The buffers have the right length by the invariant of this type.
        let pixels = if self.channels == 1 {
            ImageBuffer::<Luma<u8>, _>::from_raw(from_width, from_height, self.pixels)
                .map(|image| imageops::resize(&image, to_width, to_height, filter).into_raw())
        } else {
            ImageBuffer::<Rgb<u8>, _>::from_raw(from_width, from_height, self.pixels)
                .map(|image| imageops::resize(&image, to_width, to_height, filter).into_raw())
        };
        Self { height, width, channels: self.channels, pixels: pixels.unwrap_or_default() }
    }
}

/// The luma of one pixel, rounded; equal channels keep their value.
pub(crate) fn luma(rgb: &[u8]) -> u8 {
    let weighted = 2126 * u32::from(rgb[0]) + 7152 * u32::from(rgb[1]) + 722 * u32::from(rgb[2]);
    ((weighted + 5000) / 10_000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(height: usize, width: usize, channels: usize) -> Pixels {
        let pixels = (0..height * width * channels).map(|i| (i * 7 % 256) as u8).collect();
        Pixels { height, width, channels, pixels }
    }

    #[test]
    fn crop_takes_the_middle() {
        // Left third black, middle white, right third black, so the centred square is all white.
        let pixels = (0..4).flat_map(|_| [[0_u8; 4], [255; 4], [0; 4]].concat()).collect();
        let image = Pixels { height: 4, width: 12, channels: 1, pixels };
        assert!(image.clone().fit(4.into(), Fit::Crop).pixels.iter().all(|&v| v == 255));
        assert!(image.clone().fit(2.into(), Fit::Crop).pixels.iter().all(|&v| v == 255));
        // When stretched, the outer columns are black.
        let stretched = image.fit(3.into(), Fit::Stretch).pixels;
        assert!(stretched[1] > 200 && stretched[0] < 60 && stretched[2] < 60, "{stretched:?}");
    }

    #[test]
    fn cover_keeps_proportions() {
        // Each column has its own value, so that cropping the height keeps it.
        let image =
            Pixels { height: 4, width: 12, channels: 1, pixels: (0..48).map(|i| i % 12 * 20).collect() };
        for (height, width, columns) in [(4, 6, 3..9), (4, 2, 5..7), (4, 12, 0..12), (2, 12, 0..12)] {
            let out = image.clone().cover(height, width);
            assert_eq!((out.height, out.width), (height, width));
            let want: Vec<u8> = columns.map(|x| x * 20).collect();
            assert!(out.pixels.chunks(width).all(|row| row == want), "{height}x{width}: {:?}", out.pixels);
        }
    }

    #[test]
    fn pad_keeps_all_and_adds_black() {
        let image = Pixels { height: 2, width: 4, channels: 3, pixels: vec![200; 24] };
        let padded = image.fit(4.into(), Fit::Pad);
        let rows: Vec<bool> = padded.pixels.chunks(12).map(|r| r.iter().all(|&v| v == 200)).collect();
        assert_eq!(rows, [false, true, true, false]);
        assert_eq!(padded.pixels.iter().filter(|&&v| v == 0).count(), 24);
    }

    #[test]
    fn pad_has_the_same_border_on_both_sides() {
        for (size, width) in (1..40).flat_map(|size| (1..40).map(move |width| (size, width))) {
            let image = Pixels { height: 40, width, channels: 1, pixels: vec![200; 40 * width] };
            let padded = image.fit(size.into(), Fit::Pad);
            let row = &padded.pixels[..size];
            assert!(row.iter().eq(row.iter().rev()), "{size} {width}: {row:?}");
            let inside = row.iter().filter(|&&v| v > 0).count();
            assert!(inside.abs_diff(width * size / 40) <= 2 && inside > 0, "{size} {width}: {inside}");
        }
    }

    #[test]
    fn other_aspect_ratios_are_filled_up_too() {
        let white = |height: usize, width: usize| Pixels {
            height,
            width,
            channels: 1,
            pixels: vec![200; height * width],
        };
        let size = Size { height: 4, width: 8 };
        // A square in a wide target: columns 2 to 5.
        let padded = white(3, 3).fit(size, Fit::Pad);
        let want = [[0_u8; 2], [200; 2], [200; 2], [0; 2]].concat().repeat(4);
        assert_eq!((padded.height, padded.width, padded.pixels), (4, 8, want));
        // A wider image: rows 1 and 2.
        let padded = white(2, 8).fit(size, Fit::Pad);
        assert_eq!(padded.pixels, [vec![0; 8], vec![200; 16], vec![0; 8]].concat());
        // The same aspect ratio has no border.
        assert!(white(2, 4).fit(size, Fit::Pad).pixels.iter().all(|&v| v == 200));
    }

    #[test]
    fn grey_survives_conversion_to_colour_and_back() {
        let image = ramp(16, 16, 1);
        assert_eq!(image.clone().with_channels(3).with_channels(1), image);
        let primaries =
            Pixels { height: 1, width: 3, channels: 3, pixels: vec![255, 0, 0, 0, 255, 0, 0, 0, 255] };
        assert_eq!(primaries.with_channels(1).pixels, [54, 182, 18]);
    }

    proptest! {
        #[test]
        fn any_shape_fits(h in 1_usize..40, w in 1_usize..40, size in 1_usize..20, colour: bool) {
            let channels = if colour { 3 } else { 1 };
            for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
                let out = ramp(h, w, channels).fit(size.into(), fit);
                prop_assert_eq!((out.height, out.width, out.pixels.len()), (size, size, size * size * channels));
            }
            let to = Size { height: size, width: w };
            for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
                let out = ramp(h, w, channels).fit(to, fit);
                prop_assert_eq!((out.height, out.width, out.pixels.len()), (size, w, size * w * channels));
            }
            let covered = ramp(h, w, channels).cover(size, w);
            prop_assert_eq!((covered.height, covered.width, covered.pixels.len()), (size, w, size * w * channels));
            // A constant image stays constant.
            let flat = Pixels { height: h, width: w, channels, pixels: vec![123; h * w * channels] };
            prop_assert!(flat.fit(size.into(), Fit::Crop).pixels.iter().all(|&v| v == 123));
        }
    }
}
