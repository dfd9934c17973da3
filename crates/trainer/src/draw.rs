//! Draws a noise level and noise for each image of a step, in host memory (Algorithm 1, lines 3 and 4).

use std::ops::Range;

use config::{Loss, TimeSampling, TrainConfig};
use random::{Purpose, Stream};
use schedule::{Level, NoisePath};

use crate::consistency;
use crate::error::TrainerError;
use crate::history::LossHistory;

/// The images of a batch to draw for: all of them, or those of one of several devices.
///
/// Draws depend on the image's place in the whole batch, so it does not matter which device makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Number of images in the whole batch.
    pub of: usize,
    /// The range of images in this share.
    pub images: Range<usize>,
}

impl Share {
    /// All images of a batch.
    #[must_use]
    pub fn whole(images: usize) -> Self {
        Self { of: images, images: 0..images }
    }

    /// The images of one of `size` ranks, which all have as many.
    #[must_use]
    pub fn of_rank(rank: usize, size: usize, images: usize) -> Self {
        Self { of: size * images, images: rank * images..(rank + 1) * images }
    }
}

/// The levels and the noise of some images. They depend only on the seed, the step and the place in the batch, and on earlier
/// losses if those control the levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// A level for each image.
    pub levels: Vec<Level>,
    /// For consistency, the lower level that each level is compared with; otherwise empty.
    pub below: Vec<Level>,
    /// The divisor of each image's loss: how much more often than uniformly its level is drawn. It is 1 except for
    /// [`TimeSampling::ByLoss`].
    pub oversampled: Vec<f64>,
    /// Standard normal numbers, one per value of the images.
    pub noise: Vec<f32>,
}

