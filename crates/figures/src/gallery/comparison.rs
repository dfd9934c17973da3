//! Figures of several runs: their losses in one pair of axes, and their samples side by side.

use ndarray::ArrayView4;

use crate::axis::Scale;
use crate::canvas::{Canvas, INK};
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::gallery::loss::{MAX_POINTS, smoothed};
use crate::grid::{grid, square_columns};
use crate::legible::{MARGIN, least_size};
use crate::page::COLUMN_GAP;
use crate::plot::{Mark, PALETTE, Panel};
use crate::text::{Text, Weight, wrap};

/// Approximate pixels of a run's grid, and pixels of the name above it.
const GRID: usize = HALF.0;
const NAME_SIZE: u32 = 26;
/// Grids in a line.
const IN_LINE: usize = 2;

/// The losses that a run has logged.
#[derive(Debug, Clone, Copy)]
pub struct LossCurve<'a> {
    /// The name of the run in the legend.
    pub name: &'a str,
    /// Training steps, rising, `[n]`.
    pub steps: &'a [u64],
    /// Images per step.
    pub batch: usize,
    /// Mean loss since the line before, `[n]`.
    pub losses: &'a [f64],
}

/// The losses of several runs by training step and by images seen, smoothed; one colour per run, in the order of
/// [`loss_curves`]' argument.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`], [`FiguresError::NotFinite`].
pub fn loss_curves(curves: &[LossCurve<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the runs", curves)?;
    for curve in curves {
        check::not_empty("the losses", curve.losses)?;
        check::length("losses", curve.steps.len(), curve.losses.len())?;
        check::finite(curve.name, curve.losses.iter().copied())?;
    }
    let words = Words {
        name: "01-loss",
        title: "Training losses",
        caption: "The smoothed loss of each run, by training step and by images seen.".into(),
        equation: "L = E_{t, x_0, ε} w_t ‖ε − ε_θ(x_t, t)‖^2",
        note: "Means since the log line before, smoothed over about 2 % of each run. Dimensionless.",
    };
    let all = curves.iter().flat_map(|curve| curve.losses).copied();
    let (low, high) = all.fold((f64::INFINITY, 0_f64), |(low, high), loss| (low.min(loss), high.max(loss)));
    let panel = |heading: &str, label: &str, images: bool| {
        let marks = curves.iter().zip(PALETTE.iter().cycle()).map(|(curve, &colour)| {
            let stride = curve.losses.len().div_ceil(MAX_POINTS);
            let factor = if images { curve.batch as f64 } else { 1.0 };
            let points = curve.steps.iter().map(|&step| step as f64 * factor).zip(smoothed(curve.losses));
            Mark::line(points.step_by(stride), colour)
        });
        Panel {
            heading: heading.into(),
            x_label: label.into(),
            y_label: "loss".into(),
            y_scale: if low > 0.0 && high > 2.0 * low { Scale::Log } else { Scale::Linear },
            marks: marks.collect(),
            ..Panel::default()
        }
        .draw(HALF.0, HALF.1)
    };
    let panels = vec![
        panel("Loss by training step", "training step", false)?,
        panel("Loss by images seen", "images seen", true)?,
    ];
    let legend = curves.iter().zip(PALETTE.iter().cycle()).map(|(curve, c)| (curve.name.to_owned(), *c));
    let picture = words.page().legend(legend.collect()).row(panels).draw()?;
    words.figure(&picture)
}

/// The samples of several runs, `[n, h, w, c]` each: one grid per run with its name above. Runs may differ in the
/// size and the number of their images.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn sample_grids(runs: &[(&str, ArrayView4<'_, u8>)]) -> Result<Figure, FiguresError> {
    check::not_empty("the runs", runs)?;
    let words = Words {
        name: "02-samples",
        title: "Samples of each run",
        caption: "One grid per run, not selected.".into(),
        equation: "x_T ~ N(0, I) → x_{T−1} → ⋯ → x_0",
        note: "The same place in every grid has the same starting noise if the runs have images of one shape.",
    };
    let drawings = runs.iter().map(|(name, images)| named(name, *images)).collect::<Result<Vec<_>, _>>()?;
    let mut page = words.page();
    let mut drawings = drawings.into_iter().peekable();
    while drawings.peek().is_some() {
        page = page.row(drawings.by_ref().take(IN_LINE).collect());
    }
    let picture = page.draw()?;
    words.figure(&picture)
}

