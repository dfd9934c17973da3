//! A matrix as colours in a pair of axes, with a colour bar.

use kuva::plot::{ColorMap, LinePlot};
use kuva::render::plots::Plot;
use ndarray::ArrayView2;

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Colour, INK};
use crate::check;
use crate::error::FiguresError;
use crate::plot::{BOTTOM, DENSITY, LEFT, TOP, draw_axes, with_labels};
use crate::text::{Text, Weight};

/// White right of the map, for the colour bar, in units of the plotting crate.
const RIGHT: f64 = 70.0;
/// Pixels: from map to bar, bar across, from bar to its labels.
const BAR: (usize, usize, usize) = (24, 26, 8);
const BAR_LABEL_SIZE: u32 = 26;

/// A matrix `[rows, columns]`; rows go up, columns to the right.
#[derive(Debug, Clone)]
pub(crate) struct HeatMap<'a> {
    pub(crate) heading: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) values: ArrayView2<'a, f64>,
    /// Positions of the outer edges of the first and the last column, and row.
    pub(crate) x_range: (f64, f64),
    pub(crate) y_range: (f64, f64),
    /// Diverging colours about 0 instead of a ramp from the smallest to the largest.
    pub(crate) diverging: bool,
}

impl HeatMap<'_> {
    /// Draws the map into a picture of about `width` by `height` pixels.
    pub(crate) fn draw(&self, width: usize, height: usize) -> Result<Canvas, FiguresError> {
        if self.values.is_empty() {
            return Err(FiguresError::Empty { what: "the heat map" });
        }
        check::finite(&self.heading, self.values.iter().copied())?;
        let (low, high) = self.limits();
        let colour = |value: f64| self.colour((value - low) / (high - low));

        // The plotting crate draws empty axes. Every pixel inside then gets the colour of its cell, so no seams
        // appear between cells, and no cell is lost unless there are more cells than pixels.
        let x = Axis::new(Scale::Linear, std::iter::empty(), Some(self.x_range), 0.0);
        let y = Axis::new(Scale::Linear, std::iter::empty(), Some(self.y_range), 0.0);
        let nothing = Plot::Line(LinePlot::new().with_color("none"));
        let mut axes = draw_axes(vec![nothing], &x, &y, &self.x_label, RIGHT, (width, height))?;
        let (left, top) = ((LEFT * DENSITY) as usize, (TOP * DENSITY) as usize);
        let across = axes.width().saturating_sub(left + (RIGHT * DENSITY) as usize);
        let down = axes.height().saturating_sub(top + (BOTTOM * DENSITY) as usize);
        let (rows, columns) = self.values.dim();
        for py in 0..down {
            let row = rows - 1 - py * rows / down;
            for px in 0..across {
                let value = self.values[[row, px * columns / across]];
                // One pixel to the right of the vertical axis and above the horizontal one.
                axes.fill(left + 1 + px, top + py, 1, 1, colour(value));
            }
        }
        axes.keep(left + 1, top, (across, down));

        let bar = left + across + BAR.0;
        for py in 0..down {
            let share = 1.0 - (py as f64 + 0.5) / down as f64;
            axes.fill(bar, top + py, BAR.1, 1, self.colour(share));
        }
        axes.keep(bar, top, (BAR.1, down));
        let scale = Axis { scale: Scale::Linear, range: (low, high) };
        for value in scale.positions() {
            let share = (value - low) / (high - low);
            let label = scale.ticks().format(value);
            let label = Text::new(&label, BAR_LABEL_SIZE, Weight::Regular)?;
            let middle = top + ((1.0 - share) * down as f64) as usize;
            axes.draw_text(&label, bar + BAR.1 + BAR.2, middle.saturating_sub(label.height() / 2), INK);
        }
        with_labels(axes, &self.heading, &self.y_label)
    }

    /// Values at both ends of the colour bar.
    fn limits(&self) -> (f64, f64) {
        let (low, high) =
            self.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = if self.diverging {
            let reach = low.abs().max(high.abs());
            (-reach, reach)
        } else {
            (low, high)
        };
        if high > low { (low, high) } else { (low - 1.0, high + 1.0) }
    }

    fn colour(&self, share: f64) -> Colour {
        // Red is negative, blue positive in the first; dark is small in the second.
        let map = if self.diverging { ColorMap::RedBlue } else { ColorMap::Viridis };
        map.map_rgb(share.clamp(0.0, 1.0)).map_or(INK, |(red, green, blue)| [red, green, blue])
    }
}

