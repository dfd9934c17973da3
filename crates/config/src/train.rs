//! The numbers of a training run.

use schedule::{LossWeight, Prediction};
use serde::{Deserialize, Serialize};

use crate::choices::{LearnedVariance, Loss, LrDecay, OnNan, Pairing, TimeSampling};
use crate::error::ConfigError;

/// How a run trains. The network, the schedule and the data have their own configurations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Images of one step.
    pub batch: usize,
    /// Images that go through the network at the same time, where memory is short: the gradients of the parts of a
    /// batch are added up, so that the step is that of the whole batch. 0 is all of them.
    #[serde(default)]
    pub micro_batch: usize,
    /// Activation checkpointing, where memory is short: a residual block keeps its inputs only and runs a second time in
    /// the backward pass. A third more work for the same numbers, bit for bit.
    #[serde(default)]
    pub checkpoint_activations: bool,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Steps over which the learning rate rises linearly from nearly 0.
    pub warmup_steps: u64,
    /// What the learning rate does after the warm-up.
    pub lr_decay: LrDecay,
    /// Of `inverse-sqrt`: steps up to which the rate stays, in 1 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_decay_steps: Option<u64>,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Added to the root of Adam's second moment.
    pub adam_eps: f64,
    /// Decoupled weight decay (AdamW); 0 is Adam.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm if theirs is larger.
    pub grad_clip: f64,
    /// Decay of the exponential moving average of the weights, once warmed up.
    pub ema_decay: f64,
    /// Whether the average starts short and grows, see `trainer::Ema::decay_at`.
    pub ema_warmup: bool,
    /// Decays of further averages that every checkpoint keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ema_decays: Vec<f64>,
    /// Power averages (Karras et al. 2024), by their deviation as a share of the time trained, 0.05 and 0.1 for example: kept
    /// in every checkpoint, and stored with each for good, so that `ddpm ema` can make any average afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ema_sigma_rels: Vec<f64>,
    /// What the network's output stands for: `eps`, `x_0`, `v`, `edm` or `velocity`; see [`TrainConfig::output`]. What counts is said by [`TrainConfig::loss_weight`] in
    /// terms of eps, so that `v` changes how well the network is conditioned and not what it is asked for: its output of 0 is
    /// the best guess where nothing is left of the image.
    #[serde(with = "by_name")]
    pub prediction: Prediction,
    /// How much the loss of a noise level counts, see [`LossWeight`]: `simple` (the paper), `min-snr`, `p2`, `output` or `edm`;
    /// see [`TrainConfig::weight`].
    #[serde(default, with = "by_name")]
    pub loss_weight: LossWeight,
    /// Of `edm`: deviation of the images' values in [-1, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_data: Option<f64>,
    /// How an error is measured.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub loss: Loss,
    /// Of `huber`: errors above this count by their size and not by its square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huber_delta: Option<f64>,
    /// Of `consistency`: how often the distance between the two levels is halved over the run, 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halvings: Option<u32>,
    /// Whether the network learns the variance of the reverse steps as well.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub variance: LearnedVariance,
    /// Of `learned` variances: weight of the variational bound beside the loss, in bits a number and for the whole chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlb_weight: Option<f64>,
    /// How the noise levels of a batch are drawn.
    pub time_sampling: TimeSampling,
    /// Of `log-normal` and `logit-normal`: mean of the normal distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_mean: Option<f64>,
    /// Of the same: its standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_std: Option<f64>,
    /// Which noise an image gets.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub pairing: Pairing,
    /// Mirror half of the images left to right. Not for letters, digits and whatever else has a left and a right. A preset
    /// for the embedded images has it on for those only.
    pub flip: bool,
    /// Probability that an image is mirrored, turned or moved, each by itself, and the network told so (Karras et al. 2022,
    /// App. F.2, who have 0.12 for CIFAR-10, and more ways): for small sets. 0 is none.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub augment: f64,
    /// Share of the labels that a step takes away, 0 to 1, so that a conditional network learns to do without
    /// as well (Ho & Salimans 2022, Algorithm 1, their p_uncond); guidance needs it above 0. Nothing to an
    /// unconditional network.
    #[serde(default)]
    pub label_dropout: f64,
    /// Parameters that do not change: patterns of their names, `*` for any characters, see [`crate::matches`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// What to do about a step whose loss or gradients are not finite.
    #[serde(default)]
    pub on_nan: OnNan,
    /// A line of `metrics.jsonl` every so many steps.
    pub log_every: u64,
    /// A sample grid every so many steps; 0 for none but the last.
    pub sample_every: u64,
    /// An evaluation every so many steps and after the last: samples against real images, the loss on held-out images; 0 for
    /// none.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub evaluate_every: u64,
    /// Samples of an evaluation, 20 or more; absent for 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_count: Option<usize>,
    /// A checkpoint every so many steps; the last step has one in any case.
    pub checkpoint_every: u64,
    /// Checkpoints kept; the older ones are removed. At least 2.
    pub keep_checkpoints: usize,
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Types with `Display` and `FromStr` as their names.
mod by_name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'a, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'a>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The training of the paper on CIFAR-10 (Ho et al. 2020, App. B), as the preset `ddpm-cifar10` has it.
impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 800_000,
            batch: 128,
            micro_batch: 0,
            checkpoint_activations: false,
            lr: 2e-4,
            warmup_steps: 5000,
            lr_decay: LrDecay::Constant,
            lr_decay_steps: None,
            beta1: 0.9,
            beta2: 0.999,
            adam_eps: 1e-8,
            weight_decay: 0.0,
            grad_clip: 1.0,
            ema_decay: 0.9999,
            ema_warmup: false,
            ema_decays: Vec::new(),
            ema_sigma_rels: Vec::new(),
            prediction: Prediction::Eps,
            loss_weight: LossWeight::Simple,
            sigma_data: None,
            loss: Loss::Squared,
            huber_delta: None,
            halvings: None,
            variance: LearnedVariance::Fixed,
            vlb_weight: None,
            time_sampling: TimeSampling::Uniform,
            time_mean: None,
            time_std: None,
            pairing: Pairing::Independent,
            flip: true,
            augment: 0.0,
            label_dropout: 0.0,
            freeze: Vec::new(),
            on_nan: OnNan::Stop,
            log_every: 100,
            sample_every: 10_000,
            evaluate_every: 0,
            evaluate_count: None,
            checkpoint_every: 5000,
            keep_checkpoints: 3,
        }
    }
}

