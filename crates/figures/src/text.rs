//! Words as pixels: DejaVu Sans, antialiased, from the font inside the plotting crate.

use kuva::RasterBackend;
use kuva::render::render::{Primitive, Scene, TextAnchor, TextSpan};

use crate::canvas::{Canvas, Colour};
use crate::error::FiguresError;

/// The most letters in a line, because users' names may be of any length.
const MOST_LETTERS: usize = 300;

/// Regular or bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// One line of text: how much ink covers each pixel of its box.
///
/// The box is as wide as the ink and as high as every other line of the same size, so lines align.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    width: usize,
    height: usize,
    /// Pixels per em.
    size: u32,
    coverage: Vec<u8>,
}

impl Text {
    /// A line of text, `size` pixels per em.
    pub(crate) fn new(text: &str, size: u32, weight: Weight) -> Result<Self, FiguresError> {
        let text: String = text.chars().take(MOST_LETTERS).collect();
        let em = f64::from(size);
        // No glyph of the font is wider than 2 em; the box is cut to the ink below.
        let room = (text.chars().count() as f64 + 1.0) * 2.0 * em;
        let mut scene = Scene::new(room, (1.3 * em).ceil());
        let (x, y) = (em, (1.0 * em).round());
        let anchor = TextAnchor::Start;
        scene.add(match weight {
            Weight::Regular => Primitive::Text {
                x,
                y,
                content: text.replace('$', "\\$"), // a bare dollar opens a formula
                size,
                anchor,
                rotate: None,
                bold: false,
                color: None,
            },
            Weight::Bold => {
                let span = TextSpan { bold: true, ..TextSpan::plain(text) };
                Primitive::RichText { x, y, spans: vec![span], size, anchor, color: None }
            }
        });
        let drawn = RasterBackend::new().with_scale(1.0).render_scene(&scene);
        let drawn = Canvas::from_png(&drawn.map_err(|reason| FiguresError::Plot { reason })?)?;
        Ok(Self::cut_to_ink(&drawn, size))
    }

    /// The text, shortened to at most `width` pixels.
    pub(crate) fn within(text: &str, size: u32, weight: Weight, width: usize) -> Result<Self, FiguresError> {
        let whole = Self::new(text, size, weight)?;
        if whole.width() <= width {
            return Ok(whole);
        }
        let letters: Vec<char> = text.chars().take(MOST_LETTERS).collect();
        let shortened = |count: usize| {
            let start: String = letters[..count].iter().collect();
            Self::new(&format!("{}…", start.trim_end()), size, weight)
        };
        let (mut fits, mut too_long) = (0, letters.len());
        while too_long - fits > 1 {
            let middle = fits + (too_long - fits) / 2;
            if shortened(middle)?.width() <= width { fits = middle } else { too_long = middle }
        }
        shortened(fits)
    }

