//! Every deterministic solver converges to the exact solution of the probability flow, with its stated order: the slope of
//! `ln error` over `ln steps` for ever shorter steps, between the same two noise levels.

use sampler::{
    BFunction, ChurnSettings, Correction, Deis, DpmPp, End, Grid, Method, Noise, Prediction, Sampler,
    SamplerConfig, Threshold, Times, UniPc,
};
use tch::Tensor;

use crate::world::{Mixture, Part};

/// Where a test starts and ends: some noise at both ends, so that no step is infinitely long.
const FROM: f64 = 900.0;
const TO: f64 = 20.0;

fn world() -> Mixture {
    Mixture::new([
        Part { weight: 0.3, mean: -0.6, deviation: 0.25 },
        Part { weight: 0.7, mean: 0.5, deviation: 0.4 },
    ])
}

fn points() -> Vec<f64> {
    (-8..=8).map(|k| f64::from(k) * 0.25).collect()
}

/// Levels evenly spaced in `lambda`, or in t.
fn grid(world: &Mixture, steps: usize, even_in_t: bool) -> Grid {
    let (from, to) = (world.schedule.level_at(FROM).unwrap(), world.schedule.level_at(TO).unwrap());
    let levels = (0..steps).map(|i| {
        let part = i as f64 / steps as f64;
        if even_in_t {
            return world.schedule.level_at(FROM + part * (TO - FROM)).unwrap();
        }
        let lambda = from.lambda() + part * (to.lambda() - from.lambda());
        world.schedule.level_of_ratio((-lambda).exp()).unwrap()
    });
    Grid::new(levels.collect(), to).unwrap()
}

/// The largest distance from the exact solution over all points.
fn error(world: &Mixture, method: Method, steps: usize, even_in_t: bool) -> f64 {
    let config =
        SamplerConfig { threshold: Threshold::Off, prediction: Prediction::X0, ..SamplerConfig::new(method) };
    let grid = grid(world, steps, even_in_t);
    let (from, to) = (grid.level(0), grid.level(steps));
    let sampler = Sampler::on_grid(&world.schedule, &config, grid).unwrap();
    let x = Tensor::from_slice(&points()).view([1, 1, 1, -1]);
    let model = |x: &Tensor, t: &Tensor| world.x_0(x, t);
    let noise = Noise { seed: 0, first_index: 0 };
    let got =
        Vec::<f64>::try_from(sampler.sample(&model, &x, &noise, &mut |_| Ok(())).unwrap().view(-1)).unwrap();
    let exact = points().into_iter().map(|x| world.flow(x, &from, &to));
    got.iter().zip(exact).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
}

