//! GIF89a: a palette of 256 colours and one index per pixel.

use gif::{Encoder, Frame, Repeat};

use crate::animation::palette::indexed;
use crate::animation::{Animation, Sizes, bytes, enlarged};
use crate::error::FiguresError;

pub(super) fn encode(animation: &Animation<'_>, sizes: &Sizes) -> Result<Vec<u8>, FiguresError> {
    let (_, _, frame_width, channels) = animation.frames.dim();
    // Grey frames share a palette in which each level is its own index.
    let greys: Vec<u8> = (0..=u8::MAX).flat_map(|level| [level; 3]).collect();
    let shared: &[u8] = if channels == 1 { &greys } else { &[] };
    let (width, height) = (sizes.width as u16, sizes.height as u16); // checked before
    let mut encoder = Encoder::new(Vec::new(), width, height, shared)?;
    encoder.set_repeat(Repeat::Infinite)?;
    for (frame, delay) in animation.timed(sizes) {
        let (indices, palette) = if channels == 1 {
            (bytes(&frame), None)
        } else {
            let indexed = indexed(&bytes(&frame));
            (indexed.indices, Some(indexed.palette))
        };
        let buffer = enlarged(&indices, frame_width, 1, animation.scale).into();
        encoder.write_frame(&Frame { width, height, delay, palette, buffer, ..Frame::default() })?;
    }
    Ok(encoder.into_inner()?)
}

#[cfg(test)]
mod tests {
    use crate::animation::Animation;
    use gif::{ColorOutput, DecodeOptions, Repeat};
    use ndarray::{Array3, Array4, Axis};
    use proptest::prelude::*;
    use std::time::Duration;

    /// Frames `[frames, h, w, 3]` as a viewer shows them, with their delays in 10 ms.
    fn decode(gif: &[u8]) -> (Array4<u8>, Vec<u16>) {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        let mut decoder = options.read_info(gif).unwrap();
        assert_eq!(decoder.repeat(), Repeat::Infinite);
        let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
        let (mut pixels, mut delays) = (Vec::new(), Vec::new());
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!((usize::from(frame.width), usize::from(frame.height)), (width, height));
            assert_eq!((frame.left, frame.top), (0, 0));
            for pixel in frame.buffer.chunks_exact(4) {
                assert_eq!(pixel[3], 255, "nothing is transparent");
                pixels.extend_from_slice(&pixel[..3]);
            }
            delays.push(frame.delay);
        }
        (Array4::from_shape_vec((delays.len(), height, width, 3), pixels).unwrap(), delays)
    }

    #[test]
    fn every_grey_level_is_kept() {
        let frames = Array4::from_shape_fn((3, 16, 16, 1), |(t, y, x, _)| (y * 16 + x + t * 85) as u8);
        let (got, delays) = decode(&Animation::new(frames.view()).gif().unwrap());
        assert_eq!(got, frames.broadcast((3, 16, 16, 3)).unwrap());
        assert_eq!(delays, [10, 10, 200]);
    }

    #[test]
    fn one_frame_is_held() {
        let frames = Array4::from_elem((1, 1, 1, 1), 7);
        let animation = Animation::new(frames.view()).hold(Duration::from_millis(1504));
        let (got, delays) = decode(&animation.gif().unwrap());
        assert_eq!((got.iter().copied().collect::<Vec<_>>(), delays), (vec![7; 3], vec![150]));
    }

    /// White gaps stay white, and every colour stays close to the original.
    #[test]
    fn more_colours_than_a_palette_holds() {
        let smooth = |y: usize, x: usize, c: usize| [4 * x, 4 * y, 2 * (x + y)][c] as u8;
        let frame =
            Array3::from_shape_fn((64, 64, 3), |(y, x, c)| if x == 31 { 255 } else { smooth(y, x, c) });
        let frames = frame.insert_axis(Axis(0));
        let animation = Animation::new(frames.view());
        let (got, _) = decode(&animation.gif().unwrap());
        assert_eq!(animation.gif().unwrap(), animation.gif().unwrap());
        let column = got.index_axis(Axis(2), 31);
        assert!(column.iter().all(|&value| value == 255));
        let far = got.iter().zip(&frames).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far < Some(40), "{far:?}");
        let sum: u64 = got.iter().zip(&frames).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!((sum as f64) < 7.0 * got.len() as f64, "{}", sum as f64 / got.len() as f64);
    }

    proptest! {
        #[test]
        fn few_colours_come_back(
            n in 1_usize..4, h in 1_usize..17, w in 1_usize..16, rgb: bool, scale in 1_usize..4, start: u8,
        ) {
            let channels = if rgb { 3 } else { 1 };
            let frames = Array4::from_shape_fn((n, h, w, channels), |(t, y, x, c)| {
                start.wrapping_add((t * 61 + y * 17 + x * 7 + c * 3) as u8)
            });
            let (got, _) = decode(&Animation::new(frames.view()).scale(scale).gif().unwrap());
            prop_assert_eq!(got.dim(), (n, h * scale, w * scale, 3));
            for ((t, y, x, c), value) in got.indexed_iter() {
                prop_assert_eq!(*value, frames[[t, y / scale, x / scale, c.min(channels - 1)]]);
            }
        }
    }
}
