//! The density by the flow against closed forms.

use likelihood::{Levels, OdeOptions, log_density};
use schedule::{NoisePath, Prediction};
use tch::Tensor;

use crate::world::{GAUSSIAN, MIXTURE, Parts, go_on, network, output, paths, predictions};

/// Points as images of one pixel, f64.
fn points() -> Vec<f64> {
    (-7..=7).map(|k| f64::from(k) * 0.15).collect()
}

fn density(path: &dyn NoisePath, options: &OdeOptions, parts: &Parts) -> Vec<f64> {
    let model = network(path, options.output.prediction, parts);
    let points = Tensor::from_slice(&points()).view([-1, 1, 1, 1]);
    log_density(options, &model, (&points, None), &mut *go_on()).unwrap()
}

fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln())
}

fn worst(got: &[f64], want: impl Iterator<Item = f64>) -> f64 {
    got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
}

/// The exact density at a point, from where the exact flow of Gaussian data takes it. At the noisy end the model
/// starts from N(0, 1 + ratio^2), not from the distribution of the diffused data.
fn exact(levels: &Levels, y: f64) -> f64 {
    let (_, mean, deviation) = GAUSSIAN[0];
    let (first, last) = (levels.get(0).ratio().powi(2), levels.get(levels.len() - 1).ratio().powi(2));
    let stretch = (deviation.powi(2) + last) / (deviation.powi(2) + first);
    log_normal(mean + (y - mean) * stretch.sqrt(), 0.0, 1.0 + last) + 0.5 * stretch.ln()
}

/// On a path without steps, where levels can be spaced evenly, the error falls with the square of the steps.
#[test]
fn gaussian_data_has_its_density_to_second_order() {
    for (name, path) in paths() {
        let error = |steps: usize| {
            let levels = Levels::flow(&*path, steps).unwrap();
            let got = density(&*path, &OdeOptions::new(levels.clone(), output(Prediction::V)), GAUSSIAN);
            worst(&got, points().into_iter().map(|y| exact(&levels, y)))
        };
        let (coarse, middle, fine) = (error(25), error(50), error(100));
        let order = (coarse / fine).log2() / 2.0;
        // The first levels of a chain are farther apart than the others.
        let least = if path.is_discrete() { 1.3 } else { 1.9 };
        assert!(
            (least..2.3).contains(&order),
            "{name}: order {order:.2} ({coarse:.1e}, {middle:.1e}, {fine:.1e})"
        );
        // The error at the point 4.8 deviations out.
        assert!(fine < 0.06, "{name}: {fine:.1e}");
    }
}

/// The density of the data including the noise of the first level.
#[test]
fn a_mixture_has_its_density_on_every_path() {
    for (name, path) in paths() {
        let levels = Levels::flow(&*path, 150).unwrap();
        let noise = levels.get(0).ratio();
        let mixture = |y: f64| {
            let of = |&(weight, mean, deviation): &(f64, f64, f64)| {
                weight * log_normal(y, mean, deviation.powi(2) + noise.powi(2)).exp()
            };
            MIXTURE.iter().map(of).sum::<f64>().ln()
        };
        let got = density(&*path, &OdeOptions::new(levels, output(Prediction::V)), MIXTURE);
        let error = worst(&got, points().into_iter().map(mixture));
        assert!(error < 0.03, "{name}: {error}");
    }
}

/// Every output gives the same density, and a network in f32, which f32 points use, nearly the same.
#[test]
fn every_output_gives_the_same_density() {
    for (name, path) in paths() {
        let mut first: Option<Vec<f64>> = None;
        for prediction in predictions() {
            let options = OdeOptions::new(Levels::flow(&*path, 20).unwrap(), output(prediction));
            let got = density(&*path, &options, MIXTURE);
            let want = first.get_or_insert_with(|| got.clone());
            assert!(worst(&got, want.iter().copied()) < 1e-6, "{name}, {prediction}: {got:?} {want:?}");
            let model = network(&*path, prediction, MIXTURE);
            let points = Tensor::from_slice(&points()).view([-1, 1, 1, 1]).to_kind(tch::Kind::Float);
            let single = log_density(&options, &model, (&points, None), &mut *go_on()).unwrap();
            assert!(worst(&single, want.iter().copied()) < 5e-3, "{name}, {prediction}: {single:?} {want:?}");
        }
    }
}
