//! Figure 14: how fast the deterministic solvers approach the flow that they all follow.

use crate::axis::Scale;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Table, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel};

/// The errors of one solver.
#[derive(Debug, Clone, PartialEq)]
pub struct SolverErrors {
    /// Its name.
    pub name: String,
    /// Network evaluations and root mean square error, both above 0.
    pub points: Vec<(usize, f64)>,
}

impl SolverErrors {
    /// The slope of `-ln error` over `ln evaluations`, by least squares; `None` for fewer than two points.
    #[must_use]
    pub fn order(&self) -> Option<f64> {
        let n = self.points.len() as f64;
        let logs: Vec<(f64, f64)> =
            self.points.iter().map(|(calls, error)| ((*calls as f64).ln(), -error.ln())).collect();
        let (x, y) = logs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n));
        let above: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        let below: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
        (below > 0.0).then(|| above / below)
    }
}

/// Errors by network evaluations on doubly logarithmic axes, with the fitted orders: on the left where the flow is known in
/// closed form, on the right for a trained network; each with the steps of its reference.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::NotFinite`], [`FiguresError::TooLarge`].
pub fn convergence(
    (exact, exact_reference): (&[SolverErrors], usize),
    (network, reference): (&[SolverErrors], usize),
) -> Result<Figure, FiguresError> {
    for solvers in [exact, network] {
        check::not_empty("the solvers", solvers)?;
        for solver in solvers {
            check::not_empty("the errors of a solver", &solver.points)?;
            check::finite(&solver.name, solver.points.iter().map(|point| point.1))?;
        }
    }
    let words = Words {
        name: "14-convergence",
        title: "Convergence of the solvers",
        caption: format!(
            "Root mean square distance from the result of the same start in very many steps. Left: the data are numbers from \
             two Gaussians, the optimal network is known in closed form, and the reference takes {exact_reference} steps of \
             UniPC. A method of order p follows a line of slope −p. Right: the trained network, without clipping, in f32, \
             against {reference} steps. Errors are in units of the pixel range [−1, 1]."
        ),
        equation: "‖x^{(n)} − x‖ ∝ n^{−p}",
        note: "All axes are logarithmic. p: the order fitted to the closed form.",
    };
    let legend = exact.iter().zip(PALETTE.iter().cycle()).map(|(solver, colour)| {
        let order = solver.order().map_or_else(String::new, |order| format!(": p = {order:.1}"));
        (format!("{}{order}", solver.name), *colour)
    });
    let panel = |heading: &str, solvers: &[SolverErrors]| {
        let mut marks = Vec::new();
        for (solver, colour) in solvers.iter().zip(PALETTE.iter().cycle()) {
            let points = || solver.points.iter().map(|&(calls, error)| (calls as f64, error));
            marks.push(Mark::line(points(), *colour));
            marks.push(Mark::dots(points(), *colour, 3.0));
        }
        Panel {
            heading: heading.into(),
            x_label: "network evaluations".into(),
            y_label: "error".into(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            marks,
            ..Panel::default()
        }
        .draw(HALF.0, HALF.0 * 9 / 10)
    };
    let panels = vec![panel("Closed form", exact)?, panel("Trained network", network)?];
    let picture = words.page().legend(legend.collect()).row(panels).draw()?;
    let mut figure = words.figure(&picture)?;
    figure.table = Some(table(&[("closed form", exact), ("network", network)]));
    Ok(figure)
}

fn table(parts: &[(&str, &[SolverErrors])]) -> Table {
    let longest = parts.iter().flat_map(|part| part.1).map(|solver| solver.points.len()).max().unwrap_or(0);
    let mut header = ["solver", "on", "order p"].map(str::to_owned).to_vec();
    header.extend((0..longest).map(|_| "error (evaluations)".to_owned()));
    let row = |on: &str, solver: &SolverErrors| {
        let order = solver.order().map_or_else(|| "–".to_owned(), |order| format!("{order:.2}"));
        let mut row = vec![solver.name.clone(), on.to_owned(), order];
        row.extend(solver.points.iter().map(|(calls, error)| format!("{error:.1e} ({calls})")));
        row.resize(longest + 3, String::new());
        row
    };
    let rows = parts.iter().flat_map(|(on, solvers)| solvers.iter().map(|solver| row(on, solver))).collect();
    Table { header, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solver(name: &str, order: i32) -> SolverErrors {
        let points = [5, 10, 20].map(|n: usize| (n, (n as f64).powi(-order))).to_vec();
        SolverErrors { name: name.to_owned(), points }
    }

    #[test]
    fn orders_are_fitted() {
        for order in 1..=3 {
            assert!((solver("x", order).order().unwrap() - f64::from(order)).abs() < 1e-12);
        }
        let one = SolverErrors { name: "x".into(), points: vec![(5, 0.1)] };
        assert_eq!(one.order(), None);
    }

    #[test]
    fn draws_and_refuses() {
        let (exact, network) =
            ([solver("DDIM", 1), solver("UniPC", 3)], [solver("DDIM", 1), solver("UniPC", 2)]);
        let draw = || convergence((&exact, 1000), (&network, 999));
        assert_eq!(draw().unwrap(), draw().unwrap());
        let table = draw().unwrap().table.unwrap();
        assert_eq!(
            (table.rows.len(), table.rows[1][2].as_str(), table.rows[3][2].as_str()),
            (4, "3.00", "2.00")
        );
        assert!(matches!(convergence((&[], 1000), (&network, 999)), Err(FiguresError::Empty { .. })));
        let nan = [SolverErrors { name: "x".into(), points: vec![(5, f64::NAN)] }];
        assert!(matches!(convergence((&exact, 1000), (&nan, 999)), Err(FiguresError::NotFinite { .. })));
    }
}
