//! What is due after which step. All ranks must agree on it.

use config::TrainConfig;

/// The intervals of a run; steps count from 1.
#[derive(Clone, Copy)]
pub(crate) struct Due<'a>(pub(crate) &'a TrainConfig);

impl Due<'_> {
    fn is_last(self, done: u64) -> bool {
        done == self.0.steps
    }

    /// Whether samples belong to this step.
    pub(crate) fn samples(self, done: u64) -> bool {
        self.is_last(done) || (self.0.sample_every > 0 && done.is_multiple_of(self.0.sample_every))
    }

    /// Whether an evaluation belongs to this step.
    pub(crate) fn evaluation(self, done: u64) -> bool {
        let every = self.0.evaluate_every;
        every > 0 && (self.is_last(done) || done.is_multiple_of(every))
    }

    /// Whether to draw samples, which a stop postpones.
    pub(crate) fn draws(self, done: u64, stop: bool) -> bool {
        self.samples(done) && (self.is_last(done) || !stop)
    }

    /// Whether to evaluate, which a stop postpones.
    pub(crate) fn evaluates(self, done: u64, stop: bool) -> bool {
        self.evaluation(done) && (self.is_last(done) || !stop)
    }

    /// Whether to save.
    pub(crate) fn saves(self, done: u64, stop: bool) -> bool {
        self.is_last(done)
            || stop
            || self.evaluates(done, stop)
            || done.is_multiple_of(self.0.checkpoint_every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    #[test]
    fn a_stop_saves_and_postpones_the_rest_except_at_the_end() {
        let config =
            TrainConfig { steps: 10, sample_every: 4, evaluate_every: 3, checkpoint_every: 5, ..example() };
        let due = Due(&config);
        let all = |done, stop| (due.saves(done, stop), due.evaluates(done, stop), due.draws(done, stop));
        for (done, stop, expected) in [
            (1, false, (false, false, false)),
            (1, true, (true, false, false)),
            (3, false, (true, true, false)),
            (3, true, (true, false, false)),
            (4, false, (false, false, true)),
            (4, true, (true, false, false)),
            (5, false, (true, false, false)),
            (10, false, (true, true, true)),
            (10, true, (true, true, true)),
        ] {
            assert_eq!(all(done, stop), expected, "{done} {stop}");
        }
        let none = TrainConfig { sample_every: 0, evaluate_every: 0, ..config };
        assert!(!Due(&none).samples(4) && !Due(&none).evaluation(3) && !Due(&none).evaluation(10));
    }
}
