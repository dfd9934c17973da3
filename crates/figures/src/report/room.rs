//! How much a slider may hold.

/// The most numbers in a sheet: noise does not compress, and two sheets should leave the page below 6 MB.
pub(super) const MOST_NUMBERS: usize = 1_500_000;
/// The frames that a slider keeps if there is no room for all of them, before it shows fewer images, and then smaller
/// ones.
const FEW_FRAMES: usize = 16;
/// How many images and frames of a size a slider has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliderRoom {
    /// Images side by side.
    pub images: usize,
    /// Frames.
    pub frames: usize,
    /// The factor by which the images' height and width are reduced.
    pub shrink: usize,
}

impl SliderRoom {
    /// Room for up to `images` images in each of `rows` rows and up to `frames` frames of `[h, w, c]`. If they do not
    /// fit, frames are dropped first, down to 16, then images, then size.
    #[must_use]
    pub fn of(
        (height, width, channels): (usize, usize, usize),
        rows: usize,
        images: usize,
        frames: usize,
    ) -> Self {
        let cells = |shrink: usize| {
            let (height, width) = ((height / shrink).max(1), (width / shrink).max(1));
            MOST_NUMBERS / (height.saturating_mul(width).saturating_mul(channels.max(1) * rows.max(1))).max(1)
        };
        let few = frames.clamp(1, FEW_FRAMES);
        let mut shrink = 1;
        while cells(shrink) < few && height.min(width) / (2 * shrink) > 0 {
            shrink *= 2;
        }
        let images = (cells(shrink) / few).clamp(1, images.max(1));
        Self { images, frames: frames.min(cells(shrink) / images).max(1), shrink }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_NUMBERS, SliderRoom};
    use proptest::prelude::*;

    #[test]
    fn large_images_are_fewer_and_smaller() {
        let room = |size, rows| SliderRoom::of(size, rows, 6, 42);
        assert_eq!(room((28, 28, 1), 2), SliderRoom { images: 6, frames: 42, shrink: 1 });
        assert_eq!(room((64, 64, 3), 2), SliderRoom { images: 3, frames: 20, shrink: 1 });
        assert_eq!(room((128, 128, 3), 1), SliderRoom { images: 1, frames: 30, shrink: 1 });
        assert_eq!(room((128, 128, 3), 2), SliderRoom { images: 3, frames: 20, shrink: 2 });
        assert_eq!(room((256, 256, 3), 1), SliderRoom { images: 1, frames: 30, shrink: 2 });
    }

    proptest! {
        /// Whatever the size, the result is at least one frame of one image, and fits.
        #[test]
        fn the_room_is_never_exceeded(
            height in 1_usize..3000, width in 1_usize..3000, rgb: bool,
            rows in 1_usize..3, images in 1_usize..9, frames in 1_usize..80,
        ) {
            let channels = if rgb { 3 } else { 1 };
            let room = SliderRoom::of((height, width, channels), rows, images, frames);
            prop_assert!((1..=images).contains(&room.images) && (1..=frames).contains(&room.frames));
            let (h, w) = ((height / room.shrink).max(1), (width / room.shrink).max(1));
            prop_assert!(room.frames == 1 || rows * room.images * room.frames * h * w * channels <= MOST_NUMBERS);
        }
    }
}
