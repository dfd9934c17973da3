//! Images in labelled rows and columns: the body of every figure that shows images.

use ndarray::{ArrayView5, Axis};

use crate::band::{Band, GAP, cover, edges, extents, span};
use crate::canvas::{Canvas, INK};
use crate::check;
use crate::error::FiguresError;
use crate::legible::{INSIDE, PAGE, least_size};
use crate::shrink::{shrunk, shrunk_side};
use crate::text::{Text, Weight};

/// Widest block of cells that a sheet makes by default, in pixels.
const TARGET_WIDTH: usize = 2100;
/// Largest enlargement that a sheet of its own makes by default, and the cell side beyond which it makes none.
const MAX_SCALE: usize = 8;
const TARGET_CELL: usize = 160;
/// Label sizes in pixels per em: the preferred one, and the smallest that is still legible.
const LABEL_SIZE: u32 = 26;
const MIN_LABEL_SIZE: u32 = 15;
/// Pixels of the longest row label in a figure; longer ones are shortened.
const MOST_LABEL: usize = 360;
/// White between labels and cells.
const LABEL_GAP: usize = 10;

/// Images `[rows, columns, h, w, c]` (u8, `c` 1 or 3) with labels on the left and on top.
#[derive(Debug, Clone)]
pub struct Sheet<'a> {
    cells: ArrayView5<'a, u8>,
    rows: Vec<Band>,
    columns: Vec<Band>,
    corner: String,
    scale: Option<usize>,
    /// Whether it must fit the page of a figure.
    in_page: bool,
    /// Rows and columns of places without an image.
    empty: Vec<(usize, usize)>,
}