/// Least-squares slope of `-ln error` over `ln steps`.
pub(crate) fn order(errors: &[(usize, f64)]) -> f64 {
    let points: Vec<(f64, f64)> =
        errors.iter().map(|(steps, error)| ((*steps as f64).ln(), -error.ln())).collect();
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn fitted(method: Method, even_in_t: bool) -> (f64, Vec<(usize, f64)>) {
    let world = world();
    let errors: Vec<_> =
        [40, 80, 160, 320].map(|steps| (steps, error(&world, method, steps, even_in_t))).into();
    (order(&errors), errors)
}

fn assert_order(method: Method, even_in_t: bool, range: std::ops::Range<f64>) {
    let (order, errors) = fitted(method, even_in_t);
    assert!(range.contains(&order), "{method:?}: order {order:.2} is not in {range:?}: {errors:?}");
    assert!(errors[3].1 < 2e-2, "{method:?}: {errors:?}");
}

fn dpmpp(order: usize, correction: Correction) -> DpmPp {
    DpmPp { correction, lower_order_final: false, ..DpmPp::multistep(order) }
}

#[test]
fn first_order() {
    let none = ChurnSettings::NONE;
    for method in [
        Method::Ddim { eta: 0.0 },
        Method::Euler { churn: none },
        Method::EulerAncestral { eta: 0.0 },
        Method::DpmPp(dpmpp(1, Correction::Midpoint)),
        Method::Deis(Deis { order: 1, lower_order_final: false }),
    ] {
        for even_in_t in [false, true] {
            assert_order(method, even_in_t, 0.9..1.2);
        }
    }
}

#[test]
fn second_order() {
    for method in [
        Method::Heun { churn: ChurnSettings::NONE },
        Method::DpmPp(dpmpp(2, Correction::Midpoint)),
        Method::DpmPp(dpmpp(2, Correction::Taylor)),
        Method::Deis(Deis { order: 2, lower_order_final: false }),
    ] {
        for even_in_t in [false, true] {
            assert_order(method, even_in_t, 1.8..2.6);
        }
    }
    // PNDM's weights assume even times.
    assert_order(Method::Pndm { runge_kutta: false }, true, 1.8..4.5);
    assert_order(Method::Pndm { runge_kutta: true }, true, 1.8..4.5);
}

#[test]
fn third_order() {
    for method in [
        Method::DpmPp(dpmpp(3, Correction::Taylor)),
        Method::Deis(Deis { order: 3, lower_order_final: false }),
    ] {
        for even_in_t in [false, true] {
            assert_order(method, even_in_t, 2.5..3.9);
        }
    }
}

/// The corrector raises the order by one (Zhao et al. 2023, Theorem 3.1).
#[test]
fn unipc_gains_an_order() {
    for b in [BFunction::H, BFunction::ExpM1] {
        for p in 1..=3_u8 {
            let settings = UniPc { b, lower_order_final: false, ..UniPc::of_order(usize::from(p)) };
            let order = f64::from(p);
            assert_order(
                Method::UniPc(UniPc { correct: false, ..settings }),
                false,
                order - 0.2..order + 0.8,
            );
            assert_order(Method::UniPc(settings), false, order + 0.7..order + 2.0);
        }
    }
}

/// The third-order step as published gives the second derivative half its weight, which costs an order.
#[test]
fn half_the_second_derivative_is_not_third_order() {
    let published = DpmPp { half_third: true, ..dpmpp(3, Correction::Taylor) };
    assert_order(Method::DpmPp(published), false, 1.7..2.4);
    let world = world();
    let error = |settings| error(&world, Method::DpmPp(settings), 80, false);
    assert!(error(published) > 3.0 * error(dpmpp(3, Correction::Taylor)));
}

/// Whole chains as users run them, from pure noise to the data: more steps are better, and 50 are good.
#[test]
fn whole_chains_approach_the_flow() {
    let world = world();
    let (from, to) = (world.schedule.level_at(999.0).unwrap(), sampler::Level::DATA);
    let x = Tensor::from_slice(&points()).view([1, 1, 1, -1]);
    let model = |x: &Tensor, t: &Tensor| world.x_0(x, t);
    let noise = Noise { seed: 0, first_index: 0 };
    for name in Method::NAMES {
        let method: Method = name.parse().unwrap();
        if method.is_stochastic() {
            continue;
        }
        let error = |steps: usize| {
            let times = if matches!(method, Method::Pndm { .. }) { "trailing" } else { "log-snr" };
            let config = SamplerConfig {
                steps: Some(steps),
                times: times.parse::<Times>().unwrap(),
                end: End::Data,
                threshold: Threshold::Off,
                prediction: Prediction::X0,
                ..SamplerConfig::new(method)
            };
            let sampler = Sampler::new(&world.schedule, &config).unwrap();
            let got = sampler.sample(&model, &x, &noise, &mut |_| Ok(())).unwrap();
            let got = Vec::<f64>::try_from(got.view(-1)).unwrap();
            let exact = points().into_iter().map(|x| world.flow(x, &from, &to));
            got.iter().zip(exact).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
        };
        let errors = [10, 20, 50].map(error);
        assert!(errors[2] < errors[0], "{name}: {errors:?}");
        assert!(errors[2] < 0.1, "{name}: {errors:?}");
    }
}
