//! How time and memory of a training step grow, for a page of its own and not for the report.

use crate::axis::Scale;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel};

/// What was measured against one quantity, and the law of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingPanel {
    /// The heading above the axes: the law.
    pub heading: String,
    /// What is varied.
    pub x_label: String,
    /// What was measured, with its unit.
    pub y_label: String,
    /// The measured points that the law was fitted to. Here and below all numbers are above 0.
    pub fitted: Vec<(f64, f64)>,
    /// The points held out of the fit.
    pub held_out: Vec<(f64, f64)>,
    /// The law, close enough for a line.
    pub law: Vec<(f64, f64)>,
}

/// Panels on doubly logarithmic axes, two in a row: a power is a straight line, a fixed cost the flat end of a curve.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::NotFinite`], [`FiguresError::TooLarge`].
pub fn scaling(panels: &[ScalingPanel]) -> Result<Figure, FiguresError> {
    check::not_empty("the panels", panels)?;
    let words = Words {
        name: "scaling",
        title: "Time and memory of a training step",
        caption: "Measured points and fitted laws, on doubly logarithmic axes.".into(),
        equation: "",
        note: "All axes are logarithmic. The law is drawn over all points; it was fitted without those held out.",
    };
    let (point, held_out, law) = (PALETTE[0], PALETTE[1], PALETTE[2]);
    let draw = |panel: &ScalingPanel| {
        check::not_empty("the points of a panel", &panel.fitted)?;
        let marks = vec![
            Mark::line(panel.law.iter().copied(), law),
            Mark::dots(panel.fitted.iter().copied(), point, 4.0),
            Mark::dots(panel.held_out.iter().copied(), held_out, 4.0),
        ];
        Panel {
            heading: panel.heading.clone(),
            x_label: panel.x_label.clone(),
            y_label: panel.y_label.clone(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            // A dot that lies on an axis would be cut in half.
            x_range: around(panel, |point| point.0),
            y_range: around(panel, |point| point.1),
            marks,
        }
        .draw(HALF.0, HALF.1)
    };
    let legend = [("measured", point), ("measured, held out", held_out), ("fitted law", law)];
    let legend = legend.map(|(label, colour)| (label.to_owned(), colour)).to_vec();
    let mut page = words.page().legend(legend);
    for row in panels.chunks(2) {
        page = page.row(row.iter().map(draw).collect::<Result<_, _>>()?);
    }
    let picture = page.draw()?;
    words.figure(&picture)
}

/// A range slightly wider than that of the numbers.
fn around(panel: &ScalingPanel, of: fn(&(f64, f64)) -> f64) -> Option<(f64, f64)> {
    const ROOM: f64 = 1.08;
    let numbers = || panel.fitted.iter().chain(&panel.held_out).chain(&panel.law).map(of);
    let (low, high) = (numbers().reduce(f64::min)?, numbers().reduce(f64::max)?);
    Some((low / ROOM, high * ROOM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> ScalingPanel {
        ScalingPanel {
            heading: "t = 2 + 3 n".into(),
            x_label: "batch".into(),
            y_label: "ms".into(),
            fitted: vec![(1.0, 5.0), (4.0, 14.0)],
            held_out: vec![(16.0, 51.0)],
            law: vec![(1.0, 5.0), (16.0, 50.0)],
        }
    }

    #[test]
    fn draws_and_refuses() {
        assert_eq!(scaling(&[panel()]).unwrap(), scaling(&[panel()]).unwrap());
        let without = ScalingPanel { held_out: Vec::new(), ..panel() };
        assert_ne!(scaling(&[panel()]).unwrap().png, scaling(&[without]).unwrap().png);
        assert!(matches!(scaling(&[]), Err(FiguresError::Empty { .. })));
        let empty = ScalingPanel { fitted: Vec::new(), ..panel() };
        assert!(matches!(scaling(&[empty]), Err(FiguresError::Empty { .. })));
        let nan = ScalingPanel { law: vec![(1.0, f64::NAN)], ..panel() };
        assert!(matches!(scaling(&[nan]), Err(FiguresError::NotFinite { .. })));
    }
}
