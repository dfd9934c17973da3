//! Learned variances (Nichol & Dhariwal 2021): the hybrid loss `L_simple + 0.001 T L_t` and the bound `T L_t` alone, with `L_t` in
//! bits per dimension at the drawn step, and what they do to which half of the output's channels.

use schedule::{Level, NoisePath, Prediction, Schedule};
use tch::{Device, Kind, Tensor};
use trainer::{
    Batch, BoxError, Draw, LearnedVariance, Loss, LossHistory, Share, TimeSampling, TrainConfig, Trainer,
};

use crate::by_loss::{IMAGES, STEPS, next_draw};
use crate::support::{config, step_once};
use crate::{PIXELS, SEED, SHAPE, SIGMA_DATA, short_chain};

/// The network: `F = w_0 c_in x_t + w_1`, and `w_2 c_in x_t + w_3` for the variance.
const WEIGHTS: [f64; 4] = [0.25, -0.125, 0.3, 0.1];
/// Half the distance of two grey levels.
const HALF_GREY: f64 = 1.0 / 255.0;

/// Images with pixels of every kind: black, white, and between.
fn images() -> Tensor {
    let x = Tensor::arange(SHAPE.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * 0.9;
    (x.sin() * 1.3).clamp(-1.0, 1.0).view(SHAPE)
}

/// `c_in`, and the weights of x_t and F in x_0, from the papers' equations on a chain.
fn form(prediction: Prediction, level: &Level) -> (f64, f64, f64) {
    let Level { alpha, sigma, .. } = *level;
    match prediction {
        Prediction::Eps => (1.0, 1.0 / alpha, -sigma / alpha),
        Prediction::X0 => (1.0, 0.0, 1.0),
        Prediction::V => (1.0, alpha, -sigma),
        Prediction::Velocity => (1.0, 1.0 / (alpha + sigma), -sigma / (alpha + sigma)),
        Prediction::Edm { sigma_data } => {
            let total = (alpha * sigma_data).powi(2) + sigma * sigma;
            (total.powf(-0.5), alpha * sigma_data * sigma_data / total, sigma * sigma_data / total.sqrt())
        }
        other => panic!("{other}"),
    }
}

/// Distribution and density of the standard normal.
fn normal(z: f64) -> (f64, f64) {
    let below = f64::try_from(Tensor::from_slice(&[z]).special_ndtr()).unwrap();
    (below, (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt())
}

/// A step of the chain by the tables of Ho et al. 2020: the weight of x_0 in the posterior's mean (Eq. 7), and the logarithms of
/// its variance and of beta. The first variance is 0, so that of the second step stands for it.
fn step(path: &dyn NoisePath, level: &Level) -> (f64, f64, f64) {
    let tables = |t: f64| {
        let alpha_bar = path.level_at(t).unwrap().alpha.powi(2);
        let before = if t < 1.0 { 1.0 } else { path.level_at(t - 1.0).unwrap().alpha.powi(2) };
        let beta = 1.0 - alpha_bar / before;
        (beta, before.sqrt() * beta / (1.0 - alpha_bar), beta * (1.0 - before) / (1.0 - alpha_bar))
    };
    let (beta, of_x_0, variance) = tables(level.t);
    let variance = if level.t < 1.0 { tables(1.0).2 } else { variance };
    (of_x_0, variance.ln(), beta.ln())
}

/// `L_t` of a pixel in nats, and its derivatives by the predicted image and by the log variance.
fn bound(is_first: bool, (x_0, predicted): (f64, f64), of_x_0: f64, least: f64, log: f64) -> (f64, f64, f64) {
    if !is_first {
        // KL of two Gaussians.
        let gap = of_x_0 * (predicted - x_0);
        let ratio = (least.exp() + gap * gap) / log.exp();
        return (0.5 * (log - least + ratio - 1.0), gap * of_x_0 / log.exp(), 0.5 * (1.0 - ratio));
    }
    // The probability of a grey level under N(predicted, e^log); black and white have all beyond them.
    let deviation = (log / 2.0).exp();
    let edge = |edge: f64| (x_0 - predicted + edge) / deviation;
    let (upper, lower) = (edge(HALF_GREY), edge(-HALF_GREY));
    let (above, at_upper) = if x_0 > 0.999 { (1.0, 0.0) } else { normal(upper) };
    let (below, at_lower) = if x_0 < -0.999 { (0.0, 0.0) } else { normal(lower) };
    // From the tail on its own side, where the difference would lose its digits.
    let probability = if x_0 > 0.999 { normal(-lower).0 } else { above - below };
    let by_mean = (at_lower - at_upper) / deviation;
    let by_log = (lower * at_lower - upper * at_upper) / 2.0;
    if probability < 1e-12 {
        return (-(1e-12_f64.ln()), 0.0, 0.0);
    }
    (-probability.ln(), -by_mean / probability, -by_log / probability)
}

/// The loss of a batch and its derivative by each weight.
fn wanted(
    path: &dyn NoisePath,
    settings: &TrainConfig,
    draw: &Draw,
    x_0: &[f64],
    weights: [f64; 4],
) -> (f64, [f64; 4]) {
    let (images, pixels) = (draw.levels.len(), draw.noise.len() / draw.levels.len());
    let of_bound = match settings.loss {
        Loss::Vlb => 1.0,
        _ => settings.vlb_weight.unwrap_or(0.001),
    };
    let (mut loss, mut gradient) = (0.0, [0.0; 4]);
    for (image, (level, often)) in draw.levels.iter().zip(&draw.oversampled).enumerate() {
        let (c_in, skip, out) = form(settings.output(), level);
        let (of_x_0, least, most) = step(path, level);
        let share = 1.0 / (often * (images * pixels) as f64);
        let of_bits = share * of_bound * path.steps() as f64 / 2_f64.ln();
        // An error of F is one of eps by this factor.
        let in_eps = level.alpha * out / level.sigma;
        for (&x_0, &eps) in x_0.iter().zip(&draw.noise).skip(image * pixels).take(pixels) {
            let eps = f64::from(eps);
            let x_t = level.alpha * x_0 + level.sigma * eps;
            let seen = c_in * x_t;
            let (output, said) = (weights[0] * seen + weights[1], weights[2] * seen + weights[3]);
            let log = least + (said + 1.0) / 2.0 * (most - least);
            let predicted = skip * x_t + out * output;
            let (nats, by_image, by_log) = bound(level.t < 1.0, (x_0, predicted), of_x_0, least, log);

            let by_said = of_bits * by_log * (most - least) / 2.0;
            let by_output = if settings.loss == Loss::Vlb {
                of_bits * by_image * out
            } else {
                // The error of x_0 through `out` is that of F; the bound's own derivative is left out.
                let error = (predicted - x_0) / out;
                loss += share * (in_eps * error).powi(2);
                share * in_eps * in_eps * 2.0 * error
            };
            loss += of_bits * nats;
            for (sum, slope) in
                gradient.iter_mut().zip([by_output * seen, by_output, by_said * seen, by_said])
            {
                *sum += slope;
            }
        }
    }
    (loss, gradient)
}

/// The parameters of the network, f32 as Adam has them, and the network.
fn network(
    weights: &Tensor,
    learned: bool,
) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + '_ {
    move |x, _, _| {
        let w = weights.to_kind(Kind::Double);
        let output = x * w.get(0) + w.get(1);
        let said = x * w.get(2) + w.get(3);
        Ok(if learned { Tensor::cat(&[output, said], 1) } else { output })
    }
}

fn parameters() -> Tensor {
    Tensor::from_slice(&WEIGHTS.map(|w| w as f32)).set_requires_grad(true)
}

/// The loss of the first step and its derivative by each weight, as the engine has them.
fn stepped(path: &dyn NoisePath, settings: &TrainConfig, queued: bool) -> (f64, Vec<f64>) {
    let weights = parameters();
    let model = network(&weights, settings.variance == LearnedVariance::Learned);
    let (report, gradient) = step_once(&weights, (path, settings, SEED), images(), model, queued);
    (report.loss, gradient)
}

fn learned(prediction: Prediction, loss: Loss) -> TrainConfig {
    let sigma_data = matches!(prediction, Prediction::Edm { .. }).then_some(SIGMA_DATA);
    let variance = LearnedVariance::Learned;
    TrainConfig { prediction, sigma_data, variance, loss, grad_clip: 1e9, ..config(3) }
}

fn close(got: (f64, &[f64]), want: (f64, [f64; 4]), what: &str) {
    assert!((got.0 / want.0 - 1.0).abs() < 1e-6, "{what}: {} is not {}", got.0, want.0);
    // The engine adds the gradients of parts of a batch in f32.
    let scale = want.1.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (got, want) in got.1.iter().zip(want.1) {
        assert!((got - want).abs() < 1e-6 * scale, "{what}: {got} is not {want}");
    }
}

#[test]
fn both_losses_and_their_gradients_are_those_of_the_formulas() {
    let without_signal = short_chain().with_zero_terminal_snr().unwrap();
    let share = Share::whole(SHAPE[0] as usize);
    let x_0 = Vec::<f64>::try_from(images().view(-1)).unwrap();
    assert!(x_0.contains(&1.0) && x_0.contains(&-1.0));
    for (name, path) in
        [("short", &short_chain()), ("no signal", &without_signal), ("ddpm", &Schedule::ddpm())]
    {
        for prediction in Prediction::NAMES.iter().map(|name| name.parse::<Prediction>().unwrap()) {
            if prediction.form(&path.noisiest().unwrap()).is_err() {
                assert_eq!((name, prediction), ("no signal", Prediction::Eps));
                continue;
            }
            for loss in [Loss::Squared, Loss::Vlb] {
                for (vlb_weight, micro_batch) in [(None, 0), (Some(0.02), 3)] {
                    let vlb_weight = vlb_weight.filter(|_| loss != Loss::Vlb);
                    let settings = TrainConfig { vlb_weight, micro_batch, ..learned(prediction, loss) };
                    let draw =
                        Draw::new(path, &settings, &LossHistory::default(), (&share, PIXELS), (SEED, 0));
                    let draw = draw.unwrap();
                    assert!(name == "ddpm" || draw.levels[0].t == 0.0, "no image is at the first step");
                    let want = wanted(path, &settings, &draw, &x_0, WEIGHTS.map(|w| f64::from(w as f32)));
                    for queued in [false, true] {
                        let (got, gradient) = stepped(path, &settings, queued);
                        close((got, &gradient), want, &format!("{name}, {prediction}, {loss:?}"));
                    }
                }
            }
        }
    }
}

/// The mean is detached in the bound of the hybrid loss. So the gradient of the mean's half of the channels has the same bits for
/// any weight of the bound, and the value that it has without a learned variance; that of the other half is in proportion to
/// the weight.
#[test]
fn the_bound_of_the_hybrid_loss_leaves_the_mean_alone() {
    let chain = short_chain();
    let gradient = |settings: &TrainConfig| stepped(&chain, settings, false).1;
    let plain = learned(Prediction::Eps, Loss::Squared);
    let of_weight = |weight: f64| gradient(&TrainConfig { vlb_weight: Some(weight), ..plain.clone() });
    let (small, usual, large) = (of_weight(1e-6), of_weight(1e-3), of_weight(1e3));
    let fixed = gradient(&TrainConfig { variance: LearnedVariance::Fixed, ..plain.clone() });
    assert!(fixed[0].abs() > 0.01 && fixed[2..] == [0.0, 0.0], "{fixed:?}");
    for other in [&usual, &large] {
        assert_eq!(other[..2], small[..2]);
    }
    for (with, without) in small[..2].iter().zip(&fixed) {
        assert!((with / without - 1.0).abs() < 1e-6, "{small:?} {fixed:?}");
    }
    assert_eq!(gradient(&plain), usual, "0.001 is the default");
    for (usual, large) in usual[2..].iter().zip(&large[2..]) {
        assert!(usual.abs() > 1e-9 && (large / usual / 1e6 - 1.0).abs() < 1e-5, "{usual} {large}");
    }
    // Alone, the bound trains the mean as well.
    let bound = gradient(&learned(Prediction::Eps, Loss::Vlb));
    assert!(bound[0].abs() > 0.01 && bound[..2] != fixed[..2], "{bound:?}");
}

/// With levels drawn by loss both parts of either loss are divided by how often the level is drawn.
#[test]
fn the_bound_is_divided_by_how_often_a_level_is_drawn() {
    let schedule = Schedule::ddpm();
    let x_0 = Tensor::ones([IMAGES as i64, 1, 1, 1], (Kind::Double, Device::Cpu)) * 0.5;
    for loss in [Loss::Squared, Loss::Vlb] {
        let time_sampling = TimeSampling::ByLoss;
        let plain = learned(Prediction::V, loss);
        let settings = TrainConfig { time_sampling, batch: IMAGES, steps: 60, lr: 1e-4, ..plain };
        let weights = parameters();
        let params = vec![("w".to_owned(), weights.shallow_clone())];
        let mut trainer = Trainer::new(&params, &schedule, &settings, SEED, Device::Cpu).unwrap();
        let model = network(&weights, true);
        let batch = || Batch { images: x_0.shallow_clone(), labels: None };
        for _ in 0..STEPS {
            trainer.train_step(&batch(), &model).unwrap();
        }
        let draw = next_draw(&trainer, &schedule, &settings);
        let mut now = [0.0; 4];
        for (index, weight) in now.iter_mut().enumerate() {
            *weight = weights.double_value(&[index as i64]);
        }
        let want = wanted(&schedule, &settings, &draw, &[0.5; IMAGES], now);
        let report = trainer.train_step(&batch(), &model).unwrap();
        let gradient = Vec::<f64>::try_from(weights.grad().to_kind(Kind::Double)).unwrap();
        close((report.loss, &gradient), want, &format!("{loss:?}"));
    }
}