impl TrainConfig {
    /// Samples of an evaluation.
    #[must_use]
    pub fn evaluate_count(&self) -> usize {
        self.evaluate_count.unwrap_or(1000)
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first field that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("steps", self.steps, 1)?;
        at_least("batch", self.batch as u64, 1)?;
        at_least("log_every", self.log_every, 1)?;
        at_least("checkpoint_every", self.checkpoint_every, 1)?;
        if self.batch > 1 << 20 {
            return refuse("batch", self.batch, "at most 1048576");
        }
        if let Some(count) = self.evaluate_count.filter(|count| !(20..=100_000).contains(count)) {
            return refuse("evaluate_count", count, "from 20 to 100000");
        }
        if self.micro_batch > self.batch {
            return refuse("micro_batch", self.micro_batch, "at most train.batch, or 0 for all of it");
        }
        if self.keep_checkpoints < 2 {
            return refuse("keep_checkpoints", self.keep_checkpoints, "at least 2: one may be damaged");
        }
        number("lr", self.lr, self.lr > 0.0 && self.lr <= 1.0, "a number above 0, at most 1")?;
        let unit = |x: f64| (0.0..1.0).contains(&x);
        number("beta1", self.beta1, unit(self.beta1), "a number from 0 up to, but not, 1")?;
        number("beta2", self.beta2, unit(self.beta2), "a number from 0 up to, but not, 1")?;
        number("ema_decay", self.ema_decay, unit(self.ema_decay), "a number from 0 up to, but not, 1")?;
        averages(
            "ema_decays",
            &self.ema_decays,
            unit,
            "numbers from 0 up to, but not, 1, each once, at most 8",
        )?;
        let deviation = |x: f64| (0.01..=0.28).contains(&x);
        averages(
            "ema_sigma_rels",
            &self.ema_sigma_rels,
            deviation,
            "numbers from 0.01 to 0.28, each once, at most 8",
        )?;
        number("adam_eps", self.adam_eps, self.adam_eps > 0.0 && self.adam_eps < 1.0, "a number in (0, 1)")?;
        let decay = (0.0..=1.0).contains(&self.weight_decay);
        number("weight_decay", self.weight_decay, decay, "a number from 0 to 1")?;
        let share = (0.0..=1.0).contains(&self.label_dropout);
        number("label_dropout", self.label_dropout, share, "a number from 0 to 1")?;
        number("augment", self.augment, (0.0..=1.0).contains(&self.augment), "a number from 0 to 1")?;
        self.validate_freeze()?;
        self.validate_objective()?;
        let clip = self.grad_clip > 0.0 && self.grad_clip.is_finite();
        number("grad_clip", self.grad_clip, clip, "a number above 0")
    }
}

