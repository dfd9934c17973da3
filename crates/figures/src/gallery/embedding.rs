//! Figure 5: the encoding of t, and how well it distinguishes one t from another.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::{FULL, HALF};
use crate::heat_map::HeatMap;
use crate::plot::{Mark, PALETTE, Panel};

/// Timesteps in the close-up.
const CLOSE_UP: usize = 32;
/// Most rows of the distance matrix; more t are thinned out evenly.
const MAX_PAIRS: usize = 250;

/// The encoding of every t, `[T, dimensions]`, as heat map with a close-up of the first t, the distance
/// between all pairs of t, and the distance between neighbours.
///
/// # Errors
/// [`FiguresError::Empty`] without dimensions or below two timesteps, [`FiguresError::NotFinite`].
pub fn embedding(values: ArrayView2<'_, f64>) -> Result<Figure, FiguresError> {
    let (steps, dimensions) = values.dim();
    if steps < 2 || dimensions == 0 {
        return Err(FiguresError::Empty { what: "the embedding" });
    }
    check::finite("the embedding", values.iter().copied())?;
    let neighbours: Vec<(f64, f64)> =
        (0..steps - 1).map(|t| (t as f64, distance(&values, t, t + 1))).collect();
    let least = neighbours.iter().fold(f64::INFINITY, |least, &(_, distance)| least.min(distance));
    let words = Words {
        name: "05-embedding",
        title: "Time embedding",
        caption: format!(
            "Every t as a vector. Neighbouring t are at least {least:.3} apart. In the distances of all pairs, dark places off \
             the diagonal mark different t with similar vectors.{}",
            constant(&values)
        ),
        equation: "e(t) = (sin 2π f_1 t/T, cos 2π f_1 t/T, …, sin 2π f_K t/T, cos 2π f_K t/T),  1 ≤ f_k ≤ T/2",
        note: "Above: every timestep t against every dimension. Below: the first timesteps, and Euclidean distances.",
    };

    let transposed = values.t();
    let map = |heading: &str, values: ArrayView2<'_, f64>, (width, height)| {
        HeatMap {
            heading: heading.into(),
            x_label: "t".into(),
            y_label: "dimension".into(),
            x_range: (0.0, values.ncols() as f64),
            y_range: (0.0, dimensions as f64),
            values,
            diverging: true,
        }
        .draw(width, height)
    };
    let (first, _) = transposed.split_at(Axis(1), CLOSE_UP.min(steps));
    let pairs = distances(&values);
    let pairs = HeatMap {
        heading: "Distance of t and t′".into(),
        x_label: "t".into(),
        y_label: "t′".into(),
        values: pairs.view(),
        x_range: (0.0, steps as f64),
        y_range: (0.0, steps as f64),
        diverging: false,
    };
    let neighbours = Panel {
        heading: "Distance of t and t + 1".into(),
        x_label: "t".into(),
        y_label: "‖e(t+1) − e(t)‖".into(),
        y_range: Some((0.0, 1.1 * neighbours.iter().fold(1e-9, |most: f64, point| most.max(point.1)))),
        marks: vec![Mark::line(neighbours, PALETTE[0])],
        ..Panel::default()
    };
    let page = words.page().row(vec![map("e(t)", transposed, FULL)?]).row(vec![
        map(&format!("e(t), first {} steps", first.ncols()), first, HALF)?,
        pairs.draw(HALF.0, HALF.1)?,
    ]);
    let page = page.row(vec![neighbours.draw(FULL.0, FULL.1 / 2 + 60)?]);
    let picture = page.draw()?;
    words.figure(&picture)
}

/// A sentence about constant dimensions, if there are any.
fn constant(values: &ArrayView2<'_, f64>) -> String {
    let still = |column: &ArrayView1<'_, f64>| column.iter().all(|value| (value - column[0]).abs() < 1e-6);
    let columns = values.columns().into_iter().enumerate().filter(|(_, column)| still(column));
    let names: Vec<String> = columns.map(|(dimension, _)| dimension.to_string()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        " The same for every t: dimension {} (a sine at the Nyquist frequency is sampled at its zeros; the cosine \
         beside it changes sign at every step).",
        names.join(", ")
    )
}

/// Euclidean distance of two rows.
fn distance(values: &ArrayView2<'_, f64>, a: usize, b: usize) -> f64 {
    let (a, b) = (values.index_axis(Axis(0), a), values.index_axis(Axis(0), b));
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

/// Distances of all pairs of at most [`MAX_PAIRS`] evenly spread rows.
fn distances(values: &ArrayView2<'_, f64>) -> Array2<f64> {
    let steps = values.nrows();
    let shown = steps.min(MAX_PAIRS);
    Array2::from_shape_fn((shown, shown), |(a, b)| distance(values, a * steps / shown, b * steps / shown))
}

#[cfg(test)]
mod tests {
    use super::{MAX_PAIRS, distances, embedding};
    use crate::error::FiguresError;
    use ndarray::{Array2, array};

    #[test]
    fn distances_are_those_of_the_rows() {
        let values = array![[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]];
        let pairs = distances(&values.view());
        assert_eq!(pairs, array![[0.0, 5.0, 1.0], [5.0, 0.0, 18_f64.sqrt()], [1.0, 18_f64.sqrt(), 0.0]]);
        assert_eq!(distances(&Array2::zeros((4000, 2)).view()).dim(), (MAX_PAIRS, MAX_PAIRS));
    }

    #[test]
    fn names_constant_dimensions() {
        let caption = |values: Array2<f64>| embedding(values.view()).unwrap().caption;
        assert!(caption(array![[0.0, 1.0, 5.0], [1.0, 1.0, 5.0]]).contains("dimension 1, 2 ("));
        assert!(!caption(array![[0.0], [1.0]]).contains("The same for every t"));
    }

    #[test]
    fn draws_and_refuses() {
        let values = Array2::from_shape_fn((40, 6), |(t, d)| ((t * (d + 1)) as f64 * 0.1).sin());
        assert_eq!(embedding(values.view()).unwrap(), embedding(values.view()).unwrap());
        assert!(embedding(Array2::zeros((2, 1)).view()).is_ok());
        assert!(matches!(embedding(Array2::zeros((1, 4)).view()), Err(FiguresError::Empty { .. })));
        assert!(matches!(embedding(Array2::zeros((4, 0)).view()), Err(FiguresError::Empty { .. })));
        let broken = array![[0.0], [f64::NAN]];
        assert!(matches!(embedding(broken.view()), Err(FiguresError::NotFinite { index: 1, .. })));
    }
}
