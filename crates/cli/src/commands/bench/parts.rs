//! Where the time of a step goes, measured on extra steps so that the timed ones stay undisturbed.

use std::time::Instant;

use serde_json::{Map, Value, json};
use tch::Device;
use trainer::Phase;

/// A part of a step, named as in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Copying images to the device, drawing t and eps, computing x_t. Nothing is read from disk.
    Data,
    Forward,
    Backward,
    /// Clipping and Adam.
    Optimizer,
    Ema,
    /// Everything else: the loss and its value on the host, or the solver's update of x_t.
    Other,
    /// Waiting for the other ranks, and what is left of the sums over them after the backward pass.
    Reduce,
}

impl Part {
    const TRAIN: &[Self] =
        &[Self::Data, Self::Forward, Self::Backward, Self::Optimizer, Self::Ema, Self::Other];
    const TRAIN_TOGETHER: &[Self] =
        &[Self::Data, Self::Forward, Self::Backward, Self::Reduce, Self::Optimizer, Self::Ema, Self::Other];
    const SAMPLE: &[Self] = &[Self::Forward, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Optimizer => "optimizer",
            Self::Ema => "ema",
            Self::Other => "other",
            Self::Reduce => "reduce",
        }
    }

    /// The part that a phase of a training step belongs to.
    pub(super) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Draws => Self::Data,
            Phase::Network => Self::Forward,
            Phase::Backward => Self::Backward,
            Phase::Reduction => Self::Reduce,
            Phase::Optimizer => Self::Optimizer,
            Phase::Average => Self::Ema,
            _ => Self::Other,
        }
    }
}

/// Seconds of each part, summed over steps.
#[derive(Debug)]
pub(super) struct Parts {
    shown: &'static [Part],
    seconds: [f64; 7],
    steps: usize,
    last: Instant,
    device: Device,
}

impl Parts {
    /// Starts the clock for training steps on this many ranks.
    pub(super) fn of_training(device: Device, ranks: usize) -> Self {
        let shown = if ranks == 1 { Part::TRAIN } else { Part::TRAIN_TOGETHER };
        Self { shown, seconds: [0.0; 7], steps: 0, last: Instant::now(), device }
    }

    /// Starts the clock for sampling steps.
    pub(super) fn of_sampling(device: Device) -> Self {
        Self { shown: Part::SAMPLE, ..Self::of_training(device, 1) }
    }

    /// Adds the time since the last call, or since the start, to `part`.
    pub(super) fn ended(&mut self, part: Part) {
        finish(self.device);
        let now = Instant::now();
        self.add(part, (now - self.last).as_secs_f64());
        self.last = now;
    }

    /// Ends a step. Time that belongs to no part counts as `Other`.
    pub(super) fn step(&mut self) {
        self.ended(Part::Other);
        self.steps += 1;
    }

    fn add(&mut self, part: Part, seconds: f64) {
        self.seconds[part as usize] += seconds;
    }

    /// Name and mean seconds of a step, in the order of the report.
    pub(super) fn means(&self) -> Vec<(&'static str, f64)> {
        let mean = |part: &Part| (part.name(), self.seconds[*part as usize] / self.steps.max(1) as f64);
        self.shown.iter().map(mean).collect()
    }

    /// Mean seconds of the whole step: the sum of the parts.
    pub(super) fn step_s(&self) -> f64 {
        self.means().iter().map(|(_, seconds)| seconds).sum()
    }

    pub(super) fn json(&self) -> Value {
        Value::Object(
            self.means().into_iter().map(|(name, s)| (name.to_owned(), json!(s))).collect::<Map<_, _>>(),
        )
    }

    /// `forward 30 %, backward 60 %, ..`, of the whole step.
    pub(super) fn shares(&self) -> String {
        let whole = self.step_s();
        let share = |(name, seconds): (&str, f64)| format!("{name} {:.1} %", 100.0 * seconds / whole);
        self.means().into_iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

/// Waits for the kernels of a GPU, which run asynchronously.
pub(super) fn finish(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_step() {
        let mut parts = Parts::of_training(Device::Cpu, 1);
        let seconds = [0.5, 10.0, 20.0, 1.0, 0.25, 0.25];
        for _ in 0..2 {
            Part::TRAIN.iter().zip(seconds).for_each(|(part, seconds)| parts.add(*part, seconds));
        }
        parts.steps = 2;
        assert_eq!(parts.step_s(), 32.0);
        assert_eq!(parts.means()[1], ("forward", 10.0));
        assert_eq!(parts.json()["backward"], 20.0);
        let want = "data 1.6 %, forward 31.2 %, backward 62.5 %, optimizer 3.1 %, ema 0.8 %, other 0.8 %";
        assert_eq!(parts.shares(), want);

        // With several ranks, the sums are a part of the step.
        let mut together = Parts::of_training(Device::Cpu, 2);
        together.add(Part::of(Phase::Reduction), 3.0);
        together.add(Part::of(Phase::Backward), 1.0);
        together.steps = 1;
        assert_eq!((together.step_s(), together.means()[3]), (4.0, ("reduce", 3.0)));
    }

    /// No time is lost or counted twice, whichever parts are reported.
    #[test]
    fn unreported_time_is_other() {
        let begun = Instant::now();
        let mut parts = Parts::of_sampling(Device::Cpu);
        for _ in 0..3 {
            parts.ended(Part::Forward);
            parts.step();
        }
        let (all, most) = (parts.step_s() * 3.0, begun.elapsed().as_secs_f64());
        assert!(all > 0.0 && all <= most, "{all} of {most}");
        assert_eq!(parts.means().len(), 2);
    }
}
