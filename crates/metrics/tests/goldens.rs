//! The same numbers as Python gives for the same features: scipy, scikit-learn and prdc.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use metrics::{Moments, frechet_distance, inception_score, kernel_distance, neighbours};
use ndarray::{Array2, Axis};

/// `scripts/make_metrics_goldens.py` wrote them.
#[derive(serde::Deserialize)]
struct Case {
    rows: usize,
    others: usize,
    columns: usize,
    phase: f64,
    frechet: f64,
    kernel: f64,
    inception: f64,
    inception_deviation: f64,
    precision: f64,
    recall: f64,
    density: f64,
    coverage: f64,
}

fn features(rows: usize, columns: usize, phase: f64) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        let (i, j) = (i as f64, j as f64);
        (0.7 * i + 1.3 * j + 0.013 * i * j + phase).sin() + 0.2 * (3.1 * i - 0.4 * j * j).cos()
    })
}

fn close(name: &str, got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs().max(1e-3), "{name}: {got} is not {want}");
}

#[test]
fn distances_and_shares_are_those_of_the_python_programs() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("goldens.json")).unwrap();
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let x = features(case.rows, case.columns, 0.0);
        let y = features(case.others, case.columns, case.phase) * 1.2 + 0.1;
        let frechet = frechet_distance(&Moments::of(&x).unwrap(), &Moments::of(&y).unwrap()).unwrap();
        // The third covariance is singular: there scipy's root of the product is off by as much.
        close("frechet", frechet, case.frechet, if case.columns > case.rows { 1e-4 } else { 1e-6 });
        let size = case.rows.min(case.others);
        let first = |rows: &Array2<f64>| rows.slice_axis(Axis(0), (0..size).into()).to_owned();
        close(
            "kernel",
            kernel_distance(&first(&x), &first(&y), (1, size), 0).unwrap().mean,
            case.kernel,
            1e-5,
        );
        let got = neighbours(&x, &y, 3).unwrap();
        for (name, got, want) in [
            ("precision", got.precision, case.precision),
            ("recall", got.recall, case.recall),
            ("density", got.density, case.density),
            ("coverage", got.coverage, case.coverage),
        ] {
            close(name, got, want, 1e-9);
        }
        let logits = features(case.rows, case.columns, 0.0) * 3.0;
        let mut answers = logits.mapv(f64::exp);
        answers.outer_iter_mut().for_each(|mut row| {
            let sum = row.sum();
            row.mapv_inplace(|value| value / sum);
        });
        let (mean, deviation) = inception_score(&answers, 4).unwrap();
        close("inception", mean, case.inception, 1e-6);
        close("its deviation", deviation, case.inception_deviation, 1e-4);
    }
}
