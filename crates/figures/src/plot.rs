//! Curves, dots and histograms in a pair of axes: a thin layer over the plotting crate.

use kuva::RasterBackend;
use kuva::plot::{Histogram, LinePlot, ScatterPlot};
use kuva::render::layout::{AxisLabelOverlap, Layout};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;

use crate::axis::{Axis, Scale, TICKS};
use crate::canvas::{Canvas, Colour, INK};
use crate::check;
use crate::error::FiguresError;
use crate::text::{Text, Weight};

/// Colours that stay distinct for colour-blind readers and in print: Paul Tol's "bright" scheme, with its yellow and cyan
/// darker, since lines of those would be faint on white.
pub(crate) const PALETTE: [Colour; 6] = [
    [0x44, 0x77, 0xaa],
    [0xee, 0x66, 0x77],
    [0x22, 0x88, 0x33],
    [0xaa, 0x33, 0x77],
    [0x99, 0x77, 0x00],
    [0x00, 0x99, 0xbb],
];

/// Pixels of the picture for a unit of the plotting crate.
pub(crate) const DENSITY: f64 = 2.0;
/// White around the axes in those units: left (tick labels, axis label), right, top, bottom.
pub(crate) const LEFT: f64 = 76.0;
pub(crate) const RIGHT: f64 = 20.0;
pub(crate) const TOP: f64 = 8.0;
pub(crate) const BOTTOM: f64 = 48.0;
const TICK_SIZE: u32 = 13;
/// Sizes of our own text in pixels.
const HEADING_SIZE: u32 = 26;
const LABEL_SIZE: u32 = 26;
/// Pixels between the top of a panel and its axes, for the heading.
const HEADING: usize = 34;

/// One thing drawn into the axes.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    Line { points: Vec<(f64, f64)>, colour: Colour, width: f64 },
    Dots { points: Vec<(f64, f64)>, colour: Colour, radius: f64 },
    Bars { edges: Vec<f64>, heights: Vec<f64>, colour: Colour },
}

impl Mark {
    pub(crate) fn line(points: impl IntoIterator<Item = (f64, f64)>, colour: Colour) -> Self {
        Self::Line { points: points.into_iter().collect(), colour, width: 1.6 }
    }

    pub(crate) fn thin(self) -> Self {
        match self {
            Self::Line { points, colour, .. } => Self::Line { points, colour, width: 1.2 },
            other => other,
        }
    }

    pub(crate) fn dots(points: impl IntoIterator<Item = (f64, f64)>, colour: Colour, radius: f64) -> Self {
        Self::Dots { points: points.into_iter().collect(), colour, radius }
    }

    /// Every corner that the axes must hold.
    fn corners(&self) -> Vec<(f64, f64)> {
        match self {
            Self::Line { points, .. } | Self::Dots { points, .. } => points.clone(),
            Self::Bars { edges, heights, .. } => edges
                .windows(2)
                .zip(heights)
                .flat_map(|(edge, &height)| [(edge[0], 0.0), (edge[1], height)])
                .collect(),
        }
    }

    /// What the axes can show of it: a logarithmic axis has no place for 0 or negative numbers.
    fn shown(self, x: Scale, y: Scale) -> Self {
        let keep = |points: Vec<(f64, f64)>| {
            points.into_iter().filter(|&(px, py)| x.shows(px) && y.shows(py)).collect()
        };
        match self {
            Self::Line { points, colour, width } => Self::Line { points: keep(points), colour, width },
            Self::Dots { points, colour, radius } => Self::Dots { points: keep(points), colour, radius },
            bars @ Self::Bars { .. } => bars,
        }
    }

    fn into_plot(self) -> Plot {
        match self {
            Self::Line { points, colour, width } => {
                let line = LinePlot::new().with_data(points).with_color(css(colour));
                Plot::Line(line.with_stroke_width(width))
            }
            Self::Dots { points, colour, radius } => {
                Plot::Scatter(ScatterPlot::new().with_data(points).with_color(css(colour)).with_size(radius))
            }
            Self::Bars { edges, heights, colour } => {
                Plot::Histogram(Histogram::from_bins(edges, heights).with_color(css(colour)))
            }
        }
    }
}

/// A pair of axes with marks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panel {
    pub(crate) heading: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) x_scale: Scale,
    pub(crate) y_scale: Scale,
    pub(crate) x_range: Option<(f64, f64)>,
    pub(crate) y_range: Option<(f64, f64)>,
    pub(crate) marks: Vec<Mark>,
}

