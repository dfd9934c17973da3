//! A whole picture: title, legend, rows of drawings, and a note below.

use crate::canvas::{Canvas, Colour, GREY, INK};
use crate::error::FiguresError;
use crate::text::{Text, Weight, wrap};

const MARGIN: usize = 32;
const TITLE_SIZE: u32 = 34;
const LEGEND_SIZE: u32 = 26;
const NOTE_SIZE: u32 = 24;
/// White between drawings of a row, between rows, and between the parts of a legend.
const COLUMN_GAP: usize = 28;
const ROW_GAP: usize = 30;
const SWATCH: (usize, usize) = (44, 6);
const KEY_GAP: usize = 12;
/// A narrow picture is widened to this, so that its title and note stay readable.
const MIN_WIDTH: usize = 900;

/// A picture under construction.
#[derive(Debug, Default)]
pub(crate) struct Page {
    title: String,
    note: String,
    legend: Vec<(String, Colour)>,
    rows: Vec<(String, Vec<Canvas>)>,
}

impl Page {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A line or two in grey under the drawings.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Colours of the lines, said once for all drawings.
    pub(crate) fn legend(self, legend: Vec<(String, Colour)>) -> Self {
        Self { legend, ..self }
    }

    /// Drawings side by side, below what is there already.
    pub(crate) fn row(mut self, drawings: Vec<Canvas>) -> Self {
        self.rows.push((String::new(), drawings));
        self
    }

    /// A drawing under a heading of its own.
    pub(crate) fn section(mut self, heading: impl Into<String>, drawing: Canvas) -> Self {
        self.rows.push((heading.into(), vec![drawing]));
        self
    }

    pub(crate) fn draw(&self) -> Result<Canvas, FiguresError> {
        let inner = self.rows.iter().map(|(_, row)| row_width(row)).max().unwrap_or(0).max(MIN_WIDTH);
        let title = wrap(&self.title, TITLE_SIZE, Weight::Bold, inner)?;
        let legend = self.legend_lines(inner)?;
        let note = wrap(&self.note, NOTE_SIZE, Weight::Regular, inner)?;
        let headings: Vec<Vec<Text>> = self
            .rows
            .iter()
            .map(|(heading, _)| wrap(heading, LEGEND_SIZE, Weight::Bold, inner))
            .collect::<Result<_, _>>()?;

        let heights = |lines: &[Text]| lines.iter().map(Text::height).sum::<usize>();
        let after = |lines: &[Text], gap: usize| if lines.is_empty() { 0 } else { heights(lines) + gap };
        let rows: usize = self.rows.iter().map(|(_, row)| row_height(row)).sum();
        let height = 2 * MARGIN
            + after(&title, ROW_GAP / 2)
            + legend.iter().map(|line| row_text_height(line) + KEY_GAP).sum::<usize>()
            + headings.iter().map(|lines| after(lines, KEY_GAP)).sum::<usize>()
            + rows
            + ROW_GAP * self.rows.len().saturating_sub(1)
            + if note.is_empty() { 0 } else { ROW_GAP / 2 + heights(&note) };
        let mut canvas = Canvas::new(inner + 2 * MARGIN, height)?;

        let mut y = MARGIN;
        let put_lines = |canvas: &mut Canvas, y: &mut usize, lines: &[Text], colour: Colour| {
            for line in lines {
                canvas.draw_text(line, MARGIN, *y, colour);
                *y += line.height();
            }
        };
        put_lines(&mut canvas, &mut y, &title, INK);
        y += if title.is_empty() { 0 } else { ROW_GAP / 2 };
        for line in &legend {
            let mut x = MARGIN;
            for (text, colour) in line {
                canvas.fill(x, y + (text.height() - SWATCH.1) / 2, SWATCH.0, SWATCH.1, *colour);
                canvas.draw_text(text, x + SWATCH.0 + KEY_GAP, y, INK);
                x += key_width(text);
            }
            y += row_text_height(line) + KEY_GAP;
        }
        for (index, ((_, row), heading)) in self.rows.iter().zip(&headings).enumerate() {
            y += if index == 0 { 0 } else { ROW_GAP };
            put_lines(&mut canvas, &mut y, heading, INK);
            y += if heading.is_empty() { 0 } else { KEY_GAP };
            let mut x = MARGIN;
            for drawing in row {
                canvas.draw_canvas(drawing, x, y);
                x += drawing.width() + COLUMN_GAP;
            }
            y += row_height(row);
        }
        y += ROW_GAP / 2;
        put_lines(&mut canvas, &mut y, &note, GREY);
        Ok(canvas)
    }

