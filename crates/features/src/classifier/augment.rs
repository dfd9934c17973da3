//! Shifts images by a few pixels and mirrors them, so that a classifier does not depend on their position. Nothing else
//! is done, since features should react to noise and blur.

use ndarray::{Array4, ArrayView4, Axis};
use random::{Purpose, Stream};

/// Largest shift in each direction, in pixels.
const SHIFT: u32 = 1;

/// Shifts the images `[b, h, w, c]`, and mirrors each left to right with probability 1/2 if `flip`. The draws depend on
/// (seed, step, place in the batch). The uncovered side repeats its last row or column.
pub(crate) fn augmented(images: ArrayView4<'_, u8>, flip: bool, seed: u64, step: u64) -> Array4<u8> {
    let (_, height, width, _) = images.dim();
    let mut out = Array4::zeros(images.raw_dim());
    for (place, (image, mut out)) in images.outer_iter().zip(out.axis_iter_mut(Axis(0))).enumerate() {
        let mut stream = Stream::new(seed, Purpose::TrainAugment, step, place as u32);
        let mut moved = || stream.below(2 * SHIFT + 1) as isize - SHIFT as isize;
        let (down, right) = (moved(), moved());
        let mirrored = flip && stream.next_u32() & 1 == 1;
        out.indexed_iter_mut().for_each(|((y, x, channel), pixel)| {
            let x = if mirrored { width - 1 - x } else { x };
            *pixel = image[[inside(y, down, height), inside(x, right, width), channel]];
        });
    }
    out
}

/// The position before a shift by `by` of the pixel that is now at `to`.
fn inside(to: usize, by: isize, length: usize) -> usize {
    (to as isize - by).clamp(0, length as isize - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A ramp shows where each pixel comes from.
    #[test]
    fn images_are_shifted_and_mirrored_and_nothing_else() {
        let images = Array4::from_shape_fn((400, 9, 7, 2), |(_, y, x, c)| (y * 20 + x * 2 + c) as u8);
        let mut seen = HashSet::new();
        for (flip, ways) in [(false, 9), (true, 18)] {
            seen.clear();
            for image in augmented(images.view(), flip, 3, 5).outer_iter() {
                // The middle is far enough from all sides.
                let (y, x) = (usize::from(image[[4, 3, 0]]) / 20, usize::from(image[[4, 3, 0]]) % 20 / 2);
                let step = i32::from(image[[4, 4, 0]]) - i32::from(image[[4, 3, 0]]);
                assert!(step == 2 || (flip && step == -2), "{step}");
                assert!(y.abs_diff(4) <= 1 && x.abs_diff(3) <= 1);
                assert!(image.outer_iter().flatten().all(|&pixel| pixel < 180));
                assert_eq!(image[[4, 3, 1]], image[[4, 3, 0]] + 1);
                seen.insert((y, x, step));
            }
            assert_eq!(seen.len(), ways);
        }
    }

    #[test]
    fn a_side_repeats_its_last_row() {
        assert_eq!([0, 1, 2, 3].map(|y| inside(y, 2, 4)), [0, 0, 0, 1]);
        assert_eq!([0, 1, 2, 3].map(|y| inside(y, -2, 4)), [2, 3, 3, 3]);
    }

    #[test]
    fn draws_depend_on_seed_step_and_place() {
        let images = Array4::from_shape_fn((30, 5, 5, 1), |(_, y, x, _)| (y * 5 + x) as u8);
        let of = |seed, step| augmented(images.view(), true, seed, step);
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(2, 2));
        assert_ne!(of(1, 2), of(1, 3));
    }
}
