//! Loss and gradient of consistency tuning against its formula written out here, and that tuning makes one image of a line.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use schedule::{Continuous, ContinuousPath, Level, NoisePath, Prediction, Schedule};
use support::{config, step_once};
use tch::{Device, Kind, Tensor};
use trainer::{Batch, BoxError, Draw, Loss, LossHistory, LrDecay, Share, TimeSampling, TrainConfig, Trainer};

const SEED: u64 = 5;
const SHAPE: [i64; 4] = [7, 1, 2, 3];
const PIXELS: usize = 6;
/// The network: `F = w_0 x_t + w_1 t / 1000`.
const WEIGHTS: [f64; 2] = [0.25, -0.125];

/// Every step seeds libtorch's generator, which the whole process shares: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn images() -> Tensor {
    (Tensor::arange(SHAPE.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * 0.9).sin().view(SHAPE)
}

/// `x_0` of an output from the papers' own equations, for paths whose input is not scaled.
fn image(prediction: Prediction, level: &Level, x: f64, output: f64) -> f64 {
    let Level { alpha, sigma, .. } = *level;
    match prediction {
        Prediction::Eps => (x - sigma * output) / alpha,
        Prediction::X0 => output,
        Prediction::V => (alpha * x - alpha.hypot(sigma) * sigma * output) / (alpha * alpha + sigma * sigma),
        Prediction::Velocity => (x - sigma * output) / (alpha + sigma),
        other => panic!("{other}"),
    }
}

/// The slope of that in the output.
fn slope(prediction: Prediction, level: &Level) -> f64 {
    image(prediction, level, 0.0, 1.0)
}

fn tuning(steps: u64) -> TrainConfig {
    TrainConfig {
        loss: Loss::Consistency,
        time_sampling: TimeSampling::LogNormal,
        grad_clip: 1e9,
        ..config(steps)
    }
}

fn check(path: &dyn NoisePath, settings: &TrainConfig, queued: bool) {
    let share = Share::whole(SHAPE[0] as usize);
    let draw = Draw::new(path, settings, &LossHistory::default(), (&share, PIXELS), (SEED, 0)).unwrap();
    let x_0 = Vec::<f64>::try_from(images().view(-1)).unwrap();
    let output = |level: &Level, x: f64| WEIGHTS[0] * x + WEIGHTS[1] * level.t / 1000.0;
    let (mut loss, mut gradient) = (0.0, [0.0; 2]);
    for (image_index, (level, below)) in draw.levels.iter().zip(&draw.below).enumerate() {
        let (mut square, mut slopes) = (0.0, [0.0; 2]);
        for (x_0, eps) in x_0.iter().zip(&draw.noise).skip(image_index * PIXELS).take(PIXELS) {
            let at = |level: &Level| level.alpha * x_0 + level.sigma * f64::from(*eps);
            let goal = match below.is_data() {
                true => *x_0,
                false => image(settings.prediction, below, at(below), output(below, at(below))),
            };
            let d = image(settings.prediction, level, at(level), output(level, at(level))) - goal;
            square += d * d / PIXELS as f64;
            let by_output = 2.0 * d * slope(settings.prediction, level) / PIXELS as f64;
            slopes[0] += by_output * at(level);
            slopes[1] += by_output * level.t / 1000.0;
        }
        // c = 0.00054 sqrt(PIXELS), over roots of sums of squares; both divided by sqrt(PIXELS).
        let root = (square + 0.00054_f64.powi(2)).sqrt();
        let counts = 1.0 / ((level.sigma / level.alpha - below.sigma / below.alpha) * SHAPE[0] as f64);
        loss += counts * (root - 0.00054);
        gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += counts * slope / (2.0 * root));
    }

    let weights = Tensor::from_slice(&WEIGHTS.map(|w| w as f32)).set_requires_grad(true);
    let model = |x: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let weights = weights.to_kind(Kind::Double);
        Ok(x * weights.get(0) + t.to_kind(Kind::Double).view([-1, 1, 1, 1]) / 1000.0 * weights.get(1))
    };
    let (report, got) = step_once(&weights, (path, settings, SEED), images(), model, queued);
    let name = format!("{}, queued {queued}, {} halvings", settings.prediction, settings.halvings());
    assert!((report.loss / loss - 1.0).abs() < 1e-5, "{name}: {} is not {loss}", report.loss);
    for (got, want) in got.iter().zip(gradient) {
        assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{name}: {got} is not {want}");
    }
}