    /// Legend keys, in as many lines as the width asks for.
    fn legend_lines(&self, width: usize) -> Result<Vec<Vec<(Text, Colour)>>, FiguresError> {
        let mut lines: Vec<Vec<(Text, Colour)>> = Vec::new();
        let mut used = usize::MAX;
        for (label, colour) in &self.legend {
            let text = Text::new(label, LEGEND_SIZE, Weight::Regular)?;
            let needed = key_width(&text);
            if used.saturating_add(needed) > width {
                lines.push(Vec::new());
                used = 0;
            }
            used += needed;
            if let Some(line) = lines.last_mut() {
                line.push((text, *colour));
            }
        }
        Ok(lines)
    }
}

fn key_width(text: &Text) -> usize {
    SWATCH.0 + KEY_GAP + text.width() + 3 * KEY_GAP
}

fn row_text_height(line: &[(Text, Colour)]) -> usize {
    line.iter().map(|(text, _)| text.height()).max().unwrap_or(0)
}

fn row_width(row: &[Canvas]) -> usize {
    row.iter().map(Canvas::width).sum::<usize>() + COLUMN_GAP * row.len().saturating_sub(1)
}

fn row_height(row: &[Canvas]) -> usize {
    row.iter().map(Canvas::height).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{COLUMN_GAP, MARGIN, MIN_WIDTH, Page, ROW_GAP};
    use crate::canvas::Canvas;

    fn block(width: usize, height: usize) -> Canvas {
        let mut canvas = Canvas::new(width, height).unwrap();
        canvas.fill(0, 0, width, height, [7, 8, 9]);
        canvas
    }

    #[test]
    fn drawings_lie_side_by_side_and_below_each_other() {
        let page = Page::default().row(vec![block(500, 40), block(600, 30)]).row(vec![block(50, 20)]);
        let canvas = page.draw().unwrap();
        assert_eq!(canvas.width(), 2 * MARGIN + 1100 + COLUMN_GAP);
        assert_eq!(canvas.height(), 2 * MARGIN + 40 + ROW_GAP + 20);
        let is_block = |x: usize, y: usize| canvas.pixels().get_pixel(x as u32, y as u32).0 == [7, 8, 9];
        assert!(is_block(MARGIN, MARGIN) && is_block(MARGIN + 500 + COLUMN_GAP, MARGIN));
        assert!(!is_block(MARGIN + 500, MARGIN) && is_block(MARGIN, MARGIN + 40 + ROW_GAP));
    }

    #[test]
    fn text_makes_the_picture_higher_not_wider() {
        let plain = Page::default().row(vec![block(10, 10)]).draw().unwrap();
        let full = Page::new("title ".repeat(60))
            .legend((0..40).map(|i| (format!("line {i}"), [i, 0, 0])).collect())
            .note("note ".repeat(100))
            .section("heading", block(10, 10))
            .draw()
            .unwrap();
        assert_eq!((plain.width(), full.width()), (MIN_WIDTH + 2 * MARGIN, MIN_WIDTH + 2 * MARGIN));
        assert!(full.height() > plain.height() + 300);
        // The margins stay white: nothing is cut off.
        for (x, y, pixel) in full.pixels().enumerate_pixels() {
            let (x, y) = (x as usize, y as usize);
            let inside =
                (MARGIN..MARGIN + MIN_WIDTH).contains(&x) && (MARGIN..full.height() - MARGIN).contains(&y);
            assert!(inside || pixel.0 == [255; 3], "ink at {x}, {y}");
        }
    }
}
