//! From data to noise and back: the encoder follows the flow with its solver's order, and decoding returns the data.

use sampler::{
    ChurnSettings, Encoder, End, Method, Noise, Prediction, Sampler, SamplerConfig, Threshold, Times,
};
use schedule::Level;
use tch::Tensor;

use crate::orders::order;
use crate::world::{Mixture, Part};

const DDIM: Method = Method::Ddim { eta: 0.0 };
const HEUN: Method = Method::Heun { churn: ChurnSettings::NONE };

fn mixture() -> Mixture {
    Mixture::new([
        Part { weight: 0.3, mean: -0.6, deviation: 0.25 },
        Part { weight: 0.7, mean: 0.5, deviation: 0.4 },
    ])
}

fn pixels() -> Vec<f64> {
    (-6..=6).map(|k| f64::from(k) / 6.0).collect()
}

fn config(method: Method, times: Times, steps: usize) -> SamplerConfig {
    SamplerConfig {
        steps: Some(steps),
        times,
        end: End::FirstStep,
        threshold: Threshold::Off,
        prediction: Prediction::X0,
        ..SamplerConfig::new(method)
    }
}

/// `x_T` of all pixels.
fn encoded(world: &Mixture, config: &SamplerConfig) -> Tensor {
    let x = Tensor::from_slice(&pixels()).view([1, 1, 1, -1]);
    let model = |x: &Tensor, t: &Tensor| world.x_0(x, t);
    Encoder::new(&world.schedule, config).unwrap().encode(&model, &x, &mut |_| Ok(())).unwrap()
}

fn decoded(world: &Mixture, config: &SamplerConfig, x_t: &Tensor) -> Tensor {
    let model = |x: &Tensor, t: &Tensor| world.x_0(x, t);
    let noise = Noise { seed: 0, first_index: 0 };
    Sampler::new(&world.schedule, config).unwrap().sample(&model, x_t, &noise, &mut |_| Ok(())).unwrap()
}

fn worst(got: &Tensor, want: impl Iterator<Item = f64>) -> f64 {
    let got = Vec::<f64>::try_from(got.view(-1)).unwrap();
    got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
}

fn round_trip(world: &Mixture, config: &SamplerConfig) -> f64 {
    worst(&decoded(world, config, &encoded(world, config)), pixels().into_iter())
}

#[test]
fn encoding_has_the_order_of_the_solver() {
    let world = mixture();
    let (from, to) = (world.schedule.level_at(0.0).unwrap(), world.schedule.level_at(999.0).unwrap());
    let exact: Vec<f64> = pixels().iter().map(|&x| world.flow(x, &from, &to)).collect();
    for (method, expected) in [(DDIM, 0.9..1.1), (HEUN, 1.8..2.2)] {
        let errors = [50, 100, 200].map(|steps| {
            let x_t = encoded(&world, &config(method, Times::LogSnr { whole: false }, steps));
            (steps, worst(&x_t, exact.iter().copied()))
        });
        let got = order(&errors);
        assert!(expected.contains(&got), "{method}: order {got:.2}, {errors:?}");
        // In a round trip the errors of both directions add up or, for Heun's method, nearly cancel.
        let trips = [50, 100, 200]
            .map(|steps| (steps, round_trip(&world, &config(method, Times::LogSnr { whole: false }, steps))));
        let got = order(&trips);
        assert!(
            got > expected.start && trips.iter().zip(errors).all(|(trip, up)| trip.1 < up.1),
            "{trips:?}"
        );
    }
}

/// At the same number of network calls, and with the program's times, Heun's error is at most a tenth of DDIM's.
#[test]
fn two_calls_a_step_are_worth_it() {
    let world = mixture();
    for times in ["trailing", "linspace", "log-snr"] {
        let times: Times = times.parse().unwrap();
        let (ddim, heun) = (
            round_trip(&world, &config(DDIM, times.clone(), 100)),
            round_trip(&world, &config(HEUN, times.clone(), 50)),
        );
        assert!(heun < 0.1 * ddim && heun < 1e-3, "{times}: {ddim} {heun}");
    }
}

/// Decoding to the data removes the noise of t = 0, which was part of the encoded image: a tenth of a grey level, if
/// the chain passes t = 0. A chain that goes to the data from t = 19 in one step, as `trailing` with 50 does, removes
/// more.
#[test]
fn decoding_ends_where_encoding_began() {
    let world = mixture();
    let to_data = |times: Times| {
        let there = config(HEUN, times, 50);
        let x_t = encoded(&world, &there);
        let back = |end| {
            worst(&decoded(&world, &SamplerConfig { end, ..there.clone() }, &x_t), pixels().into_iter())
        };
        (back(End::FirstStep), back(End::Data))
    };
    let ((same, data), (same_long, data_long)) =
        (to_data("linspace".parse().unwrap()), to_data("trailing".parse().unwrap()));
    assert!(same < 1e-3 && data < 3e-3, "{same} {data}");
    assert!(same_long < 1e-3 && data_long > 10.0 * same_long, "{same_long} {data_long}");
}

/// For a single Gaussian the flow keeps every pixel's distance from the mean in standard deviations: N(mu, s^2) is
/// encoded as N(alpha_T mu, 1), pixel by pixel.
#[test]
fn gaussian_data_becomes_standard_normal() {
    let part = Part { weight: 0.5, mean: 0.3, deviation: 0.5 };
    let world = Mixture::new([part, part]);
    let scaled = |x: f64, level: Level| {
        let deviation = (level.alpha * part.deviation).hypot(level.sigma);
        (x - level.alpha * part.mean) / deviation
    };
    let (from, to) = (world.schedule.level_at(0.0).unwrap(), world.schedule.level_at(999.0).unwrap());
    for (method, bound) in [(DDIM, 2e-2), (HEUN, 2e-4)] {
        let x_t = encoded(&world, &config(method, Times::LogSnr { whole: false }, 400));
        let numbers: Vec<f64> = Vec::try_from(x_t.view(-1)).unwrap();
        let error = numbers.iter().zip(pixels()).map(|(x_t, x)| (scaled(*x_t, to) - scaled(x, from)).abs());
        let error = error.fold(0.0, f64::max);
        assert!(error < bound, "{method}: {error}");
    }
}