impl Panel {
    /// Draws the panel into a picture of about `width` by `height` pixels, heading included.
    pub(crate) fn draw(self, width: usize, height: usize) -> Result<Canvas, FiguresError> {
        let corners: Vec<(f64, f64)> = self.marks.iter().flat_map(Mark::corners).collect();
        check::finite(&format!("{} against {}", self.y_label, self.x_label), {
            corners.iter().flat_map(|&(x, y)| [x, y])
        })?;
        let (x_scale, y_scale) = (self.x_scale, self.y_scale);
        let marks: Vec<Mark> = self.marks.into_iter().map(|mark| mark.shown(x_scale, y_scale)).collect();
        let seen = || marks.iter().flat_map(Mark::corners);
        // The horizontal axis ends with the data, the vertical one leaves a little room.
        let x = Axis::new(self.x_scale, seen().map(|corner| corner.0), self.x_range, 0.0);
        let y = Axis::new(self.y_scale, seen().map(|corner| corner.1), self.y_range, 0.05);
        let plots = marks.into_iter().map(Mark::into_plot).collect();
        let axes = draw_axes(plots, &x, &y, &self.x_label, RIGHT, (width, height))?;
        with_labels(axes, &self.heading, &self.y_label)
    }
}

/// Axes with plots in them, in a picture of the given size in pixels, less the height of the heading.
pub(crate) fn draw_axes(
    plots: Vec<Plot>,
    x: &Axis,
    y: &Axis,
    x_label: &str,
    right: f64,
    (width, height): (usize, usize),
) -> Result<Canvas, FiguresError> {
    let (width, height) = (width as f64 / DENSITY, height as f64 / DENSITY);
    let mut layout = Layout::new(x.range, y.range)
        .with_width(width)
        .with_height(height - HEADING as f64 / DENSITY)
        .with_force_margins(LEFT, right)
        .with_force_margins_y(TOP, BOTTOM)
        .with_x_label(x_label)
        .with_label_size(LABEL_SIZE / DENSITY as u32)
        .with_tick_size(TICK_SIZE)
        .with_ticks(TICKS)
        .with_x_label_overlap(AxisLabelOverlap::Thin)
        .with_x_tick_format(x.ticks())
        .with_y_tick_format(y.ticks())
        .with_x_axis_min(x.range.0)
        .with_x_axis_max(x.range.1)
        .with_y_axis_min(y.range.0)
        .with_y_axis_max(y.range.1);
    layout.theme.grid_color = "#e4e4e4".into();
    layout.theme.axis_color = css(INK);
    layout.theme.tick_color = css(INK);
    layout.theme.text_color = css(INK);
    layout.show_legend = false;
    layout.log_x = x.scale == Scale::Log;
    layout.log_y = y.scale == Scale::Log;
    let scene = render_multiple(plots, layout);
    let png = RasterBackend::new().with_scale(DENSITY as f32).render_scene(&scene);
    let mut axes = Canvas::from_png(&png.map_err(|reason| FiguresError::Plot { reason })?)?;
    // The labels of the ticks, and that of the horizontal axis.
    [TICK_SIZE * DENSITY as u32, LABEL_SIZE].into_iter().for_each(|size| axes.note_text(size));
    Ok(axes)
}

/// Adds the heading above the axes and the label of the vertical axis at the left edge.
pub(crate) fn with_labels(axes: Canvas, heading: &str, y_label: &str) -> Result<Canvas, FiguresError> {
    let heading = Text::within(heading, HEADING_SIZE, Weight::Regular, axes.width())?;
    let label = Text::new(y_label, LABEL_SIZE, Weight::Regular)?.turned_left();
    let above = HEADING;
    let mut canvas = Canvas::new(axes.width(), axes.height() + above)?;
    canvas.draw_canvas(&axes, 0, above);
    // A long heading starts left of the axes, so that it does not end beyond the picture.
    let x = ((LEFT * DENSITY) as usize).min(canvas.width().saturating_sub(heading.width()));
    canvas.draw_text(&heading, x, 0, INK);
    let inside = axes.height().saturating_sub(((TOP + BOTTOM) * DENSITY) as usize);
    let middle = above + (TOP * DENSITY) as usize + inside / 2;
    canvas.draw_text(&label, 0, middle.saturating_sub(label.height() / 2), INK);
    Ok(canvas)
}

