//! The cost of a run: time, images, arithmetic.

use trainer::Record;

use crate::commands::reporting::numbers::{duration, flop, grouped};
use crate::config::{Config, ImagesConfig};

/// The cost of a run up to some step.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Cost {
    pub(in crate::commands) steps: u64,
    pub(in crate::commands) parameters: u64,
    /// Images trained on, counting repeats.
    pub(in crate::commands) images_seen: f64,
    /// Passes over the images.
    pub(in crate::commands) passes: f64,
    /// Seconds of training, without samples and checkpoints; `None` if the log does not have them.
    pub(in crate::commands) seconds: Option<f64>,
    /// Operations of all forward and backward passes.
    pub(in crate::commands) flop: f64,
}

impl Cost {
    /// The cost according to these records, none of them after `step`.
    pub(in crate::commands) fn new(
        config: &Config,
        images: &ImagesConfig,
        parameters: u64,
        step: u64,
        records: &[Record],
    ) -> Self {
        let batch = config.train.batch;
        let images_seen = step as f64 * batch as f64;
        let one = config.model.work(images.height, images.width).training(1);
        Self {
            steps: step,
            parameters,
            images_seen,
            passes: images_seen / images.count.max(1) as f64,
            seconds: seconds(records, batch),
            flop: images_seen * (one.layers + one.attention),
        }
    }

    /// Names and values.
    pub(in crate::commands) fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("steps trained", grouped(self.steps)),
            ("images seen", grouped(self.images_seen)),
            ("passes over the images", format!("{:.1}", self.passes)),
            ("parameters", grouped(self.parameters)),
            ("arithmetic of training", flop(self.flop)),
        ];
        if let Some(seconds) = self.seconds {
            facts.push(("time of training", duration(seconds)));
            facts.push(("images per second", format!("{:.0}", self.images_seen / seconds)));
        }
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Seconds that a run took according to its log: images trained on, divided by images per second.
pub(in crate::commands) fn seconds(records: &[Record], batch: usize) -> Option<f64> {
    let mut before = 0;
    let mut seconds = 0.0;
    for record in records {
        let images = record.step.saturating_sub(before) as f64 * batch as f64;
        before = record.step;
        seconds += if record.images_per_s > 0.0 { images / record.images_per_s } else { return None };
    }
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn record(step: u64) -> Record {
        Record { step, loss: 0.5, lr: 0.1, grad_norm: 1.0, images_per_s: 32.0, loss_by_t: Vec::new() }
    }

    #[test]
    fn seconds_from_the_log() {
        let records = [record(60), record(120)];
        assert!((seconds(&records, 64).unwrap() - 240.0).abs() < 1e-9);
        assert_eq!(seconds(&[], 64), None);
        assert_eq!(seconds(&[Record { images_per_s: 0.0, ..record(1) }], 64), None);
        assert_eq!(seconds(&[Record { images_per_s: f64::NAN, ..record(1) }], 64), None);
    }

    #[test]
    fn the_cost_follows_from_steps_and_batch() {
        let config: Config = config::preset_table("tiny-16").unwrap().try_into().unwrap();
        let images = ImagesConfig { count: 100, ..ImagesConfig::square(16, 1) };
        let records = [record(50)];
        let cost = Cost::new(&config, &images, 1234, 50, &records);
        let seen = 50.0 * config.train.batch as f64;
        assert_eq!((cost.images_seen, cost.passes, cost.seconds), (seen, seen / 100.0, Some(seen / 32.0)));
        let work = config.model.work(16, 16).training(1);
        assert!((cost.flop / (seen * (work.layers + work.attention)) - 1.0).abs() < 1e-12);
        let facts = cost.facts();
        assert!(facts.contains(&("images per second".to_owned(), "32".to_owned())), "{facts:?}");
        assert!(facts.contains(&("parameters".to_owned(), "1,234".to_owned())), "{facts:?}");
        // Without a log there is no time.
        assert_eq!(Cost::new(&config, &images, 1234, 50, &[]).facts().len(), facts.len() - 2);
    }
}
