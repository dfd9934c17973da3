//! Reads animated pictures as a viewer would, without project code.

use std::io::Cursor;

use anyhow::{Context, ensure};
use gif::{ColorOutput, DecodeOptions, Repeat};
use png::Decoder;

/// One frame of an animation.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// RGB, row by row.
    pub rgb: Vec<u8>,
    /// Seconds it is shown.
    pub seconds: f64,
}

/// The frames of a GIF that loops forever.
///
/// # Errors
/// When it is not such a GIF.
pub fn read_gif(bytes: &[u8]) -> anyhow::Result<Vec<Frame>> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    let mut decoder = options.read_info(bytes)?;
    ensure!(decoder.repeat() == Repeat::Infinite, "it ends: {:?}", decoder.repeat());
    let size = (usize::from(decoder.width()), usize::from(decoder.height()));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame()? {
        ensure!((usize::from(frame.width), usize::from(frame.height)) == size, "a frame has another size");
        let rgb = frame.buffer.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
        frames.push(Frame { size, rgb, seconds: f64::from(frame.delay) / 100.0 });
    }
    Ok(frames)
}

/// The frames of an animated PNG that loops forever.
///
/// # Errors
/// When it is not such a PNG, or has other pixels than 8-bit grey or RGB.
pub fn read_apng(bytes: &[u8]) -> anyhow::Result<Vec<Frame>> {
    let mut reader = Decoder::new(Cursor::new(bytes)).read_info()?;
    let control = *reader.info().animation_control().context("no animation")?;
    ensure!(control.num_plays == 0, "it stops after {} loops", control.num_plays);
    let size = (reader.info().width as usize, reader.info().height as usize);
    let mut frames = Vec::new();
    for _ in 0..control.num_frames {
        let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
        reader.next_frame(&mut pixels)?;
        let repeated = size.0 * size.1 * 3 / pixels.len(); // 3 for grey
        let rgb: Vec<u8> = pixels.iter().flat_map(|&value| std::iter::repeat_n(value, repeated)).collect();
        ensure!(rgb.len() == size.0 * size.1 * 3, "{} bytes a frame", pixels.len());
        let shown = reader.info().frame_control().context("a frame has no frame control")?;
        let seconds = f64::from(shown.delay_num) / f64::from(shown.delay_den);
        frames.push(Frame { size, rgb, seconds });
    }
    Ok(frames)
}