/// Each average is as large as the network.
const MOST_AVERAGES: usize = 8;

/// Few averages, and each once.
fn averages(
    field: &'static str,
    list: &[f64],
    good: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<(), ConfigError> {
    let once = list.iter().enumerate().all(|(i, x)| !list[..i].contains(x));
    if list.len() <= MOST_AVERAGES && once && list.iter().all(|&x| good(x)) {
        return Ok(());
    }
    let shown: Vec<String> = list.iter().take(MOST_AVERAGES).map(f64::to_string).collect();
    refuse(field, format!("[{}]", shown.join(", ")), expected)
}

pub(crate) fn at_least(field: &'static str, got: u64, low: u64) -> Result<(), ConfigError> {
    if got >= low { Ok(()) } else { refuse(field, got, "at least 1") }
}

pub(crate) fn number(
    field: &'static str,
    got: f64,
    good: bool,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if good { Ok(()) } else { refuse(field, got, expected) }
}

pub(crate) fn refuse(
    field: &'static str,
    got: impl ToString,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    Err(ConfigError::value("train", field, got, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> TrainConfig {
        TrainConfig { steps: 20, batch: 8, lr: 0.05, checkpoint_every: 5, ..TrainConfig::default() }
    }

    #[test]
    fn the_default_is_the_paper_s_preset() {
        let preset = crate::preset_table("ddpm-cifar10").unwrap()["train"].clone();
        assert_eq!(preset.try_into::<TrainConfig>().unwrap(), TrainConfig::default());
    }

    #[test]
    fn every_absurd_value_is_refused_by_its_name() {
        type Change = fn(&mut TrainConfig);
        let cases: &[(&str, Change)] = &[
            ("steps", |c| c.steps = 0),
            ("batch", |c| c.batch = 0),
            ("batch", |c| c.batch = usize::MAX),
            ("micro_batch", |c| c.micro_batch = 9),
            ("lr", |c| c.lr = 0.0),
            ("lr", |c| c.lr = f64::NAN),
            ("lr", |c| c.lr = f64::INFINITY),
            ("beta1", |c| c.beta1 = 1.0),
            ("beta2", |c| c.beta2 = -0.1),
            ("adam_eps", |c| c.adam_eps = 0.0),
            ("weight_decay", |c| c.weight_decay = f64::NAN),
            ("grad_clip", |c| c.grad_clip = 0.0),
            ("grad_clip", |c| c.grad_clip = f64::INFINITY),
            ("ema_decay", |c| c.ema_decay = 1.0),
            ("ema_decays", |c| c.ema_decays = vec![0.9, 0.9]),
            ("ema_decays", |c| c.ema_decays = vec![f64::NAN]),
            ("ema_decays", |c| c.ema_decays = vec![0.5; 9]),
            ("ema_sigma_rels", |c| c.ema_sigma_rels = vec![0.3]),
            ("label_dropout", |c| c.label_dropout = -0.1),
            ("label_dropout", |c| c.label_dropout = 1.1),
            ("label_dropout", |c| c.label_dropout = f64::NAN),
            ("augment", |c| c.augment = 1.5),
            ("augment", |c| c.augment = f64::NAN),
            ("log_every", |c| c.log_every = 0),
            ("checkpoint_every", |c| c.checkpoint_every = 0),
            ("keep_checkpoints", |c| c.keep_checkpoints = 1),
        ];
        example().validate().unwrap();
        for (name, change) in cases {
            let mut config = example();
            change(&mut config);
            match config.validate() {
                Err(ConfigError::Value { group: "train", field, .. }) => assert_eq!(field, *name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
