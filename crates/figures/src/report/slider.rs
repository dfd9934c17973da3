//! Pictures to be stepped through. All frames are in one PNG, so that the page needs nothing from the network, and
//! without a script the PNG itself is shown.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use ndarray::{Array3, ArrayView3, ArrayView5, Axis};

use crate::check;
use crate::equation::{equation_html, escape};
use crate::error::FiguresError;
use crate::report::push;
use crate::report::room::MOST_NUMBERS;
use crate::report::section::data_uri;
use crate::shrink::{mean, shrunk_side};

/// Pixels of a cell in the sheet as a reader without a script sees it.
const CELL: usize = 48;

/// One position of a slider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name, such as `t = 250`: plain text.
    pub label: String,
    /// A note for it, in the notation of [`crate::equation_html`]; empty for none.
    pub note: String,
}

/// Images `[cells, frames, h, w, c]` of which one frame is shown at a time, in rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Slider {
    title: String,
    label: String,
    caption: String,
    rows: Vec<String>,
    frames: Vec<Frame>,
    start: usize,
    /// Pixels of a cell, across and down.
    cell: (usize, usize),
    columns: usize,
    png: Vec<u8>,
}

/// The texts of a [`Slider`].
#[derive(Debug, Clone, Copy)]
pub struct SliderText<'a> {
    /// What the images show, for readers who cannot see them.
    pub title: &'a str,
    /// What the slider changes: "timestep t".
    pub label: &'a str,
    /// The text below; it should say what the frames are, from left to right.
    pub caption: &'a str,
    /// One text per row of cells, in the notation of [`crate::equation_html`]; an empty one for a row without text.
    pub rows: &'a [&'a str],
    /// The frame shown at first; the last one if there are fewer.
    pub start: usize,
}

impl Slider {
    /// A slider over `frames`; its cells are laid out in as many rows as `text.rows` has texts. Images are made
    /// `shrink` times smaller.
    ///
    /// # Errors
    /// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when `frames` does not fit the images or the cells do not fill
    /// the rows, [`FiguresError::Channels`], [`FiguresError::TooLarge`] when the images need more room than
    /// [`crate::SliderRoom::of`] gives, [`FiguresError::Png`].
    pub fn new(
        text: &SliderText<'_>,
        frames: Vec<Frame>,
        images: ArrayView5<'_, u8>,
        shrink: usize,
    ) -> Result<Self, FiguresError> {
        check::images("the images of a slider", &images.view().into_dyn())?;
        check::not_empty("the rows of a slider", text.rows)?;
        check::length("frames of a slider", images.dim().1, frames.len())?;
        let (cells, rows) = (images.dim().0, text.rows.len());
        check::length("cells of a slider", cells.div_ceil(rows) * rows, cells)?;
        let (sheet, cell) = sheet(images, shrink.max(1))?;
        Ok(Self {
            title: text.title.to_owned(),
            label: text.label.to_owned(),
            caption: text.caption.to_owned(),
            rows: text.rows.iter().map(|&row| row.to_owned()).collect(),
            start: text.start.min(frames.len() - 1),
            frames,
            cell,
            columns: cells / rows,
            png: png(&sheet.view())?,
        })
    }

    pub(super) fn push_html(&self, html: &mut String) {
        let ((width, height), rows, columns) = (self.cell, self.rows.len(), self.columns);
        push(
            html,
            format_args!(
                "<figure class=\"slider\" data-width=\"{width}\" data-height=\"{height}\" data-rows=\"{rows}\" \
                 data-columns=\"{columns}\" data-start=\"{}\" data-label=\"{}\">\n",
                self.start,
                escape(&self.label),
            ),
        );
        let scale = CELL.div_ceil(width);
        push(
            html,
            format_args!(
                "<div class=\"sheet\" tabindex=\"0\"><img alt=\"{}\" width=\"{}\" height=\"{}\" src=\"{}\"></div>\n",
                escape(&self.title),
                self.frames.len() * width * scale,
                rows * columns * height * scale,
                data_uri(&self.png),
            ),
        );
        if self.rows.iter().any(|row| !row.is_empty()) {
            html.push_str("<div class=\"labels\">");
            self.rows
                .iter()
                .for_each(|row| push(html, format_args!("<span><span>{}</span></span>", equation_html(row))));
            html.push_str("</div>\n");
        }
        push(html, format_args!("<figcaption>{}</figcaption>\n", escape(&self.caption)));
        html.push_str("<details class=\"frames\"><summary>All positions, from left to right</summary><ol>\n");
        for Frame { label, note } in &self.frames {
            let (label, note) = (escape(label), equation_html(note));
            push(html, format_args!("<li><b>{label}</b> <span>{note}</span></li>\n"));
        }
        html.push_str("</ol></details>\n</figure>\n");
    }
}

