//! A whole picture: title, legend, rows of drawings, and a note below.

use crate::canvas::{Canvas, Colour, GREY, INK};
use crate::error::FiguresError;
use crate::legible::{MARGIN, least_size};
use crate::text::{Text, Weight, wrap};

const TITLE_SIZE: u32 = 34;
const LEGEND_SIZE: u32 = 26;
const NOTE_SIZE: u32 = 26;
/// White between drawings of a row, between rows, and between the parts of a legend.
pub(crate) const COLUMN_GAP: usize = 28;
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
    /// The legend of the next row.
    legend: Vec<(String, Colour)>,
    rows: Vec<Row>,
}

/// Drawings side by side, with the heading and the legend above them.
#[derive(Debug)]
struct Row {
    heading: String,
    legend: Vec<(String, Colour)>,
    drawings: Vec<Canvas>,
}

/// A [`Row`] with its text set.
struct SetRow<'a> {
    heading: Vec<Text>,
    legend: Vec<Vec<(Text, Colour)>>,
    drawings: &'a [Canvas],
}

impl Page {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A line or two in grey under the drawings.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Colours of the lines, above the next row.
    pub(crate) fn legend(self, legend: Vec<(String, Colour)>) -> Self {
        Self { legend, ..self }
    }

    /// Drawings side by side, below what is there already.
    pub(crate) fn row(mut self, drawings: Vec<Canvas>) -> Self {
        let legend = std::mem::take(&mut self.legend);
        self.rows.push(Row { heading: String::new(), legend, drawings });
        self
    }

    /// A drawing under a heading of its own.
    pub(crate) fn section(mut self, heading: impl Into<String>, drawing: Canvas) -> Self {
        self = self.row(vec![drawing]);
        if let Some(row) = self.rows.last_mut() {
            row.heading = heading.into();
        }
        self
    }

    pub(crate) fn draw(&self) -> Result<Canvas, FiguresError> {
        let widest = self.rows.iter().map(|row| row_width(&row.drawings)).max();
        let inner = widest.unwrap_or(0).max(MIN_WIDTH);
        let least = least_size(inner + 2 * MARGIN);
        let title = wrap(&self.title, TITLE_SIZE.max(least), Weight::Bold, inner)?;
        let note = wrap(&self.note, NOTE_SIZE.max(least), Weight::Regular, inner)?;
        let set = |row| SetRow::new(row, inner);
        let rows: Vec<SetRow<'_>> = self.rows.iter().map(set).collect::<Result<_, _>>()?;

        let height = 2 * MARGIN
            + with_gap(height(&title), ROW_GAP / 2)
            + rows.iter().map(SetRow::height).sum::<usize>()
            + ROW_GAP * rows.len().saturating_sub(1)
            + with_gap(height(&note), ROW_GAP / 2);
        let mut canvas = Canvas::new(inner + 2 * MARGIN, height)?;
        let mut y = draw_lines(&mut canvas, MARGIN, &title, INK);
        y += if title.is_empty() { 0 } else { ROW_GAP / 2 };
        for (index, row) in rows.iter().enumerate() {
            y += if index == 0 { 0 } else { ROW_GAP };
            row.draw(&mut canvas, y);
            y += row.height();
        }
        draw_lines(&mut canvas, y + ROW_GAP / 2, &note, GREY);
        Ok(canvas)
    }
}

impl<'a> SetRow<'a> {
    fn new(row: &'a Row, width: usize) -> Result<Self, FiguresError> {
        let size = LEGEND_SIZE.max(least_size(width + 2 * MARGIN));
        let heading = wrap(&row.heading, size, Weight::Bold, width)?;
        Ok(Self { heading, legend: legend_lines(&row.legend, size, width)?, drawings: &row.drawings })
    }

    fn height(&self) -> usize {
        let legend: usize = self.legend.iter().map(|line| legend_height(line)).sum();
        let drawings = self.drawings.iter().map(Canvas::height).max().unwrap_or(0);
        with_gap(height(&self.heading), KEY_GAP) + with_gap(legend, KEY_GAP) + drawings
    }

    fn draw(&self, canvas: &mut Canvas, y: usize) {
        let mut y = draw_lines(canvas, y, &self.heading, INK);
        y += if self.heading.is_empty() { 0 } else { KEY_GAP };
        for line in &self.legend {
            let mut x = MARGIN;
            for (text, colour) in line {
                let middle = y + (text.height() - SWATCH.1) / 2;
                canvas.fill(x, middle, SWATCH.0, SWATCH.1, *colour);
                canvas.draw_text(text, x + SWATCH.0 + KEY_GAP, y, INK);
                x += key_width(text);
            }
            y += legend_height(line);
        }
        y += if self.legend.is_empty() { 0 } else { KEY_GAP };
        let mut x = MARGIN;
        for drawing in self.drawings {
            canvas.draw_canvas(drawing, x, y);
            x += drawing.width() + COLUMN_GAP;
        }
    }
}

/// Writes lines from `y` down and returns where they end.
fn draw_lines(canvas: &mut Canvas, mut y: usize, lines: &[Text], colour: Colour) -> usize {
    for line in lines {
        canvas.draw_text(line, MARGIN, y, colour);
        y += line.height();
    }
    y
}

/// Legend keys, in as many lines as the width requires.
fn legend_lines(
    legend: &[(String, Colour)],
    size: u32,
    width: usize,
) -> Result<Vec<Vec<(Text, Colour)>>, FiguresError> {
    let mut lines: Vec<Vec<(Text, Colour)>> = Vec::new();
    let mut used = usize::MAX;
    for (label, colour) in legend {
        let text = Text::within(label, size, Weight::Regular, width.saturating_sub(SWATCH.0 + 4 * KEY_GAP))?;
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

fn height(lines: &[Text]) -> usize {
    lines.iter().map(Text::height).sum()
}

/// A height and the gap to its neighbour; 0 for a height of 0.
fn with_gap(height: usize, gap: usize) -> usize {
    if height == 0 { 0 } else { height + gap }
}

fn key_width(text: &Text) -> usize {
    SWATCH.0 + KEY_GAP + text.width() + 3 * KEY_GAP
}

fn legend_height(line: &[(Text, Colour)]) -> usize {
    line.iter().map(|(text, _)| text.height()).max().unwrap_or(0)
}

fn row_width(row: &[Canvas]) -> usize {
    row.iter().map(Canvas::width).sum::<usize>() + COLUMN_GAP * row.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{COLUMN_GAP, MIN_WIDTH, Page, ROW_GAP};
    use crate::canvas::Canvas;
    use crate::legible::MARGIN;

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

    /// Whatever is in it, its own text is legible on a phone.
    #[test]
    fn wide_pages_have_larger_text() {
        for width in [10, 1400, 3000] {
            let page = Page::new("title").note("note").section("heading", block(width, 10));
            let canvas = page.legend(vec![("line".into(), [1; 3])]).row(vec![block(5, 5)]).draw().unwrap();
            let shown = f64::from(canvas.smallest_text().unwrap()) * 500.0 / canvas.width() as f64;
            assert!(shown >= 8.0, "{width}: {shown}");
        }
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