impl Draw {
    /// Draws for images of `numbers` values each.
    ///
    /// # Errors
    /// [`TrainerError::Schedule`] when the path has no level at a drawn time.
    pub fn new(
        path: &dyn NoisePath,
        config: &TrainConfig,
        history: &LossHistory,
        (share, numbers): (&Share, usize),
        (seed, step): (u64, u64),
    ) -> Result<Self, TrainerError> {
        let mut stream = Stream::new(seed, Purpose::TrainTime, step, 0);
        let odds = if config.time_sampling == TimeSampling::ByLoss { history.odds(step) } else { None };
        let (mut levels, mut oversampled) = (Vec::new(), Vec::new());
        for place in 0..share.images.end {
            let (level, more_often) = match &odds {
                Some(odds) => {
                    let (share, more_often) = odds.share(stream.uniform(), stream.uniform());
                    (path.level_of_share(share)?, more_often)
                }
                None => (level(path, config, &mut stream, (place, share.of))?, 1.0),
            };
            if share.images.contains(&place) {
                levels.push(level);
                oversampled.push(more_often);
            }
        }
        let below = match config.loss {
            Loss::Consistency => levels
                .iter()
                .map(|level| consistency::below(path, config, level, step))
                .collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        Ok(Self { levels, below, oversampled, noise: noise(share, numbers, (seed, step)) })
    }
}

/// The level of the image at a place in the batch.
fn level(
    path: &dyn NoisePath,
    config: &TrainConfig,
    stream: &mut Stream,
    (place, of): (usize, usize),
) -> Result<Level, TrainerError> {
    let (mean, deviation) = config.times();
    let normal = |stream: &mut Stream| mean + deviation * f64::from(stream.normals(1)[0]);
    Ok(match config.time_sampling {
        // Integer steps, all equally likely.
        TimeSampling::Uniform if path.is_discrete() => {
            path.level_at(f64::from(stream.below(path.steps() as u32)))?
        }
        TimeSampling::Uniform | TimeSampling::ByLoss => path.level_of_share(inside(stream.uniform()))?,
        TimeSampling::Stratified => {
            path.level_of_share(inside((place as f64 + stream.uniform()) / of as f64))?
        }
        TimeSampling::LogitNormal => path.level_of_share(inside(1.0 / (1.0 + (-normal(stream)).exp())))?,
        TimeSampling::LogNormal => {
            let level = path.level_of_ratio(normal(stream).exp())?;
            if path.is_discrete() { path.level_at(level.t.round())? } else { level }
        }
    })
}

/// Keeps away from the very ends, where a path has no level.
pub(crate) fn inside(share: f64) -> f64 {
    share.clamp(1e-9, 1.0 - 1e-9)
}

/// The noise of the images of a share: their part of the whole batch's noise.
fn noise(share: &Share, numbers: usize, (seed, step): (u64, u64)) -> Vec<f32> {
    normals_of(share, numbers, Stream::new(seed, Purpose::TrainNoise, step, 0))
}

/// A stream's normal numbers for the images of a share, if every image of the whole batch takes `numbers`.
pub(crate) fn normals_of(share: &Share, numbers: usize, mut stream: Stream) -> Vec<f32> {
    let (first, end) = (share.images.start * numbers, share.images.end * numbers);
    // Normal numbers are generated in pairs.
    let aligned = first & !1;
    stream.skip(aligned as u64);
    let mut noise = stream.normals(end - aligned);
    noise.drain(..first - aligned);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use schedule::{Continuous, ContinuousPath, Schedule};

    fn draw(
        path: &dyn NoisePath,
        time_sampling: TimeSampling,
        share: &Share,
        numbers: usize,
        step: u64,
    ) -> Draw {
        let config = TrainConfig { time_sampling, ..example() };
        Draw::new(path, &config, &LossHistory::default(), (share, numbers), (7, step)).unwrap()
    }

    fn chain(steps: usize) -> Schedule {
        let kind = schedule::BetaSchedule::usual("linear", steps).unwrap();
        Schedule::new(&kind, steps).unwrap()
    }

    #[test]
    fn uniform_times_cover_the_chain_and_stratified_ones_its_parts() {
        let uniform = draw(&chain(10), TimeSampling::Uniform, &Share::whole(10_000), 0, 0);
        for t in 0..10 {
            let count = uniform.levels.iter().filter(|level| level.t == f64::from(t)).count();
            assert!((850..1150).contains(&count), "t = {t} came {count} times in 10000");
        }
        let stratified = draw(&chain(1000), TimeSampling::Stratified, &Share::whole(50), 0, 0);
        assert!(stratified.levels.iter().enumerate().all(|(i, level)| level.t as usize / 20 == i));
        assert!(stratified.levels.iter().all(|level| level.t.fract() == 0.0));
    }

    #[test]
    fn draws_differ_from_step_to_step_and_not_from_call_to_call() {
        let at = |step| draw(&chain(1000), TimeSampling::Uniform, &Share::whole(4), 3, step);
        assert_eq!(at(5), at(5));
        assert_ne!(at(5).levels, at(6).levels);
        assert_ne!(at(5).noise, at(6).noise);
        assert!(at(5).levels.windows(2).any(|pair| pair[0] != pair[1]), "one t for the whole batch");
    }

    /// Holds for any split of a batch, and for images with an odd number of values.
    #[test]
    fn an_image_gets_the_draws_of_its_place_in_the_batch() {
        for sampling in [TimeSampling::Uniform, TimeSampling::Stratified, TimeSampling::LogNormal] {
            let whole = draw(&chain(1000), sampling, &Share::whole(7), 5, 3);
            for images in [0..3, 3..7, 1..2, 4..6] {
                let part = draw(&chain(1000), sampling, &Share { of: 7, images: images.clone() }, 5, 3);
                assert_eq!(part.levels, whole.levels[images.clone()]);
                assert_eq!(part.noise, whole.noise[images.start * 5..images.end * 5]);
            }
        }
    }

    #[test]
    fn normal_draws_have_their_mean_and_deviation() {
        let path = ContinuousPath::new(Continuous::Cosine, 1000).unwrap();
        let count = 20_000_usize;
        let moments = |sampling, of: &dyn Fn(&Level) -> f64| {
            let levels = draw(&path, sampling, &Share::whole(count), 0, 0).levels;
            let mean = levels.iter().map(of).sum::<f64>() / count as f64;
            let variance = levels.iter().map(|level| (of(level) - mean).powi(2)).sum::<f64>() / count as f64;
            (mean, variance.sqrt())
        };
        let (mean, deviation) = moments(TimeSampling::LogNormal, &|level| level.ratio().ln());
        assert!((mean + 1.2).abs() < 0.03 && (deviation - 1.2).abs() < 0.02, "{mean} {deviation}");
        let logit = |level: &Level| {
            let share = (level.t + 1.0) / 1000.0;
            (share / (1.0 - share)).ln()
        };
        let (mean, deviation) = moments(TimeSampling::LogitNormal, &logit);
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }
}