#[test]
fn loss_and_gradient_are_those_of_the_formula() {
    let _alone = alone();
    let straight = ContinuousPath::new(Continuous::Straight, 1000).unwrap();
    let cosine = ContinuousPath::new(Continuous::Cosine, 1000).unwrap();
    let chain = Schedule::ddpm();
    for path in [&chain as &dyn NoisePath, &straight, &cosine] {
        for prediction in ["eps", "x_0", "v", "velocity"] {
            // At step 0 of a run of one step the gap is that after the first halving.
            for micro_batch in [0, 3] {
                let settings =
                    TrainConfig { prediction: prediction.parse().unwrap(), micro_batch, ..tuning(1) };
                check(path, &settings, false);
                check(path, &settings, true);
            }
        }
    }
}

/// The generator that dropout draws from gives both calls of a step the same numbers, and goes on as after one of them.
#[test]
fn both_calls_see_the_same_dropout() {
    let _alone = alone();
    let path = ContinuousPath::new(Continuous::Straight, 1000).unwrap();
    let weight = Tensor::from_slice(&[0.1_f32]).set_requires_grad(true);
    let params = vec![("w".to_owned(), weight.shallow_clone())];
    let settings = TrainConfig { prediction: Prediction::Velocity, micro_batch: 4, ..tuning(1) };
    let mut trainer = Trainer::new(&params, &path, &settings, SEED, Device::Cpu).unwrap();
    let drawn = std::cell::RefCell::new(Vec::new());
    let model = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        drawn.borrow_mut().push(f64::try_from(Tensor::rand([1], (Kind::Double, Device::Cpu)))?);
        Ok(x.to_kind(Kind::Double) * &weight)
    };
    trainer.train_step(&Batch { images: images(), labels: None }, &model).unwrap();
    let drawn = drawn.into_inner();
    assert_eq!(drawn.len(), 4);
    assert!(drawn[0] == drawn[1] && drawn[2] == drawn[3] && drawn[0] != drawn[2], "{drawn:?}");
}

/// Images of one number `x_0 ~ N(0, 1/4)`: the flow of a straight path leads from `x_1 ~ N(0, 1)` to `x_1 / 2`. A network with the
/// right form, a velocity `h(t) x_t`, that starts as the best denoiser (whose image of noise is 0), ends at that map.
#[test]
fn tuning_turns_the_mean_into_the_end_of_the_flow() {
    let _alone = alone();
    const BINS: i64 = 41;
    let path = ContinuousPath::new(Continuous::Straight, 1000).unwrap();
    let deviation = 0.5_f64;
    let at = |t: f64| (1.0 - t, t);
    let denoiser: Vec<f32> = (0..BINS)
        .map(|bin| {
            let t = (bin as f64 / (BINS - 1) as f64).max(1e-3);
            let (alpha, sigma) = at(t);
            let variance = (alpha * deviation).powi(2) + sigma * sigma;
            ((1.0 - alpha * deviation * deviation / variance) / t) as f32
        })
        .collect();
    let table = Tensor::from_slice(&denoiser).set_requires_grad(true);
    let params = vec![("h".to_owned(), table.shallow_clone())];
    let settings = TrainConfig {
        prediction: Prediction::Velocity,
        lr: 0.01,
        lr_decay: LrDecay::Cosine,
        batch: 512,
        ..tuning(4000)
    };
    let mut trainer = Trainer::new(&params, &path, &settings, SEED, Device::Cpu).unwrap();
    let model = |x: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        // Linear between the bins.
        let place = (t.to_kind(Kind::Double) + 1.0) / 1000.0 * (BINS - 1) as f64;
        let low = place.floor().clamp(0.0, (BINS - 2) as f64);
        let part = (&place - &low).to_kind(Kind::Float);
        let low = low.to_kind(Kind::Int64);
        let (below, above) = (table.index_select(0, &low), table.index_select(0, &(low + 1)));
        let factor = &below + (above - &below) * part;
        Ok(x * factor.view([-1, 1, 1, 1]))
    };
    for step in 0..4000_u64 {
        let mut stream = random::Stream::new(9, random::Purpose::Evaluate, step, 0);
        let numbers: Vec<f32> = stream.normals(512).iter().map(|x| x * deviation as f32).collect();
        let images = Tensor::from_slice(&numbers).view([512, 1, 1, 1]);
        trainer.train_step(&Batch { images, labels: None }, &model).unwrap();
    }
    let learned = Vec::<f32>::try_from(table.detach()).unwrap();
    for (bin, got) in learned.iter().enumerate().skip(4).step_by(4) {
        let t = bin as f64 / (BINS - 1) as f64;
        let (alpha, sigma) = at(t);
        let flow = deviation / ((alpha * deviation).powi(2) + sigma * sigma).sqrt();
        let factor = |h: f32| 1.0 - t * f64::from(h);
        let (got, was) = (factor(*got), factor(denoiser[bin]));
        let off = (got - flow).abs();
        assert!(
            off < 0.1 && off < 0.3 * (was - flow).abs() + 0.02,
            "bin {bin}: {got}, was {was}, flow {flow}"
        );
    }
}