    /// The text read from bottom to top.
    pub(crate) fn turned_left(&self) -> Self {
        let (width, height) = (self.height, self.width);
        let mut coverage = Vec::with_capacity(width * height);
        for row in 0..height {
            coverage.extend((0..width).map(|column| self.coverage(height - 1 - row, column)));
        }
        Self { width, height, size: self.size, coverage }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// Ink in one pixel, 0 to 255.
    pub(crate) fn coverage(&self, x: usize, y: usize) -> u8 {
        self.coverage[y * self.width + x]
    }

    fn cut_to_ink(drawn: &Canvas, size: u32) -> Self {
        let ink = |x: usize, y: usize| 255 - drawn.pixels().get_pixel(x as u32, y as u32).0[0];
        let inked = |&x: &usize| (0..drawn.height()).any(|y| ink(x, y) > 0);
        let first = (0..drawn.width()).find(inked).unwrap_or(0);
        let end = (0..drawn.width()).rfind(inked).map_or(first, |last| last + 1);
        let coverage = (0..drawn.height()).flat_map(|y| (first..end).map(move |x| ink(x, y))).collect();
        Self { width: end - first, height: drawn.height(), size, coverage }
    }
}

impl Canvas {
    /// Text, the corner of its box at `(x, y)`.
    pub(crate) fn draw_text(&mut self, text: &Text, x: usize, y: usize, colour: Colour) {
        if text.width() > 0 {
            self.note_text(text.size);
        }
        for row in 0..text.height() {
            for column in 0..text.width() {
                self.blend(x + column, y + row, colour, text.coverage(column, row));
            }
        }
    }
}

/// Lines of at most `width` pixels, broken between words; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, size: u32, weight: Weight, width: usize) -> Result<Vec<Text>, FiguresError> {
    let mut lines: Vec<Text> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if !line.is_empty() && Text::new(&longer, size, weight)?.width() > width {
            lines.push(Text::new(&line, size, weight)?);
            line = word.to_owned();
        } else {
            line = longer;
        }
    }
    if !line.is_empty() {
        lines.push(Text::new(&line, size, weight)?);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::{Text, Weight, wrap};
    use crate::canvas::{Canvas, INK};

    fn text(words: &str, size: u32) -> Text {
        Text::new(words, size, Weight::Regular).unwrap()
    }

    #[test]
    fn the_box_is_cut_to_the_ink() {
        let word = text("βeta ᾱ_t $x$", 24);
        let column = |x: usize| (0..word.height()).any(|y| word.coverage(x, y) > 0);
        assert!(column(0) && column(word.width() - 1));
        assert_eq!((text("", 24).width(), text(" ", 24).width()), (0, 0));
        // A descender and an ascender fit: no ink on the first and the last line of the box.
        let tall = text("Ågjpq(|)", 24);
        assert!((0..tall.width()).all(|x| tall.coverage(x, tall.height() - 1) == 0));
    }

    #[test]
    fn bold_is_wider_and_larger_is_larger() {
        let regular = text("Sampling", 24);
        assert!(Text::new("Sampling", 24, Weight::Bold).unwrap().width() > regular.width());
        assert!(text("Sampling", 36).width() > regular.width());
    }

    #[test]
    fn turning_left_puts_the_first_letter_at_the_bottom() {
        let word = text(".|", 24);
        let turned = word.turned_left();
        assert_eq!((turned.width(), turned.height()), (word.height(), word.width()));
        for x in 0..word.width() {
            for y in 0..word.height() {
                assert_eq!(word.coverage(x, y), turned.coverage(y, word.width() - 1 - x));
            }
        }
    }

    #[test]
    fn lines_keep_to_the_width() {
        let words = "one two three four five six seven eight";
        let lines = wrap(words, 20, Weight::Regular, 150).unwrap();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.width() <= 150));
        assert_eq!(wrap(words, 20, Weight::Regular, 10_000).unwrap().len(), 1);
        assert_eq!(wrap("unbreakable", 20, Weight::Regular, 10).unwrap().len(), 1);
        assert!(text(&"x".repeat(100_000), 20).width() < 6000);
        assert!(wrap("  ", 20, Weight::Regular, 10).unwrap().is_empty());
    }

    #[test]
    fn long_text_is_shortened() {
        let within = |words: &str, width| Text::within(words, 20, Weight::Regular, width).unwrap();
        assert_eq!(within("short", 500).width(), text("short", 20).width());
        let cut = within(&"word ".repeat(40), 200);
        assert!((150..=200).contains(&cut.width()), "{}", cut.width());
        // Nothing but the mark is left where there is no room.
        assert_eq!(within("wide", 1).width(), text("…", 20).width());
    }

    #[test]
    fn a_picture_knows_its_smallest_text() {
        let mut canvas = Canvas::new(200, 60).unwrap();
        canvas.draw_text(&text("large", 30), 0, 0, INK);
        canvas.draw_text(&text(" ", 5), 0, 0, INK);
        assert_eq!(canvas.smallest_text(), Some(30));
        canvas.draw_text(&text("small", 12).turned_left(), 0, 0, INK);
        assert_eq!(canvas.smallest_text(), Some(12));
    }

    #[test]
    fn text_over_the_edge_is_cut() {
        let mut canvas = Canvas::new(20, 20).unwrap();
        let text = Text::new("wide text", 24, Weight::Regular).unwrap();
        canvas.draw_text(&text, 2, 0, INK);
        assert!(canvas.pixels().pixels().any(|pixel| pixel.0 != [255; 3]));
    }
}