/// Where everything of a [`Sheet`] lies, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetLayout {
    /// Pixels of the sheet for a pixel of an image, in both directions.
    pub scale: usize,
    /// Left edge of each column of images.
    pub x: Vec<usize>,
    /// Upper edge of each row of images.
    pub y: Vec<usize>,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl<'a> Sheet<'a> {
    /// A sheet without labels.
    #[must_use]
    pub fn new(cells: ArrayView5<'a, u8>) -> Self {
        Self {
            cells,
            rows: Vec::new(),
            columns: Vec::new(),
            corner: String::new(),
            scale: None,
            in_page: false,
            empty: Vec::new(),
        }
    }

    /// Labels on the left, from top to bottom; together they cover every row.
    #[must_use]
    pub fn rows(self, rows: impl IntoIterator<Item = Band>) -> Self {
        Self { rows: rows.into_iter().collect(), ..self }
    }

    /// Labels on top, from left to right; together they cover every column.
    #[must_use]
    pub fn columns(self, columns: impl IntoIterator<Item = Band>) -> Self {
        Self { columns: columns.into_iter().collect(), ..self }
    }

    /// What the column labels count, written before the first of them.
    #[must_use]
    pub fn corner(self, corner: impl Into<String>) -> Self {
        Self { corner: corner.into(), ..self }
    }

    /// A fixed enlargement; without it the sheet takes the largest that fits a page.
    #[must_use]
    pub fn scale(self, scale: usize) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// At most as wide as the page of a figure: images too large for it are made smaller by a whole factor.
    pub(crate) fn in_page(self) -> Self {
        Self { in_page: true, ..self }
    }

    /// Leaves places empty, each a row and a column.
    pub(crate) fn without(self, empty: impl IntoIterator<Item = (usize, usize)>) -> Self {
        Self { empty: empty.into_iter().collect(), ..self }
    }

    /// Places every image.
    ///
    /// # Errors
    /// As [`Sheet::draw`].
    pub fn layout(&self) -> Result<SheetLayout, FiguresError> {
        Ok(self.arrange()?.layout)
    }

    /// Draws the sheet.
    ///
    /// # Errors
    /// [`FiguresError::Empty`] without images, [`FiguresError::Channels`] when `c` is neither 1 nor 3,
    /// [`FiguresError::Mismatch`] when the bands do not cover the rows or the columns,
    /// [`FiguresError::TooLarge`].
    pub fn draw(&self) -> Result<Canvas, FiguresError> {
        let Arranged { layout, shrink, row_labels, column_labels, corner } = self.arrange()?;
        let (rows, columns, height, width, _) = self.cells.dim();
        let cell_width = shrunk_side(width, shrink) * layout.scale;
        let cell_height = shrunk_side(height, shrink) * layout.scale;
        let mut canvas = Canvas::new(layout.width, layout.height)?;
        for row in 0..rows {
            for column in (0..columns).filter(|&column| !self.empty.contains(&(row, column))) {
                let image = self.cells.index_axis(Axis(0), row);
                let image = shrunk(&image.index_axis(Axis(0), column), shrink);
                canvas.draw_image(&image.view(), layout.scale, layout.x[column], layout.y[row]);
            }
        }
        // Row labels end at the first column, in the middle of their band.
        for (label, (first, last)) in row_labels.iter().zip(extents(&self.rows)) {
            let middle = (layout.y[first] + layout.y[last] + cell_height) / 2;
            let x = layout.x[0].saturating_sub(LABEL_GAP + label.width());
            canvas.draw_text(label, x, middle.saturating_sub(label.height() / 2), INK);
        }
        // Column labels stand above the middle of their band; one without room is left out.
        let mut free_from = 0;
        for (label, (first, last)) in column_labels.iter().zip(extents(&self.columns)) {
            let middle = (layout.x[first] + layout.x[last] + cell_width) / 2;
            let x = middle.saturating_sub(label.width() / 2).min(layout.width.saturating_sub(label.width()));
            if x >= free_from && label.width() > 0 {
                canvas.draw_text(label, x, 0, INK);
                free_from = x + label.width() + LABEL_GAP / 2;
            }
        }
        if let Some(corner) = corner {
            canvas.draw_text(&corner, layout.x[0].saturating_sub(LABEL_GAP + corner.width()), 0, INK);
        }
        Ok(canvas)
    }

    fn arrange(&self) -> Result<Arranged, FiguresError> {
        check::images("the images", &self.cells.view().into_dyn())?;
        let (rows, columns, height, width, _) = self.cells.dim();
        cover("row labels", &self.rows, rows)?;
        cover("column labels", &self.columns, columns)?;

        let most_label = if self.in_page { MOST_LABEL } else { usize::MAX };
        let row_label = |band: &Band| Text::within(band.label(), LABEL_SIZE, Weight::Regular, most_label);
        let row_labels: Vec<Text> = self.rows.iter().map(row_label).collect::<Result<_, _>>()?;
        let corner = |em| match self.corner.as_str() {
            "" => Ok(None),
            corner => Text::new(corner, em, Weight::Regular).map(Some),
        };
        let widest = row_labels.iter().chain(&corner(LABEL_SIZE)?).map(Text::width).max().unwrap_or(0);
        let left = if widest == 0 { 0 } else { widest + LABEL_GAP };

        // Images as large as fit beside their labels.
        let (target, most) = match self.in_page {
            true => (INSIDE.saturating_sub(left), TARGET_CELL),
            false => (TARGET_WIDTH, MAX_SCALE),
        };
        let room = target.saturating_sub(span(&self.columns, columns, 0)) / columns;
        let scale = match self.scale {
            Some(0) => return Err(FiguresError::Empty { what: "the scale" }),
            Some(scale) => scale,
            None => (room / width).min(TARGET_CELL.div_ceil(width.max(height))).clamp(1, most),
        };
        let shrink = if self.in_page && self.scale.is_none() { width.div_ceil(room.max(1)) } else { 1 };
        let (height, width) = (shrunk_side(height, shrink), shrunk_side(width, shrink));
        let across = span(&self.columns, columns, width.saturating_mul(scale));
        let smallest = if self.in_page { least_size(PAGE) } else { MIN_LABEL_SIZE };
        let (column_labels, column_em) = fitted(&self.columns, width.saturating_mul(scale), smallest)?;
        let corner = corner(column_em)?;
        let has_top = corner.is_some() || column_labels.iter().any(|label| label.width() > 0);
        let top = column_labels.iter().chain(&corner).map(Text::height).max().unwrap_or(0);
        let top = if has_top { top + LABEL_GAP / 2 } else { 0 };
        Ok(Arranged {
            layout: SheetLayout {
                scale,
                x: edges(&self.columns, columns, width.saturating_mul(scale), left),
                y: edges(&self.rows, rows, height.saturating_mul(scale), top),
                width: left.saturating_add(across),
                height: top.saturating_add(span(&self.rows, rows, height.saturating_mul(scale))),
            },
            shrink,
            row_labels,
            column_labels,
            corner,
        })
    }
}

struct Arranged {
    layout: SheetLayout,
    /// The factor by which images are made smaller.
    shrink: usize,
    row_labels: Vec<Text>,
    column_labels: Vec<Text>,
    corner: Option<Text>,
}

/// The labels in the largest size at which each fits over its band of lines of `size` pixels, and that size; at least
/// `smallest`.
fn fitted(bands: &[Band], size: usize, smallest: u32) -> Result<(Vec<Text>, u32), FiguresError> {
    let mut em = LABEL_SIZE;
    loop {
        let labels: Vec<Text> = bands
            .iter()
            .map(|band| Text::new(band.label(), em, Weight::Regular))
            .collect::<Result<_, _>>()?;
        let fits = labels.iter().zip(bands).all(|(label, band)| {
            label.width() + LABEL_GAP / 2 <= band.count().saturating_mul(size.saturating_add(GAP))
        });
        if fits || em <= smallest {
            return Ok((labels, em));
        }
        em = em.saturating_sub(3).max(smallest);
    }
}

#[cfg(test)]
mod tests {
    use super::Sheet;
    use crate::band::{Band, GAP, WIDE_GAP};
    use crate::error::FiguresError;
    use crate::legible::{INSIDE, PAGE};
    use ndarray::Array5;

