//! Figure 3: many small steps against one jump (Ho et al. 2020, Eq. 2 against Eq. 4).

use ndarray::ArrayView5;

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Table, Words};
use crate::gallery::{HALF, time_columns};
use crate::page::COLUMN_GAP;
use crate::plot::{Mark, PALETTE, Panel};
use crate::rows::alternate;
use crate::sheet::Sheet;

/// Mean and variance of `x_t` at one t, over many draws of the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// The timestep.
    pub t: usize,
    /// By the closed form: `(mean, variance)`.
    pub expected: (f64, f64),
    /// Measured after iterating `q(x_t | x_{t-1})`: `(mean, variance)`.
    pub iterated: (f64, f64),
    /// Measured after one draw of `q(x_t | x_0)`: `(mean, variance)`.
    pub closed: (f64, f64),
}

/// The results of both ways to `x_t`.
#[derive(Debug, Clone)]
pub struct OneStep<'a> {
    /// The t of each column.
    pub times: &'a [usize],
    /// Reached step by step, `[images, times, h, w, c]`.
    pub iterated: ArrayView5<'a, u8>,
    /// Reached in one jump, same shape.
    pub closed: ArrayView5<'a, u8>,
    /// Numbers to compare, in rising t.
    pub moments: &'a [Moments],
}

/// Rows reached step by step above rows reached in one jump, and below them mean and variance of both
/// against the formula.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`], [`FiguresError::Shape`],
/// [`FiguresError::Channels`], [`FiguresError::NotFinite`], [`FiguresError::TooLarge`].
pub fn one_step(data: &OneStep<'_>) -> Result<Figure, FiguresError> {
    let OneStep { times, iterated, closed, moments } = data;
    check::not_empty("the moments", moments)?;
    check::length("times", iterated.dim().1, times.len())?;
    let rows = alternate("the images in closed form", iterated, closed)?;
    let words = Words {
        name: "03-one-step",
        title: "Step by step, and in one jump",
        caption: format!(
            "Upper row of each pair: noise added t + 1 times, one small step at a time. Lower row: one draw from the closed \
             form, with other noise. Below: mean and variance by the formula (line) and measured (dots). The largest \
             difference from the formula is {:.4} for a mean and {:.4} for a variance.",
            farthest(moments, |both| both.0),
            farthest(moments, |both| both.1),
        ),
        equation: "q(x_t | x_{t−1}) = N(x_t; √(1 − β_t) x_{t−1}, β_t I)\n\
                   q(x_t | x_0) = N(x_t; √ᾱ_t x_0, (1 − ᾱ_t) I)",
        note: "Columns: timestep t, counted from 0. Measured over many draws of the noise; pixels in −1 to 1.",
    };
    let bands = (0..iterated.dim().0).flat_map(|image| {
        let first = Band::new("step by step");
        [if image == 0 { first } else { first.apart() }, Band::new("one jump")]
    });
    let sheet =
        Sheet::new(rows.view()).rows(bands).columns(time_columns(times)).corner("t").in_page().draw()?;
    // Both panels together are as wide as the images.
    let width = HALF.0.max((sheet.width().saturating_sub(COLUMN_GAP)) / 2);
    let last = moments.iter().map(|row| row.t).max().unwrap_or(0) as f64;
    let room = 0.02 * last.max(1.0);
    let panel = |heading: &str, label: &str, pick: fn((f64, f64)) -> f64| {
        let points = |of: fn(&Moments) -> (f64, f64)| {
            moments.iter().map(move |row| (row.t as f64, pick(of(row)))).collect::<Vec<_>>()
        };
        Panel {
            heading: heading.into(),
            x_label: "t".into(),
            y_label: label.into(),
            x_range: Some((-room, last + room)), // whole dots at both ends
            marks: vec![
                Mark::line(points(|row| row.expected), PALETTE[0]),
                Mark::dots(points(|row| row.iterated), PALETTE[1], 4.5),
                Mark::dots(points(|row| row.closed), PALETTE[2], 2.5),
            ],
            ..Panel::default()
        }
        .draw(width, HALF.1)
    };
    let panels = vec![
        panel("Mean of xₜ", "mean", |both| both.0)?,
        panel("Variance of xₜ", "variance", |both| both.1)?,
    ];
    let legend = ["formula", "measured, step by step", "measured, one jump"];
    let page = words
        .page()
        .row(vec![sheet])
        .legend(legend.map(str::to_owned).into_iter().zip(PALETTE).collect())
        .row(panels);
    let picture = page.draw()?;
    Ok(Figure { table: Some(table(moments)), ..words.figure(&picture)? })
}

/// The largest difference of a measured moment from the formula's.
fn farthest(moments: &[Moments], pick: fn((f64, f64)) -> f64) -> f64 {
    let off = |row: &Moments| [row.iterated, row.closed].map(|both| (pick(both) - pick(row.expected)).abs());
    moments.iter().flat_map(off).fold(0.0, f64::max)
}

fn table(moments: &[Moments]) -> Table {
    let header =
        ["t", "mean: formula", "step by step", "one jump", "variance: formula", "step by step", "one jump"];
    let cells = |row: &Moments| {
        let numbers =
            [row.expected.0, row.iterated.0, row.closed.0, row.expected.1, row.iterated.1, row.closed.1];
        std::iter::once(row.t.to_string()).chain(numbers.map(|number| format!("{number:.4}"))).collect()
    };
    Table { header: header.map(str::to_owned).to_vec(), rows: moments.iter().map(cells).collect() }
}

#[cfg(test)]
mod tests {
    use super::{Moments, OneStep, one_step};
    use crate::error::FiguresError;
    use ndarray::Array5;

    #[test]
    fn draws_and_refuses() {
        let images = Array5::<u8>::from_elem((2, 3, 8, 8, 3), 90);
        let moments = [0, 100].map(|t| Moments {
            t,
            expected: (0.5, 0.25),
            iterated: (0.51, 0.2),
            closed: (0.49, 0.3),
        });
        let data = OneStep {
            times: &[0, 50, 99],
            iterated: images.view(),
            closed: images.view(),
            moments: &moments,
        };
        let figure = one_step(&data).unwrap();
        assert_eq!(figure, one_step(&data).unwrap());
        assert!(
            figure.caption.ends_with("is 0.0100 for a mean and 0.0500 for a variance."),
            "{}",
            figure.caption
        );
        let table = figure.table.unwrap();
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
        assert_eq!(table.rows[1][..4], ["100", "0.5000", "0.5100", "0.4900"]);

        let fewer = Array5::<u8>::zeros((1, 3, 8, 8, 3));
        let short = OneStep { closed: fewer.view(), ..data.clone() };
        assert!(matches!(one_step(&short), Err(FiguresError::Shape { .. })));
        assert!(matches!(
            one_step(&OneStep { times: &[0], ..data.clone() }),
            Err(FiguresError::Mismatch { .. })
        ));
        assert!(matches!(one_step(&OneStep { moments: &[], ..data }), Err(FiguresError::Empty { .. })));
    }
}