#[cfg(test)]
mod tests {
    use super::{HeatMap, RIGHT};
    use crate::error::FiguresError;
    use crate::plot::{BOTTOM, DENSITY, LEFT};
    use ndarray::{Array2, array};

    fn map(values: &Array2<f64>, diverging: bool) -> HeatMap<'_> {
        HeatMap {
            heading: "map".into(),
            x_label: "t".into(),
            y_label: "d".into(),
            values: values.view(),
            x_range: (0.0, 2.0),
            y_range: (0.0, 2.0),
            diverging,
        }
    }

    /// The four quarters of the map hold the four colours, the first row at the bottom.
    #[test]
    fn cells_lie_where_their_index_says() {
        let values = array![[0.0, 1.0], [2.0, 3.0]];
        let canvas = map(&values, false).draw(800, 600).unwrap();
        let right = 800 - (RIGHT * DENSITY) as u32 - 8;
        let left = (LEFT * DENSITY) as u32 + 8;
        let bottom = 600 - (BOTTOM * DENSITY) as u32 - 8;
        let at = |x, y| canvas.pixels().get_pixel(x, y).0;
        let corners = [at(left, bottom), at(right, bottom), at(left, 60), at(right, 60)];
        // Viridis: dark violet, blue, green, yellow.
        assert!(corners[0][2] > corners[0][1] && corners[3][0] > corners[3][2]);
        for (i, a) in corners.iter().enumerate() {
            assert!(corners[i + 1..].iter().all(|b| a != b), "{corners:?}");
        }
    }

    /// The numbers of a map are read from its colours, so a dark page must not change them.
    #[test]
    fn a_dark_page_keeps_the_colours() {
        let canvas = map(&array![[0.0, 1.0], [2.0, 3.0]], false).draw(800, 600).unwrap();
        let dark = canvas.dark();
        let (left, bottom) = ((LEFT * DENSITY) as u32 + 8, 600 - (BOTTOM * DENSITY) as u32 - 8);
        let bar = 800 - (RIGHT * DENSITY) as u32 + 24 + 8;
        for (x, y) in [(left, bottom), (left, 60), (bar, 200)] {
            assert_eq!(canvas.pixels().get_pixel(x, y), dark.pixels().get_pixel(x, y), "{x} {y}");
        }
        assert_ne!(canvas.pixels().get_pixel(2, 2), dark.pixels().get_pixel(2, 2));
    }

    #[test]
    fn diverging_colours_put_zero_in_the_middle() {
        let values = array![[-1.0, 0.0], [0.0, 4.0]];
        assert_eq!(map(&values, true).limits(), (-4.0, 4.0));
        assert_eq!(map(&values, false).limits(), (-1.0, 4.0));
    }

    #[test]
    fn flat_and_broken_maps() {
        assert!(map(&Array2::zeros((3, 3)), false).draw(600, 450).is_ok());
        assert!(map(&Array2::zeros((3, 3)), true).draw(600, 450).is_ok());
        let empty = Array2::zeros((0, 3));
        assert!(matches!(map(&empty, true).draw(600, 450), Err(FiguresError::Empty { .. })));
        let broken = array![[0.0, f64::NAN]];
        assert!(matches!(map(&broken, true).draw(600, 450), Err(FiguresError::NotFinite { index: 1, .. })));
    }
}
