//! Animated PNG: each frame is a whole picture, without loss.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use crate::animation::{Animation, Sizes, TICKS_PER_SECOND, bytes, enlarged};
use crate::error::FiguresError;

pub(super) fn encode(animation: &Animation<'_>, sizes: &Sizes) -> Result<Vec<u8>, FiguresError> {
    let (frames, _, frame_width, channels) = animation.frames.dim();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, sizes.width as u32, sizes.height as u32); // checked before
    encoder.set_color(if channels == 1 { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    encoder.set_filter(Filter::Adaptive);
    encoder.set_animated(u32::try_from(frames).unwrap_or(u32::MAX), 0)?; // 0: for ever
    encoder.validate_sequence(true);
    let mut writer = encoder.write_header()?;
    for (frame, delay) in animation.timed(sizes) {
        writer.set_frame_delay(delay, TICKS_PER_SECOND)?;
        writer.write_image_data(&enlarged(&bytes(&frame), frame_width, channels, animation.scale))?;
    }
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use crate::animation::Animation;
    use ndarray::Array4;
    use png::{BlendOp, Decoder};
    use proptest::prelude::*;
    use std::io::Cursor;
    use std::time::Duration;

    /// Frames `[frames, h, w, c]`, with their delays in seconds.
    fn decode(file: &[u8]) -> (Array4<u8>, Vec<f64>) {
        let mut reader = Decoder::new(Cursor::new(file)).read_info().unwrap();
        let control = *reader.info().animation_control().unwrap();
        assert_eq!(control.num_plays, 0, "for ever");
        let (width, height) = (reader.info().width, reader.info().height);
        let (mut pixels, mut delays) = (Vec::new(), Vec::new());
        for _ in 0..control.num_frames {
            let mut frame = vec![0; reader.output_buffer_size().unwrap()];
            let size = reader.next_frame(&mut frame).unwrap().buffer_size();
            pixels.extend_from_slice(&frame[..size]);
            let shown = reader.info().frame_control().unwrap();
            assert_eq!((shown.width, shown.height, shown.x_offset, shown.y_offset), (width, height, 0, 0));
            assert_eq!(shown.blend_op, BlendOp::Source);
            delays.push(f64::from(shown.delay_num) / f64::from(shown.delay_den));
        }
        let channels = reader.info().color_type.samples();
        let shape = (delays.len(), height as usize, width as usize, channels);
        (Array4::from_shape_vec(shape, pixels).unwrap(), delays)
    }

    #[test]
    fn delays_and_the_hold_are_kept() {
        let frames = Array4::from_shape_fn((3, 4, 5, 3), |(t, y, x, c)| (t * 60 + y * 15 + x * 3 + c) as u8);
        let animation = Animation::new(frames.view()).delay(Duration::from_millis(80));
        let file = animation.hold(Duration::from_secs(3)).apng().unwrap();
        let (got, delays) = decode(&file);
        assert_eq!((got, delays), (frames.clone(), vec![0.08, 0.08, 3.0]));
        // A reader without support for animations gets the first frame.
        let still = image::load_from_memory(&file).unwrap().into_rgb8().into_raw();
        assert!(still.iter().eq(frames.index_axis(ndarray::Axis(0), 0)));
    }

    proptest! {
        #[test]
        fn every_pixel_comes_back(
            n in 1_usize..4, h in 1_usize..9, w in 1_usize..9, rgb: bool, scale in 1_usize..4, start: u8,
        ) {
            let channels = if rgb { 3 } else { 1 };
            let frames = Array4::from_shape_fn((n, h, w, channels), |(t, y, x, c)| {
                start.wrapping_add((t * 61 + y * 17 + x * 7 + c * 3) as u8)
            });
            let animation = Animation::new(frames.view()).scale(scale);
            let file = animation.apng().unwrap();
            prop_assert_eq!(&file, &animation.apng().unwrap());
            let (got, _) = decode(&file);
            prop_assert_eq!(got.dim(), (n, h * scale, w * scale, channels));
            for ((t, y, x, c), value) in got.indexed_iter() {
                prop_assert_eq!(*value, frames[[t, y / scale, x / scale, c]]);
            }
        }
    }
}
