//! Decodes the first frame of a GIF, at its place on the canvas that the header describes (GIF89a, sections 18 and 20).

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::{Rgba, RgbaImage};

/// Bytes of the header: the signature, the width and the height.
const HEADER: usize = 10;

/// Width and height of the canvas.
pub(crate) fn canvas(bytes: &[u8]) -> Result<(u32, u32), String> {
    match bytes.get(..HEADER) {
        Some(&[.., w0, w1, h0, h1]) => {
            Ok((u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into()))
        }
        _ => Err(format!("expected {HEADER} bytes of a GIF header, found {}", bytes.len())),
    }
}

/// Decodes the first frame. What it leaves free of the canvas is transparent. The caller has checked the canvas, and a
/// frame beyond it is refused.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbaImage, String> {
    let (width, height) = canvas(bytes)?;
    let mut options = DecodeOptions::new();
    // Indices take a quarter of the memory of colours.
    options.set_color_output(ColorOutput::Indexed);
    options.check_frame_consistency(true);
    // The limit applies to each frame and to each text. A text is in the file as it is.
    let most = u64::from(width) * u64::from(height) + bytes.len() as u64;
    options.set_memory_limit(NonZeroU64::new(most).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let mut decoder = options.read_info(bytes).map_err(|e| e.to_string())?;
    let (left, top, columns, transparent) = match decoder.next_frame_info().map_err(|e| e.to_string())? {
        Some(frame) => (frame.left, frame.top, usize::from(frame.width), frame.transparent),
        None => return Err("expected a frame, found the end of the GIF".to_owned()),
    };
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(|e| e.to_string())?;
    let palette = decoder.palette().map_err(|e| e.to_string())?;
    let mut image = RgbaImage::new(width, height);
    if columns == 0 {
        return Ok(image);
    }
    for (y, row) in (u32::from(top)..height).zip(indices.chunks_exact(columns)) {
        for (x, &index) in (u32::from(left)..width).zip(row) {
            // An index beyond the palette has no colour.
            let colour = palette.chunks_exact(3).nth(usize::from(index));
            if let Some(&[red, green, blue]) = colour.filter(|_| transparent != Some(index)) {
                image.put_pixel(x, y, Rgba([red, green, blue, u8::MAX]));
            }
        }
    }
    Ok(image)
}

/// Whether there is a second frame. If the file is damaged before it, there is none.
pub(crate) fn is_animated(bytes: &[u8]) -> bool {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let Ok(mut decoder) = options.read_info(bytes) else { return false };
    let mut next = || matches!(decoder.next_frame_info(), Ok(Some(_)));
    next() && next()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gif::{Encoder, Frame};

    /// Black, red and white.
    const PALETTE: [u8; 9] = [0, 0, 0, 255, 0, 0, 255, 255, 255];

    /// A GIF with these frames.
    pub(crate) fn gif((width, height): (u16, u16), frames: &[Frame<'_>]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), width, height, &PALETTE).unwrap();
        frames.iter().for_each(|frame| encoder.write_frame(frame).unwrap());
        encoder.into_inner().unwrap()
    }

    fn frame(width: u16, height: u16, indices: &[u8]) -> Frame<'static> {
        Frame::from_indexed_pixels(width, height, indices, None)
    }

    #[test]
    fn the_first_frame_is_placed_on_the_canvas() {
        let small = Frame { left: 1, top: 1, transparent: Some(0), ..frame(2, 1, &[0, 1]) };
        let image = decode(&gif((3, 2), &[small, frame(3, 2, &[2; 6])])).unwrap();
        let opaque: Vec<_> = image.enumerate_pixels().filter(|(.., pixel)| pixel[3] > 0).collect();
        assert_eq!(opaque, [(2, 1, &Rgba([255, 0, 0, 255]))]);
    }

    #[test]
    fn interlaced_rows_are_put_in_order() {
        let interlaced = Frame { interlaced: true, ..frame(1, 5, &[2, 2, 1, 2, 1]) };
        let image = decode(&gif((1, 5), &[interlaced])).unwrap();
        // Rows 0, then 4, then 2, then 1 and 3 are stored in this order.
        let reds: Vec<u32> =
            image.enumerate_pixels().filter(|(.., pixel)| pixel[1] == 0).map(|(_, y, _)| y).collect();
        assert_eq!(reds, [2, 3]);
    }

    #[test]
    fn further_frames_are_noticed() {
        let one = frame(2, 2, &[0, 1, 2, 0]);
        assert!(!is_animated(&gif((2, 2), std::slice::from_ref(&one))));
        let two = gif((2, 2), &[one.clone(), one]);
        assert!(is_animated(&two));
        assert!(!is_animated(&two[..30]) && !is_animated(b"GIF89a"));
    }

    #[test]
    fn broken_files_are_refused() {
        let good = gif((4, 4), &[frame(4, 4, &[1; 16])]);
        for length in 0..good.len() - 8 {
            assert!(decode(&good[..length]).is_err(), "{length} of {} bytes", good.len());
        }
        let outside = gif((3, 3), &[frame(4, 4, &[1; 16])]);
        assert!(decode(&outside).is_err());
        assert!(decode(&gif((3, 3), &[])).is_err());
    }
}
