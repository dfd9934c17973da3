//! Pictures for dark pages.

use crate::canvas::{Canvas, Colour, Kept};

/// The background of a picture on a dark page, which is that of the report's cards (`report/style.css`).
pub(crate) const DARK: Colour = [0x1e, 0x20, 0x25];
/// The frame of an image there, so that a dark image has an edge.
const FRAME: Colour = [0x5f, 0x62, 0x6b];

impl Canvas {
    /// The same picture for a dark page. Paper becomes dark and ink light, with their hues; images and maps of numbers keep
    /// their colours, and images get a grey frame.
    #[must_use]
    pub fn dark(&self) -> Self {
        let mut dark = self.recoloured(darkened);
        for part in self.kept().iter().filter(|part| part.is_image) {
            let Kept { x, y, width, height, .. } = *part;
            let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
            dark.fill(left, top, x + width + 1 - left, y + height + 1 - top, FRAME);
        }
        self.kept().iter().for_each(|part| dark.copy_part(self, part));
        dark
    }
}

/// A colour with its lightness turned upside down. The map is linear, so soft edges stay soft.
fn darkened(colour: Colour) -> Colour {
    let [red, green, blue] = colour.map(i32::from);
    let lightness = (213 * red + 715 * green + 72 * blue) / 1000;
    [0, 1, 2].map(|channel| {
        let light = (i32::from(colour[channel]) + 255 - 2 * lightness).clamp(0, 255);
        let page = i32::from(DARK[channel]);
        (page + (light * (255 - page) + 127) / 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::{DARK, FRAME, darkened};
    use crate::canvas::{Canvas, Colour, GREY, INK};
    use crate::plot::PALETTE;
    use ndarray::Array3;

    /// WCAG 2.2: contrast of two colours, 1 to 21.
    fn contrast(a: Colour, b: Colour) -> f64 {
        let luminance = |colour: Colour| {
            let linear = colour.map(|part| {
                let part = f64::from(part) / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_lines_stand_out_on_both_pages() {
        assert!((contrast([255; 3], [0; 3]) - 21.0).abs() < 1e-9);
        assert_eq!(darkened([255; 3]), DARK);
        for text in [INK, GREY] {
            assert!(contrast(text, [255; 3]) >= 4.5 && contrast(darkened(text), DARK) >= 4.5, "{text:?}");
        }
        for line in PALETTE {
            let both = (contrast(line, [255; 3]), contrast(darkened(line), DARK));
            assert!(both.0 >= 3.0 && both.1 >= 3.0, "{line:?}: {both:?}");
        }
    }

    #[test]
    fn images_and_maps_keep_their_colours() {
        let mut canvas = Canvas::new(30, 20).unwrap();
        canvas.draw_image(&Array3::from_elem((4, 5, 1), 200).view(), 2, 10, 6);
        canvas.fill(0, 0, 3, 3, [10, 90, 200]);
        canvas.keep(0, 0, (3, 3));
        let dark = canvas.dark();
        let at = |x, y| dark.pixels().get_pixel(x, y).0;
        assert_eq!(
            [at(10, 6), at(19, 13), at(0, 0), at(2, 2)],
            [[200; 3], [200; 3], [10, 90, 200], [10, 90, 200]]
        );
        assert_eq!([at(9, 5), at(20, 14), at(9, 10)], [FRAME; 3]);
        assert_eq!([at(3, 0), at(8, 5), at(25, 19)], [DARK; 3]);
    }

    /// An image at the edge of a picture, or beyond it.
    #[test]
    fn frames_end_at_the_edge() {
        let mut canvas = Canvas::new(6, 6).unwrap();
        canvas.draw_image(&Array3::from_elem((9, 9, 3), 1).view(), 1, 0, 0);
        assert_eq!(canvas.dark(), canvas);
    }
}