/// `#rrggbb`.
pub(crate) fn css([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A colour mixed with white: `amount` 0 leaves it unchanged, 1 is white.
pub(crate) fn lighter(colour: Colour, amount: f64) -> Colour {
    colour.map(|part| (f64::from(part) + (255.0 - f64::from(part)) * amount.clamp(0.0, 1.0)).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::{DENSITY, LEFT, Mark, PALETTE, Panel, RIGHT, lighter};
    use crate::axis::Scale;
    use crate::canvas::Canvas;
    use crate::error::FiguresError;

    fn draw(points: &[(f64, f64)], y_scale: Scale) -> Result<Canvas, FiguresError> {
        let marks =
            vec![Mark::line(points.to_vec(), PALETTE[0]), Mark::dots(points.to_vec(), PALETTE[1], 3.0)];
        Panel { marks, y_scale, x_label: "t".into(), y_label: "y".into(), ..Panel::default() }.draw(600, 450)
    }

    fn count(canvas: &Canvas, colour: [u8; 3]) -> usize {
        canvas.pixels().pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn the_same_numbers_give_the_same_pixels() {
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)];
        let first = draw(&points, Scale::Linear).unwrap();
        assert_eq!(first, draw(&points, Scale::Linear).unwrap());
        assert_ne!(first, draw(&[(0.0, 1.0), (1.0, 2.5), (2.0, 2.0)], Scale::Linear).unwrap());
        assert_eq!((first.width(), first.height()), (600, 450));
    }

    /// A horizontal line across the axes has as many pixels as the axes are wide.
    #[test]
    fn lines_span_their_range() {
        let line = Mark::line([(0.0, 1.0), (10.0, 1.0)], PALETTE[2]);
        let panel = Panel { marks: vec![line], y_range: Some((0.0, 2.0)), ..Panel::default() };
        let canvas = panel.draw(600, 450).unwrap();
        let inside = 600 - ((LEFT + RIGHT) * DENSITY) as usize;
        let columns = (0..600).filter(|&x| (0..450).any(|y| canvas.pixels().get_pixel(x, y).0 == PALETTE[2]));
        assert!(columns.count().abs_diff(inside) <= 4);
    }

    /// Numbers that are hard for an axis: equal, far apart, tiny, a single one, none at all.
    #[test]
    fn any_finite_numbers_are_drawn() {
        let cases: [&[(f64, f64)]; 7] = [
            &[],
            &[(3.0, 3.0)],
            &[(0.0, 0.0), (1.0, 0.0)],
            &[(0.0, 1.0), (1.0, 1.0 + 1e-15)],
            &[(0.0, 1e-300), (1.0, 1e29)],
            &[(0.0, -1e29), (1.0, 1e29)],
            &[(1e15, 1e-12), (1e15 + 1.0, 2e-12)],
        ];
        for points in cases {
            for scale in [Scale::Linear, Scale::Log] {
                assert_eq!(draw(points, scale).unwrap().width(), 600, "{points:?}");
            }
        }
    }

    #[test]
    fn refuses_numbers_without_a_place() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let result = draw(&[(0.0, 1.0), (1.0, bad)], Scale::Linear);
            assert!(matches!(result, Err(FiguresError::NotFinite { index: 3, .. })), "{bad}");
        }
    }

    #[test]
    fn logarithmic_axes_leave_out_zero() {
        let canvas = draw(&[(0.0, 0.0), (1.0, 1e-5), (2.0, 10.0)], Scale::Log).unwrap();
        assert!(count(&canvas, PALETTE[1]) > 20);
        assert_eq!(count(&draw(&[(0.0, 0.0), (1.0, -1.0)], Scale::Log).unwrap(), PALETTE[1]), 0);
    }

    #[test]
    fn bars_are_filled_up_to_their_height() {
        let bars = Mark::Bars { edges: vec![0.0, 1.0, 2.0], heights: vec![1.0, 0.5], colour: PALETTE[4] };
        let panel = Panel { marks: vec![bars], y_range: Some((0.0, 1.0)), ..Panel::default() };
        let canvas = panel.draw(600, 450).unwrap();
        let column = |x| (0..450).filter(|&y| canvas.pixels().get_pixel(x, y).0 == PALETTE[4]).count();
        let (full, half) = (column(250), column(480));
        assert!(full > 200 && full.abs_diff(2 * half) <= 6, "{full}, {half}");
    }

    #[test]
    fn lighter_ends_in_white() {
        assert_eq!(lighter(PALETTE[0], 0.0), PALETTE[0]);
        assert_eq!(lighter(PALETTE[0], 1.0), [255; 3]);
    }
}