/// One row per cell and one column per frame, without gaps, `[h, w, c]`; and the pixels of a cell, across and down.
fn sheet(images: ArrayView5<'_, u8>, shrink: usize) -> Result<(Array3<u8>, (usize, usize)), FiguresError> {
    let (cells, frames, height, width, channels) = images.dim();
    // An image smaller than the factor is one pixel.
    let (h, w) = (shrunk_side(height, shrink), shrunk_side(width, shrink));
    let (down, across) = (cells.saturating_mul(h), frames.saturating_mul(w));
    if down.saturating_mul(across).saturating_mul(channels) > MOST_NUMBERS.max(h * w * channels * cells) {
        return Err(FiguresError::TooLarge { width: across, height: down, limit: MOST_NUMBERS / channels });
    }
    let block = (height / h, width / w);
    let sheet = Array3::from_shape_fn((down, across, channels), |(y, x, channel)| {
        let image = images.index_axis(Axis(0), y / h);
        mean(&image.index_axis(Axis(0), x / w), (y % h, x % w, channel), block)
    });
    Ok((sheet, (w, h)))
}

/// Grey images stay grey: noise takes a third of the bytes then.
fn png(sheet: &ArrayView3<'_, u8>) -> Result<Vec<u8>, FiguresError> {
    let (height, width, channels) = sheet.dim();
    let kind = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let pixels: Vec<u8> = sheet.iter().copied().collect();
    let mut bytes = Cursor::new(Vec::new());
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive).write_image(
        &pixels,
        width as u32,
        height as u32,
        kind,
    )?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::{Frame, Slider, SliderText};
    use crate::canvas::Canvas;
    use crate::error::FiguresError;
    use ndarray::Array5;

    const TEXT: SliderText<'static> = SliderText {
        title: "noise & \"image\"",
        label: "t",
        caption: "a < b",
        rows: &["x_t", "x_0"],
        start: 9,
    };

    fn frames(count: usize) -> Vec<Frame> {
        (0..count).map(|n| Frame { label: format!("t = {n}"), note: format!("x_{n} < 1") }).collect()
    }

    /// Cell i in frame k is all `10 i + k`, except for a mark in its corner.
    fn images(cells: usize, count: usize, side: usize, channels: usize) -> Array5<u8> {
        Array5::from_shape_fn((cells, count, side, side, channels), |(i, k, y, x, _)| {
            if (y, x) == (0, 0) { 200 } else { (10 * i + k) as u8 }
        })
    }

    #[test]
    fn every_cell_is_where_the_script_looks_for_it() {
        for channels in [1, 3] {
            let slider = Slider::new(&TEXT, frames(3), images(4, 3, 5, channels).view(), 1).unwrap();
            assert_eq!((slider.cell, slider.columns, slider.start), ((5, 5), 2, 2));
            let sheet = Canvas::from_png(&slider.png).unwrap();
            assert_eq!((sheet.width(), sheet.height()), (15, 20));
            for (x, y, pixel) in sheet.pixels().enumerate_pixels() {
                let (cell, frame) = (y / 5, x / 5);
                let expected = if (x % 5, y % 5) == (0, 0) { 200 } else { (10 * cell + frame) as u8 };
                assert_eq!(pixel.0, [expected; 3], "{x} {y}");
            }
        }
    }

    #[test]
    fn the_page_says_what_is_shown_with_and_without_a_script() {
        let slider = Slider::new(&TEXT, frames(2), images(2, 2, 4, 1).view(), 1).unwrap();
        let mut html = String::new();
        slider.push_html(&mut html);
        for part in [
            "data-width=\"4\" data-height=\"4\" data-rows=\"2\" data-columns=\"1\" data-start=\"1\" data-label=\"t\"",
            "alt=\"noise &amp; &quot;image&quot;\" width=\"96\" height=\"96\"",
            "<span><i>x</i><sub><i>t</i></sub></span>",
            "<figcaption>a &lt; b</figcaption>",
            "<li><b>t = 1</b> <span><i>x</i><sub>1</sub> &lt; 1</span></li>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn shrinking_takes_the_mean_of_blocks() {
        let images = Array5::from_shape_vec((1, 1, 2, 4, 1), vec![0, 1, 10, 10, 2, 4, 20, 21]).unwrap();
        let text = SliderText { rows: &[""], ..TEXT };
        let slider = Slider::new(&text, frames(1), images.view(), 2).unwrap();
        let sheet = Canvas::from_png(&slider.png).unwrap();
        let values: Vec<u8> = sheet.pixels().pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!((slider.cell, values), ((2, 1), vec![2, 15]));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let new = |count, cells, side, shrink| {
            Slider::new(&TEXT, frames(count), images(cells, 3, side, 1).view(), shrink)
        };
        assert!(matches!(new(2, 4, 5, 1), Err(FiguresError::Mismatch { expected: 3, got: 2, .. })));
        assert!(matches!(new(3, 3, 5, 1), Err(FiguresError::Mismatch { expected: 4, got: 3, .. })));
        assert!(matches!(new(3, 0, 5, 1), Err(FiguresError::Empty { .. })));
        assert!(matches!(new(3, 4, 900, 1), Err(FiguresError::TooLarge { .. })));
        assert!(new(3, 4, 900, 4).is_ok());
        let rows = SliderText { rows: &[], ..TEXT };
        let none = Slider::new(&rows, frames(3), images(4, 3, 5, 1).view(), 1);
        assert!(matches!(none, Err(FiguresError::Empty { .. })));
    }
}
