//! The order of every deterministic solver on every path, by the exact flow of a mixture of two Gaussians: the slope of `ln error`
//! over `ln steps`, between limits on both sides. Where the levels are even in the logarithm of `sigma / alpha`, a solver has
//! the same errors on every path; PLMS and PNDM assume levels even in t, which differ from path to path.

use sampler::{
    ChurnSettings, Correction, Deis, DpmPp, Grid, Level, Method, Noise, Prediction, Sampler, SamplerConfig,
    Threshold, UniPc,
};
use schedule::NoisePath;
use tch::{Device, Kind, Tensor};

use crate::{below, even, mixture_network, off, paths};

/// Steps of the three chains that a slope is fitted to.
const STEPS: [usize; 3] = [80, 160, 320];
/// Between these ratios the mixture separates into its parts.
const RATIOS: (f64, f64) = (20.0, 0.05);
/// No whole numbers: PNDM moves a time between whole ones to the next whole one.
const TIMES: (f64, f64) = (850.3, 200.1);

/// States at quantiles from 0.02 to 0.98.
fn starts(level: &Level) -> Tensor {
    (Tensor::arange(17, (Kind::Double, Device::Cpu)) * 0.25 - 2.0).view([-1, 1, 1, 1]) * level.sigma
}

/// Where the flow carries states from a level to another: to the same quantiles, found by bisection.
fn carried(x: &Tensor, from: &Level, to: &Level) -> Tensor {
    let wanted = below(x, from);
    let (mut low, mut high) = (wanted.zeros_like() - 4.0, wanted.zeros_like() + 4.0);
    for _ in 0..60 {
        let middle = (&low + &high) / 2.0;
        let is_low = below(&middle, to).lt_tensor(&wanted);
        low = middle.where_self(&is_low, &low);
        high = high.where_self(&is_low, &middle);
    }
    (low + high) / 2.0
}

fn error(path: &dyn NoisePath, method: Method, grid: Grid) -> f64 {
    let config =
        SamplerConfig { threshold: Threshold::Off, prediction: Prediction::X0, ..SamplerConfig::new(method) };
    let (from, to) = (grid.level(0), grid.level(grid.steps()));
    let sampler = Sampler::on_grid(path, &config, grid).unwrap();
    let (x, noise) = (starts(&from), Noise { seed: 0, first_index: 0 });
    let network = mixture_network(path, Prediction::X0);
    let got = sampler.sample(&network, &x, &noise, &mut |_| Ok(())).unwrap();
    off(&got, &carried(&x, &from, &to))
}

/// Checks the fitted order, and that each halving of the steps shows it as well.
fn assert_order(name: &str, expected: f64, errors: [f64; 3]) {
    let [coarse, middle, fine] = errors;
    // Of three points at equal distances, the least-squares slope is that of the outer two.
    let order = (coarse / fine).log2() / 2.0;
    assert!(
        (expected - 0.25..=expected + 0.5).contains(&order),
        "{name}: order {order:.2} is not {expected}: {errors:?}"
    );
    for halved in [coarse / middle, middle / fine] {
        let order = halved.log2();
        assert!(
            (expected - 0.5..=expected + 0.8).contains(&order),
            "{name}: order {order:.2} in one of {errors:?}, not {expected}"
        );
    }
}

#[test]
fn each_solver_has_its_order_on_a_mixture_on_every_path() {
    let none = ChurnSettings::NONE;
    let dpmpp = |order, correction| {
        Method::DpmPp(DpmPp { correction, lower_order_final: false, ..DpmPp::multistep(order) })
    };
    let unipc = |order| Method::UniPc(UniPc { lower_order_final: false, ..UniPc::of_order(order) });
    let deis = |order| Method::Deis(Deis { order, lower_order_final: false });
    for (path_name, path) in paths() {
        for (method, order) in [
            (Method::Ddim { eta: 0.0 }, 1.0),
            (Method::Euler { churn: none }, 1.0),
            (Method::EulerAncestral { eta: 0.0 }, 1.0),
            (dpmpp(1, Correction::Midpoint), 1.0),
            (Method::Heun { churn: none }, 2.0),
            (dpmpp(2, Correction::Midpoint), 2.0),
            (dpmpp(3, Correction::Taylor), 3.0),
            (deis(3), 3.0),
            // The corrector raises the order of the predictor by one.
            (unipc(2), 3.0),
            (unipc(3), 4.0),
        ] {
            let errors = STEPS.map(|steps| error(&*path, method, even(&*path, RATIOS, steps)));
            assert_order(&format!("{path_name}, {method}"), order, errors);
        }
    }
}

/// On levels even in t the Adams-Bashforth weights average eps over t, while the flow averages it over `sigma / alpha`: second
/// order, whatever the number of values.
#[test]
fn plms_and_pndm_are_of_second_order_on_every_path() {
    let (from, to) = TIMES;
    for (path_name, path) in paths() {
        let grid = |steps: usize| {
            let times: Vec<f64> = (0..steps).map(|i| from + (to - from) * i as f64 / steps as f64).collect();
            Grid::at_times(&*path, &times, path.level_at(to).unwrap()).unwrap()
        };
        for runge_kutta in [false, true] {
            let method = Method::Pndm { runge_kutta };
            let errors = STEPS.map(|steps| error(&*path, method, grid(steps)));
            assert_order(&format!("{path_name}, {method}"), 2.0, errors);
        }
    }
}
