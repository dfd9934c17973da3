//! How long a training will still take, from the times of its steps, grids and evaluations so far.

use trainer::TrainConfig;

/// Least weight of a new step in the mean, so that a change of speed shows after some hundred steps.
const STEP: f64 = 0.01;
/// The same for a grid or an evaluation, of which there are few.
const PAUSE: f64 = 0.3;

/// Mean times in seconds.
#[derive(Debug, Default)]
pub(super) struct Pace {
    steps: Mean,
    grids: Mean,
    evaluations: Mean,
}

impl Pace {
    pub(super) fn step(&mut self, seconds: f64) {
        self.steps.add(seconds, STEP);
    }

    pub(super) fn grid(&mut self, seconds: f64) {
        self.grids.add(seconds, PAUSE);
    }

    pub(super) fn evaluation(&mut self, seconds: f64) {
        self.evaluations.add(seconds, PAUSE);
    }

    /// Training images per second; `None` before the first step.
    pub(super) fn images_per_s(&self, train: &TrainConfig) -> Option<f64> {
        (self.steps.count > 0).then(|| train.batch as f64 / self.steps.seconds.max(1e-9))
    }

    /// Seconds to the end after `done` steps; `None` before the first step. What has not happened yet is not counted.
    pub(super) fn left(&self, done: u64, train: &TrainConfig) -> Option<f64> {
        let due = |every: u64| {
            let within = |steps: u64| steps.checked_div(every).unwrap_or(0);
            // The end has one too, whatever the interval is.
            let at_end = done < train.steps && (every == 0 || !train.steps.is_multiple_of(every));
            (within(train.steps).saturating_sub(within(done)) + u64::from(at_end)) as f64
        };
        let evaluations = if train.evaluate_every == 0 { 0.0 } else { due(train.evaluate_every) };
        let steps = train.steps.saturating_sub(done) as f64;
        (self.steps.count > 0).then(|| {
            self.steps.seconds * steps
                + self.grids.seconds * due(train.sample_every)
                + self.evaluations.seconds * evaluations
        })
    }
}

/// The mean of all values at first; later, old ones fade.
#[derive(Debug, Default)]
struct Mean {
    seconds: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, seconds: f64, least: f64) {
        self.count += 1;
        let weight = (1.0 / self.count as f64).max(least);
        self.seconds += weight * (seconds - self.seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(steps: u64, sample_every: u64, evaluate_every: u64) -> TrainConfig {
        TrainConfig { steps, batch: 8, sample_every, evaluate_every, ..TrainConfig::default() }
    }

    #[test]
    fn nothing_is_known_before_the_first_step() {
        let mut pace = Pace::default();
        pace.grid(5.0);
        assert_eq!((pace.left(0, &train(10, 5, 0)), pace.images_per_s(&train(10, 5, 0))), (None, None));
    }

    #[test]
    fn steps_grids_and_evaluations_add_up() {
        let mut pace = Pace::default();
        pace.step(1.0);
        pace.step(3.0);
        assert_eq!(pace.images_per_s(&train(10, 0, 0)), Some(4.0));
        assert_eq!(pace.left(2, &train(10, 3, 0)), Some(16.0));
        pace.grid(10.0);
        // Grids at 3, 6, 9 and at the end.
        assert_eq!(pace.left(2, &train(10, 3, 0)), Some(16.0 + 40.0));
        assert_eq!(pace.left(3, &train(10, 3, 0)), Some(14.0 + 30.0));
        assert_eq!(pace.left(2, &train(10, 5, 0)), Some(16.0 + 20.0));
        assert_eq!(pace.left(2, &train(10, 0, 0)), Some(16.0 + 10.0));
        pace.evaluation(100.0);
        assert_eq!(pace.left(2, &train(10, 5, 5)), Some(16.0 + 20.0 + 200.0));
        assert_eq!(pace.left(10, &train(10, 5, 5)), Some(0.0));
    }

    #[test]
    fn a_change_of_speed_shows() {
        let mut pace = Pace::default();
        (0..1000).for_each(|_| pace.step(1.0));
        (0..700).for_each(|_| pace.step(2.0));
        let left = pace.left(0, &train(1, 1, 0)).unwrap();
        assert!((1.99..2.0).contains(&left), "{left}");
    }
}
