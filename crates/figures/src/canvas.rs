//! An RGB picture on white: pixels, images, text, and its PNG bytes.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use ndarray::ArrayView3;

use crate::error::FiguresError;

/// Most pixels of one picture: 400 MB of RGB.
pub(crate) const PIXEL_LIMIT: usize = 1 << 27;

/// Pixels of a side, and bytes, of a picture that comes from a file.
const MOST_SIDE: u32 = 1 << 14;
const MOST_DECODED: u64 = 128 << 20;

/// A colour, `[red, green, blue]` in 0..=255.
pub(crate) type Colour = [u8; 3];

/// The text colour.
pub(crate) const INK: Colour = [0x22, 0x22, 0x22];
/// Secondary text and rules.
pub(crate) const GREY: Colour = [0x66, 0x66, 0x66];
const WHITE: Colour = [255; 3];

/// A part of a picture whose colours mean something, so that a dark version keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Whether it is an image, which gets a frame on a dark page; else it has axes of its own.
    pub(crate) is_image: bool,
}

/// An RGB picture, white at first. Drawing beyond an edge is clipped. Pictures are equal if their pixels are.
#[derive(Debug, Clone)]
pub struct Canvas {
    pixels: RgbImage,
    kept: Vec<Kept>,
    /// Pixels per em of the smallest text; `None` without text.
    smallest_text: Option<u32>,
}

impl PartialEq for Canvas {
    fn eq(&self, other: &Self) -> bool {
        self.pixels == other.pixels
    }
}