    fn cells(shape: (usize, usize, usize, usize, usize)) -> Array5<u8> {
        Array5::from_shape_fn(shape, |(r, k, y, x, c)| (r * 71 + k * 29 + y * 13 + x * 5 + c * 2) as u8)
    }

    /// Cells are the input, pixel for pixel, and right of and below all labels.
    #[test]
    fn cells_hold_the_images() {
        for channels in [1, 3] {
            let cells = cells((3, 4, 5, 6, channels));
            let sheet = Sheet::new(cells.view())
                .rows(["x_t", "x_0"].map(Band::new).into_iter().chain([Band::new("next").apart()]))
                .columns([Band::new("start").spanning(2), Band::new("end").spanning(2)])
                .corner("t")
                .scale(3);
            let layout = sheet.layout().unwrap();
            let canvas = sheet.draw().unwrap();
            assert_eq!((canvas.width(), canvas.height()), (layout.width, layout.height));
            assert_eq!(layout.width, layout.x[3] + 18);
            assert_eq!(layout.y[1] - layout.y[0], 15 + GAP);
            assert_eq!(layout.y[2] - layout.y[1], 15 + WIDE_GAP);
            assert!(layout.x[0] > 20 && layout.y[0] > 20, "labels need room");
            for ((r, k, y, x, _), _) in cells.indexed_iter() {
                let (px, py) = (layout.x[k] + 3 * x + 1, layout.y[r] + 3 * y + 1);
                let expected = [0, 1, 2].map(|c: usize| cells[[r, k, y, x, c.min(channels - 1)]]);
                assert_eq!(canvas.pixels().get_pixel(px as u32, py as u32).0, expected);
            }
        }
    }

    #[test]
    fn without_labels_there_is_no_margin() {
        let cells = cells((2, 2, 4, 4, 1));
        let layout = Sheet::new(cells.view()).scale(2).layout().unwrap();
        assert_eq!((layout.x[0], layout.y[0]), (0, 0));
        assert_eq!((layout.width, layout.height), (16 + GAP, 16 + GAP));
    }

    #[test]
    fn crowded_column_labels_are_thinned_not_overprinted() {
        let cells = Array5::<u8>::from_elem((1, 40, 2, 2, 1), 255);
        let labels = (0..40).map(|t| Band::new(format!("{}", 1000 + t)));
        let canvas = Sheet::new(cells.view()).columns(labels).scale(2).draw().unwrap();
        // Some column of pixels between two printed labels is free of ink.
        let empty = |x: &u32| (0..15).all(|y| canvas.pixels().get_pixel(*x, y).0 == [255; 3]);
        assert!((5..canvas.pixels().width() - 5).filter(empty).count() > 10);
    }

    /// Any number of images of any size, with long names: the sheet fits the page, and its labels are legible on a phone.
    #[test]
    fn sheets_of_figures_fit_a_page() {
        for (columns, side) in [(3, 8), (11, 28), (21, 28), (12, 64), (21, 256), (30, 300), (1, 3000)] {
            let cells = Array5::<u8>::from_elem((1, columns, side, side, 1), 90);
            let labels = (0..columns).map(|t| Band::new(format!("{}", 999 - t)));
            let sheet = Sheet::new(cells.view()).rows([Band::new("a name that never ends".repeat(9))]);
            let canvas = sheet.columns(labels).corner("t").in_page().draw().unwrap();
            assert!(canvas.width() <= INSIDE, "{columns} images of {side}: {}", canvas.width());
            let em = f64::from(canvas.smallest_text().unwrap());
            let shown = em * 500.0 / PAGE as f64;
            assert!(shown >= 8.0, "{columns} images of {side}: {shown}");
        }
    }

    #[test]
    fn empty_places_are_no_images() {
        let cells = cells((2, 2, 4, 4, 1));
        let sheet = Sheet::new(cells.view()).scale(2).without([(1, 1)]);
        let canvas = sheet.draw().unwrap();
        assert_eq!(canvas.kept().len(), 3);
        assert_eq!(canvas.pixels().get_pixel(canvas.pixels().width() - 1, 15).0, [255; 3]);
    }

    #[test]
    fn bands_must_cover_the_lines() {
        let cells = cells((2, 3, 4, 4, 1));
        let sheet = Sheet::new(cells.view());
        assert!(matches!(
            sheet.clone().rows([Band::new("only one")]).draw(),
            Err(FiguresError::Mismatch { what: "row labels", expected: 2, got: 1 })
        ));
        assert!(matches!(
            sheet.clone().columns([Band::new("too many").spanning(4)]).draw(),
            Err(FiguresError::Mismatch { what: "column labels", expected: 3, got: 4 })
        ));
        assert!(matches!(
            sheet.clone().columns([Band::new("none").spanning(0), Band::new("all").spanning(3)]).draw(),
            Err(FiguresError::Empty { .. })
        ));
        assert!(matches!(sheet.scale(0).draw(), Err(FiguresError::Empty { .. })));
        let none = Array5::<u8>::zeros((0, 3, 4, 4, 1));
        assert!(matches!(Sheet::new(none.view()).draw(), Err(FiguresError::Empty { .. })));
    }
}