/// A grid below its name.
fn named(name: &str, images: ArrayView4<'_, u8>) -> Result<Canvas, FiguresError> {
    let (count, height, width, _) = images.dim();
    let columns = square_columns(count);
    let scale = (GRID / (columns * height.max(width)).max(1)).clamp(1, 8);
    let grid = grid(images, columns, scale, 2)?;
    let across = grid.width().max(GRID - COLUMN_GAP);
    let size = NAME_SIZE.max(least_size(IN_LINE * (across + COLUMN_GAP) + 2 * MARGIN));
    let lines: Vec<Text> = wrap(name, size, Weight::Bold, across)?;
    let above = lines.iter().map(Text::height).sum::<usize>() + 8;
    let mut canvas = Canvas::new(across, grid.height() + above)?;
    let mut y = 0;
    for line in &lines {
        canvas.draw_text(line, 0, y, INK);
        y += line.height();
    }
    canvas.draw_canvas(&grid, 0, above);
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::{LossCurve, PALETTE, loss_curves, sample_grids};
    use crate::canvas::Canvas;
    use crate::error::FiguresError;
    use ndarray::Array4;

    fn curve<'a>(name: &'a str, steps: &'a [u64], losses: &'a [f64]) -> LossCurve<'a> {
        LossCurve { name, steps, batch: 4, losses }
    }

    #[test]
    fn each_run_has_a_curve() {
        let steps: Vec<u64> = (1..=100).collect();
        let [high, low] = [3.0, 0.5].map(|start| steps.iter().map(|&s| start / s as f64).collect::<Vec<_>>());
        let both = [curve("a", &steps, &high), curve("b", &steps, &low)];
        let figure = loss_curves(&both).unwrap();
        assert_eq!(figure, loss_curves(&both).unwrap());
        let count = |figure: &crate::Figure, colour| {
            let picture = Canvas::from_png(&figure.png).unwrap();
            picture.pixels().pixels().filter(|pixel| pixel.0 == colour).count()
        };
        // More than the line of the legend.
        assert!(count(&figure, PALETTE[0]) > 1000 && count(&figure, PALETTE[1]) > 1000);
        assert_eq!(count(&loss_curves(&both[..1]).unwrap(), PALETTE[1]), 0);
    }

    #[test]
    fn losses_that_do_not_fit_are_refused() {
        assert!(matches!(loss_curves(&[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(loss_curves(&[curve("a", &[], &[])]), Err(FiguresError::Empty { .. })));
        assert!(matches!(loss_curves(&[curve("a", &[1], &[1.0, 2.0])]), Err(FiguresError::Mismatch { .. })));
        assert!(matches!(loss_curves(&[curve("a", &[1], &[f64::NAN])]), Err(FiguresError::NotFinite { .. })));
        assert!(loss_curves(&[curve("a", &[1], &[0.0])]).is_ok());
    }

    #[test]
    fn grids_of_any_sizes_stand_beside_each_other() {
        let (small, large) = (Array4::from_elem((4, 8, 8, 1), 90), Array4::from_elem((9, 32, 24, 3), 20));
        let figure = sample_grids(&[("small", small.view()), ("large", large.view())]).unwrap();
        let picture = Canvas::from_png(&figure.png).unwrap();
        let count = |value: u8| picture.pixels().pixels().filter(|pixel| pixel.0 == [value; 3]).count();
        // The edges of letters may have any grey.
        for (found, expected) in [(count(90), 4 * 64 * 64), (count(20), 9 * 32 * 24 * 49)] {
            assert!((expected..expected + 300).contains(&found), "{found} {expected}");
        }
        let many: Vec<_> = (0..6).map(|_| ("run", small.view())).collect();
        let picture = Canvas::from_png(&sample_grids(&many).unwrap().png).unwrap();
        assert!(picture.height() > 2 * 128);
        assert!(matches!(sample_grids(&[]), Err(FiguresError::Empty { .. })));
        let none = Array4::zeros((0, 8, 8, 1));
        assert!(matches!(sample_grids(&[("a", none.view())]), Err(FiguresError::Empty { .. })));
    }
}
