//! Easy consistency tuning (Geng et al. 2024): the network's image from a level should be its image from a level below, on the
//! same line from image to noise. The gap between the two is halved again and again over the run, so that at its end all levels
//! of a line lead to one image, and a single call answers for any of them.

use config::TrainConfig;
use schedule::{Level, NoisePath, Prediction};
use tch::{Reduction, Tensor};

use crate::algorithm::{Asked, Losses, predict};
use crate::error::TrainerError;
use crate::numbers::Row;
use crate::parts::Noised;
use crate::step::Model;

/// How much wider the gap of low levels is, and how fast that fades with the level (their k and b, Sec. 4).
const WIDER: f64 = 8.0;
const FADES: f64 = 1.0;
/// Of the root of how many values an image has: below this the loss is a square and its gradient fades (Song & Dhariwal 2023,
/// Sec. 3.3).
const SOFT: f64 = 0.00054;
/// Below what any two steps of a chain differ by.
const LEAST_GAP: f64 = 1e-6;

/// The level that the image of `level` is compared with at a step of the run: first the data itself or half of the noise, later
/// ever nearer to `level`.
pub(crate) fn below(
    path: &dyn NoisePath,
    config: &TrainConfig,
    level: &Level,
    step: u64,
) -> Result<Level, TrainerError> {
    let halvings = config.halvings();
    let done = (step as f64 / config.steps.max(1) as f64 * f64::from(halvings)).floor();
    let gap = 0.5_f64.powf((done + 1.0).min(f64::from(halvings)));
    let ratio = level.ratio();
    let wider = 1.0 + WIDER / (1.0 + (FADES * ratio).exp());
    let share = 1.0 - gap * wider;
    // A level without any signal has no number to take a share of: the noisiest that has one stands for it.
    let ratio = if ratio.is_finite() { ratio } else { path.level_at((level.t - 1.0).max(0.0))?.ratio() };
    let lowest = path.level_at(0.0)?;
    if share <= 0.0 || share * ratio <= lowest.ratio() {
        return Ok(Level::DATA);
    }
    let below = path.level_of_ratio(share * ratio)?;
    if !path.is_discrete() {
        return Ok(below);
    }
    // Whole steps alone are what the network knows, and another one than the level itself.
    let t = below.t.round().min(level.t - 1.0);
    Ok(if t < 0.0 { Level::DATA } else { path.level_at(t)? })
}

/// The numbers of an image's two levels. Of data the answer is the data, whatever the network says.
pub(crate) fn numbers(
    output: Prediction,
    (level, below): (&Level, &Level),
    more_often: f64,
    set: &mut dyn FnMut(Row, f64),
) -> Result<(), TrainerError> {
    let form = output.form(level)?;
    set(Row::Skip, form.skip);
    set(Row::Out, form.out);
    // One over the gap (Sec. 3.2). A level without any signal counts as if it had twice the noise of the other.
    let gap = if level.alpha > 0.0 { level.ratio() - below.ratio() } else { below.ratio().max(1.0) };
    set(Row::Weight, 1.0 / (gap.max(LEAST_GAP) * more_often));
    set(Row::BelowAlpha, below.alpha);
    set(Row::BelowSigma, below.sigma);
    if below.is_data() {
        set(Row::BelowSkip, 1.0);
        return Ok(());
    }
    let form = output.form(below)?;
    set(Row::BelowCIn, output.c_in(below));
    set(Row::BelowSkip, form.skip);
    set(Row::BelowOut, form.out);
    set(Row::BelowT, below.t);
    Ok(())
}

/// The images that the network predicts from the level below, `[b, c, h, w]`, of which no gradient is taken; `part.target` holds
/// its inputs.
pub(crate) fn goal(
    config: &TrainConfig,
    scales_input: bool,
    part: &Noised,
    model: &Model<'_>,
) -> Result<Tensor, TrainerError> {
    let _no_grad = tch::no_grad_guard();
    let numbers = &part.numbers;
    let t = numbers.row(Row::BelowT)?.f_to_kind(part.t.f_kind()?)?;
    let asked = Asked { x: &part.target, c_in: Row::BelowCIn, t: &t };
    let output = predict(config, scales_input, part, &asked, model)?;
    numbers.sum((Row::BelowSkip, &part.target), (Row::BelowOut, &output))
}

