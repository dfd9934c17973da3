//! Hutchinson's estimate for pixels that depend on each other, so that the Jacobian is not diagonal.

use likelihood::{BoxError, Levels, LikelihoodError, OdeOptions, log_density};
use schedule::{NoisePath, Prediction, Schedule};
use tch::{Device, Kind, Tensor};

use crate::world::{each, go_on, levels, output, path};

/// The data are N(0, COVARIANCE), in images of 2 x 1 pixels.
const COVARIANCE: [[f64; 2]; 2] = [[0.2, 0.15], [0.15, 0.3]];

/// `(COVARIANCE + r I)^-1` and the log determinant of the matrix it inverts.
fn inverse(r: f64) -> ([[f64; 2]; 2], f64) {
    let [[a, b], [_, d]] = COVARIANCE;
    let (a, d) = (a + r, d + r);
    let determinant = a * d - b * b;
    ([[d / determinant, -b / determinant], [-b / determinant, a / determinant]], determinant.ln())
}

fn quadratic(matrix: &[[f64; 2]; 2], y: [f64; 2]) -> f64 {
    matrix[0][0] * y[0] * y[0] + 2.0 * matrix[0][1] * y[0] * y[1] + matrix[1][1] * y[1] * y[1]
}

/// The optimal network: `eps = sigma (alpha^2 COVARIANCE + sigma^2 I)^-1 x_t`, for one level at a time.
fn network(x: &Tensor, t: &Tensor, _: Option<&Tensor>) -> Result<Tensor, BoxError> {
    let level = levels(&Schedule::ddpm(), t)?[0];
    let (inverse, _) = inverse(level.ratio().powi(2));
    let rows: Vec<f64> = inverse.concat();
    let matrix = Tensor::from_slice(&rows).view([2, 2]) * (level.sigma / level.alpha.powi(2));
    Ok(x.view([-1, 2]).matmul(&matrix).view([-1, 1, 2, 1]))
}

/// The same point many times, each with different probes: single estimates differ, their mean is the density.
#[test]
fn probes_are_right_on_average() {
    let levels = Levels::flow(&*path("linear"), 120).unwrap();
    let y = [0.4, -0.3];
    let (inverse, log_determinant) = inverse(levels.get(0).ratio().powi(2));
    let want = -0.5 * (quadratic(&inverse, y) + log_determinant) - std::f64::consts::TAU.ln();
    let mut errors = Vec::new();
    for probes in [1, 4] {
        let options = OdeOptions { probes, ..OdeOptions::new(levels.clone(), output(Prediction::Eps)) };
        let points = Tensor::from_slice(&y).view([1, 1, 2, 1]).repeat([1000, 1, 1, 1]);
        let got = log_density(&options, &network, (&points, None), &mut *go_on()).unwrap();
        let n = got.len() as f64;
        let mean = got.iter().sum::<f64>() / n;
        let error = (got.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        // The steps have an error too.
        assert!((mean - want).abs() < 5.0 * error + 0.01, "{probes} probes: {mean} is not {want} +- {error}");
        errors.push(error);
    }
    // The terms off the diagonal have a random sign per probe: four times as many probes halve the error.
    assert!(errors[0] > 0.005 && (errors[0] / errors[1] - 2.0).abs() < 0.3, "{errors:?}");
}

/// Whatever blocks gradients is reported.
#[test]
fn a_network_without_gradients_is_refused() {
    let chain = path("linear");
    let options = OdeOptions::new(Levels::flow(&*chain, 10).unwrap(), output(Prediction::Eps));
    let points = Tensor::zeros([3, 1, 2, 1], (Kind::Double, Device::Cpu));
    let refused = |model: &denoiser::Conditional<'_>| {
        let got = log_density(&options, model, (&points, None), &mut *go_on());
        assert!(matches!(got, Err(LikelihoodError::NoGradient)), "{got:?}");
    };
    refused(&|x, t, _| Ok(network(x, t, None)?.detach()));
    // Gradients of weights only.
    let weight = Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    refused(&|x, _, _| Ok(x.detach() * &weight));
    let _no_grad = tch::no_grad_guard();
    refused(&network);
}

/// Trainable weights make no difference.
#[test]
fn weights_get_no_gradients() {
    let chain = path("linear");
    let options = OdeOptions::new(Levels::flow(&*chain, 10).unwrap(), output(Prediction::Eps));
    let weight = Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let model = |x: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let sigma = each(&levels(&*chain as &dyn NoisePath, t)?, |level| level.sigma);
        Ok(x * sigma * &weight)
    };
    let points = Tensor::zeros([3, 1, 2, 1], (Kind::Double, Device::Cpu));
    log_density(&options, &model, (&points, None), &mut *go_on()).unwrap();
    assert!(!weight.grad().defined());
}