impl Canvas {
    /// A white picture.
    ///
    /// # Errors
    /// [`FiguresError::Empty`] when a side is 0, [`FiguresError::TooLarge`] above 2^27 pixels.
    pub fn new(width: usize, height: usize) -> Result<Self, FiguresError> {
        if width == 0 || height == 0 {
            return Err(FiguresError::Empty { what: "the picture" });
        }
        let too_large = FiguresError::TooLarge { width, height, limit: PIXEL_LIMIT };
        if width.checked_mul(height).is_none_or(|pixels| pixels > PIXEL_LIMIT) {
            return Err(too_large);
        }
        let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
            return Err(too_large);
        };
        Ok(Self::of(RgbImage::from_pixel(w, h, Rgb(WHITE))))
    }

    /// The picture inside PNG bytes.
    pub(crate) fn from_png(png: &[u8]) -> Result<Self, FiguresError> {
        Ok(Self::of(image::load_from_memory_with_format(png, ImageFormat::Png)?.into_rgb8()))
    }

    fn of(pixels: RgbImage) -> Self {
        Self { pixels, kept: Vec::new(), smallest_text: None }
    }

    /// Reads an untrusted PNG file: its size is checked before its pixels are decoded.
    ///
    /// # Errors
    /// [`FiguresError::Png`] for anything but a PNG, or a side of more than 16,384 pixels.
    pub fn read_png(png: &[u8]) -> Result<Self, FiguresError> {
        let mut limits = Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
        limits.max_alloc = Some(MOST_DECODED);
        let mut reader = ImageReader::with_format(Cursor::new(png), ImageFormat::Png);
        reader.limits(limits);
        Ok(Self::of(reader.decode()?.into_rgb8()))
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> usize {
        self.pixels.width() as usize
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> usize {
        self.pixels.height() as usize
    }

    /// The pixels.
    #[must_use]
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// The picture as PNG. The same pixels give the same bytes.
    ///
    /// # Errors
    /// [`FiguresError::Png`] when the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, FiguresError> {
        self.encoded(self.pixels.as_raw(), ExtendedColorType::Rgb8)
    }

    /// As [`Canvas::png`], but with one number per pixel if the picture is grey.
    pub(crate) fn compact_png(&self) -> Result<Vec<u8>, FiguresError> {
        if self.pixels.pixels().any(|pixel| pixel.0 != [pixel.0[0]; 3]) {
            return self.png();
        }
        let grey: Vec<u8> = self.pixels.pixels().map(|pixel| pixel.0[0]).collect();
        self.encoded(&grey, ExtendedColorType::L8)
    }

    fn encoded(&self, numbers: &[u8], kind: ExtendedColorType) -> Result<Vec<u8>, FiguresError> {
        let (width, height) = self.pixels.dimensions();
        let mut bytes = Cursor::new(Vec::new());
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
            .write_image(numbers, width, height, kind)?;
        Ok(bytes.into_inner())
    }

    /// The parts that a dark version keeps.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Pixels per em of the smallest text; `None` without text.
    pub(crate) fn smallest_text(&self) -> Option<u32> {
        self.smallest_text
    }

    /// Notes that there is text of `size` pixels per em.
    pub(crate) fn note_text(&mut self, size: u32) {
        self.smallest_text = Some(self.smallest_text.map_or(size, |smallest| smallest.min(size)));
    }

    /// Notes that the colours of a rectangle mean something.
    pub(crate) fn keep(&mut self, x: usize, y: usize, (width, height): (usize, usize)) {
        self.kept.push(Kept { x, y, width, height, is_image: false });
    }

    /// The picture with every colour changed.
    pub(crate) fn recoloured(&self, change: impl Fn(Colour) -> Colour) -> Self {
        let mut other = self.clone();
        other.pixels.pixels_mut().for_each(|pixel| pixel.0 = change(pixel.0));
        other
    }

    /// Copies a part of another picture to the same place.
    pub(crate) fn copy_part(&mut self, from: &Self, part: &Kept) {
        for y in part.y..(part.y + part.height).min(from.height()) {
            for x in part.x..(part.x + part.width).min(from.width()) {
                self.set(x, y, from.pixels.get_pixel(x as u32, y as u32).0);
            }
        }
    }

    /// One image `[h, w, c]` (`c` 1 or 3), each pixel a square of `scale` pixels, its corner at `(x, y)`.
    pub(crate) fn draw_image(&mut self, image: &ArrayView3<'_, u8>, scale: usize, x: usize, y: usize) {
        let (height, width, channels) = image.dim();
        self.kept.push(Kept { x, y, width: width * scale, height: height * scale, is_image: true });
        for row in 0..height {
            for column in 0..width {
                let colour = [0, 1, 2].map(|channel| image[[row, column, channel.min(channels - 1)]]);
                self.fill(x + column * scale, y + row * scale, scale, scale, colour);
            }
        }
    }

    /// Another picture, its corner at `(x, y)`.
    pub(crate) fn draw_canvas(&mut self, other: &Self, x: usize, y: usize) {
        for (column, row, pixel) in other.pixels.enumerate_pixels() {
            self.set(x + column as usize, y + row as usize, pixel.0);
        }
        self.kept.extend(other.kept.iter().map(|part| Kept { x: part.x + x, y: part.y + y, ..*part }));
        other.smallest_text.into_iter().for_each(|size| self.note_text(size));
    }

    /// The picture with a white margin.
    pub(crate) fn with_margin(&self, margin: usize) -> Result<Self, FiguresError> {
        let mut framed = Self::new(self.width() + 2 * margin, self.height() + 2 * margin)?;
        framed.draw_canvas(self, margin, margin);
        Ok(framed)
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        for row in y..(y + height).min(self.height()) {
            for column in x..(x + width).min(self.width()) {
                self.set(column, row, colour);
            }
        }
    }

    /// Lays a colour over one pixel, `coverage` of 255 parts of it; beyond the edge nothing happens.
    pub(crate) fn blend(&mut self, x: usize, y: usize, colour: Colour, coverage: u8) {
        if coverage == 0 || x >= self.width() || y >= self.height() {
            return;
        }
        let coverage = u16::from(coverage);
        let below = self.pixels.get_pixel(x as u32, y as u32).0;
        let mixed = [0, 1, 2].map(|channel| {
            let (over, under) = (u16::from(colour[channel]), u16::from(below[channel]));
            ((over * coverage + under * (255 - coverage) + 127) / 255) as u8
        });
        self.set(x, y, mixed);
    }

    fn set(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width() && y < self.height() {
            self.pixels.put_pixel(x as u32, y as u32, Rgb(colour));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Canvas;
    use crate::error::FiguresError;
    use ndarray::Array3;

    #[test]
    fn refuses_empty_and_huge_pictures() {
        assert!(matches!(Canvas::new(0, 5), Err(FiguresError::Empty { .. })));
        assert!(matches!(Canvas::new(1 << 20, 1 << 20), Err(FiguresError::TooLarge { .. })));
        assert!(matches!(Canvas::new(usize::MAX, 2), Err(FiguresError::TooLarge { .. })));
    }

    #[test]
    fn png_round_trip() {
        let mut canvas = Canvas::new(9, 7).unwrap();
        canvas.fill(2, 3, 4, 2, [10, 200, 30]);
        assert_eq!(Canvas::from_png(&canvas.png().unwrap()).unwrap(), canvas);
    }

    #[test]
    fn grey_pictures_take_fewer_bytes() {
        let mut canvas = Canvas::new(60, 50).unwrap();
        let mut noise = 1_u32;
        for i in 0..3000 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            canvas.fill(i % 60, i / 60, 1, 1, [(noise >> 24) as u8; 3]);
        }
        let (grey, full) = (canvas.compact_png().unwrap(), canvas.png().unwrap());
        assert!(5 * grey.len() < 4 * full.len(), "{} {}", grey.len(), full.len());
        assert_eq!(Canvas::from_png(&grey).unwrap(), canvas);
        canvas.fill(3, 4, 1, 1, [1, 2, 3]);
        assert_eq!(canvas.compact_png().unwrap(), canvas.png().unwrap());
    }

    #[test]
    fn parts_and_text_sizes_survive_being_pasted() {
        let image = Array3::from_elem((2, 3, 1), 7);
        let mut inner = Canvas::new(20, 20).unwrap();
        inner.draw_image(&image.view(), 2, 1, 2);
        inner.note_text(26);
        inner.note_text(30);
        let mut outer = Canvas::new(40, 40).unwrap();
        outer.keep(0, 0, (1, 1));
        outer.draw_canvas(&inner, 10, 5);
        let kept = |x, y, width, height, is_image| super::Kept { x, y, width, height, is_image };
        assert_eq!(outer.kept(), [kept(0, 0, 1, 1, false), kept(11, 7, 6, 4, true)]);
        assert_eq!((outer.smallest_text(), Canvas::new(1, 1).unwrap().smallest_text()), (Some(26), None));
    }

    /// A header may claim any size.
    #[test]
    fn a_png_from_anywhere_is_decoded_within_limits() {
        let canvas = Canvas::new(9, 7).unwrap();
        let png = canvas.png().unwrap();
        assert_eq!(Canvas::read_png(&png).unwrap(), canvas);
        assert!(matches!(Canvas::read_png(&png[..png.len() / 2]), Err(FiguresError::Png { .. })));
        assert!(matches!(Canvas::read_png(b"GIF89a"), Err(FiguresError::Png { .. })));
        // A side, and then the bytes of all pixels, are over the limit.
        let wide = Canvas::new(1 << 14, 1).unwrap();
        assert!(Canvas::read_png(&wide.png().unwrap()).is_ok());
        let wider = Canvas::new((1 << 14) + 1, 1).unwrap();
        assert!(matches!(Canvas::read_png(&wider.png().unwrap()), Err(FiguresError::Png { .. })));
        let large = Canvas::new(8000, 6000).unwrap();
        assert!(matches!(Canvas::read_png(&large.png().unwrap()), Err(FiguresError::Png { .. })));
    }

    #[test]
    fn images_are_enlarged_without_blur_and_cut_at_the_edge() {
        let image = Array3::from_shape_vec((1, 2, 3), vec![1, 2, 3, 40, 50, 60]).unwrap();
        let mut canvas = Canvas::new(5, 4).unwrap();
        canvas.draw_image(&image.view(), 2, 2, 1);
        let pixel = |x, y| canvas.pixels().get_pixel(x, y).0;
        assert_eq!([pixel(2, 1), pixel(3, 2)], [[1, 2, 3]; 2]);
        assert_eq!(pixel(4, 2), [40, 50, 60]);
        assert_eq!([pixel(1, 1), pixel(2, 0), pixel(2, 3)], [[255; 3]; 3]);
        let framed = canvas.with_margin(3).unwrap();
        assert_eq!((framed.width(), framed.height()), (5 + 6, 4 + 6));
        assert_eq!(
            [framed.pixels().get_pixel(5, 4).0, framed.pixels().get_pixel(4, 4).0],
            [[1, 2, 3], [255; 3]]
        );
    }
}