/// How far the images of the outputs `[b, c, h, w]` are from the goal: mean squares, and their roots as they count.
pub(crate) fn losses(part: &Noised, output: &Tensor, goal: &Tensor) -> Result<Losses, TrainerError> {
    let x_0 = part.numbers.sum((Row::Skip, &part.x_t), (Row::Out, output))?;
    let squares = x_0.f_mse_loss(goal, Reduction::None)?;
    let each = squares.f_flatten(1, -1)?.f_mean_dim(1_i64, false, goal.f_kind()?)?;
    let roots = each.f_add_scalar(SOFT * SOFT)?.f_sqrt()?.f_sub_scalar(SOFT)?;
    let weighted = roots.f_mul(&part.numbers.row(Row::Weight)?)?;
    Ok(Losses { each, weighted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use config::Loss;
    use schedule::{Continuous, ContinuousPath, Schedule};

    fn tuning() -> TrainConfig {
        TrainConfig { steps: 800, loss: Loss::Consistency, ..example() }
    }

    fn paths() -> Vec<Box<dyn NoisePath>> {
        let mut paths: Vec<Box<dyn NoisePath>> = vec![Box::new(Schedule::ddpm())];
        paths.push(Box::new(Schedule::ddpm().with_zero_terminal_snr().unwrap()));
        for kind in Continuous::NAMES {
            paths.push(Box::new(ContinuousPath::new(kind.parse().unwrap(), 1000).unwrap()));
        }
        paths
    }

    /// From the data or half of the noise on, ever nearer, never at the level itself.
    #[test]
    fn the_level_below_comes_nearer() {
        for path in paths() {
            for share in [1e-4, 0.01, 0.3, 0.7, 0.98] {
                let level = path.level_of_share(share).unwrap();
                let level = if path.is_discrete() { path.level_at(level.t.round()).unwrap() } else { level };
                let at = |step| below(&*path, &tuning(), &level, step).unwrap();
                let mut last = Level::DATA;
                for step in 0..800 {
                    let below = at(step);
                    assert!(below.ratio() < level.ratio(), "{share}, {step}: {below:?} of {level:?}");
                    assert!(below.ratio() >= last.ratio(), "{share}, {step}");
                    assert!(!path.is_discrete() || below.t.fract() == 0.0);
                    last = below;
                }
                // To whole steps, where there are some.
                assert!(at(0).ratio() <= level.ratio() * if path.is_discrete() { 0.6 } else { 0.5 } + 1e-9);
            }
        }
        let path = ContinuousPath::new("edm".parse().unwrap(), 1000).unwrap();
        let level = path.level_of_ratio(10.0).unwrap();
        let last = below(&path, &tuning(), &level, 799).unwrap();
        // 1/256, and a thousandth of that for the wider gap of low levels.
        assert!((last.ratio() / 10.0 - (1.0 - 1.0 / 256.0)).abs() < 1e-5, "{last:?}");
        // Beyond the end of the run it stays.
        assert_eq!(below(&path, &tuning(), &level, 10_000).unwrap(), last);
    }

    /// An image that is known at every level costs nothing, and the data answers for itself at t = -1.
    #[test]
    fn numbers_of_the_data_itself() {
        for name in schedule::Prediction::NAMES {
            let output: Prediction = name.parse().unwrap();
            let level = Schedule::ddpm().level_at(30.0).unwrap();
            let mut rows = Vec::new();
            numbers(output, (&level, &Level::DATA), 2.0, &mut |row, value| rows.push((row, value))).unwrap();
            let of = |row| rows.iter().find(|(r, _)| *r == row).map_or(0.0, |(_, value)| *value);
            assert_eq!((of(Row::BelowSkip), of(Row::BelowOut), of(Row::BelowAlpha)), (1.0, 0.0, 1.0));
            assert!((of(Row::Weight) * level.ratio() * 2.0 - 1.0).abs() < 1e-12);
        }
    }
}
