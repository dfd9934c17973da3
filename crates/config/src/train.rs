//! Training settings.

use schedule::{LossWeight, Prediction};
use serde::{Deserialize, Serialize};

use crate::choices::{LearnedVariance, Loss, LrDecay, OnNan, Optimizer, Pairing, TimeSampling};
use crate::error::ConfigError;
use crate::reference::expected;

/// How a run trains. The network, the schedule and the data have their own configurations.
///
/// The default is the paper's training, which takes 800,000 steps. A program sets the few values it needs:
///
/// ```
/// let config = config::TrainConfig { steps: 20_000, batch: 32, warmup_steps: 500, ..Default::default() };
/// assert_eq!((config.lr, config.grad_clip, config.ema_decay), (2e-4, 1.0, 0.9999));
/// config.validate()?;
/// # Ok::<(), config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Images that pass through the network at once, to save memory. The gradients of the parts of a batch are summed,
    /// so the step equals that of the whole batch. 0 means the whole batch.
    #[serde(default)]
    pub micro_batch: usize,
    /// Activation checkpointing, to save memory: a residual block stores only its inputs and runs again in the backward
    /// pass. A third more work, with bit-identical results.
    #[serde(default)]
    pub checkpoint_activations: bool,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Steps over which the learning rate increases linearly from nearly 0.
    pub warmup_steps: u64,
    /// What the learning rate does after the warm-up.
    pub lr_decay: LrDecay,
    /// For `inverse-sqrt`: the steps before the rate starts to fall, 1 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_decay_steps: Option<u64>,
    /// How the weights follow the gradients.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub optimizer: Optimizer,
    /// Decay of Adam's first moment.
    pub beta1: f64,
    /// Decay of Adam's second moment.
    pub beta2: f64,
    /// Added to the root of Adam's second moment.
    pub adam_eps: f64,
    /// Decoupled weight decay (AdamW); 0 gives Adam.
    pub weight_decay: f64,
    /// Maximum gradient norm; larger gradients are scaled down to it.
    pub grad_clip: f64,
    /// Decay of the exponential moving average of the weights, after its warm-up.
    pub ema_decay: f64,
    /// Whether the average starts short and grows, see `trainer::Ema::decay_at`.
    pub ema_warmup: bool,
    /// Decays of further averages, kept in every checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ema_decays: Vec<f64>,
    /// Power averages (Karras et al. 2024), by their standard deviation relative to the training time, for example 0.05
    /// and 0.1. They are kept in every checkpoint, and stored with each permanently, so that `ddpm ema` can reconstruct
    /// any average afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ema_sigma_rels: Vec<f64>,
    /// What the network predicts: `eps`, `x_0`, `v`, `edm` or `velocity`; see [`TrainConfig::output`].
    /// [`TrainConfig::loss_weight`] weights the loss in terms of eps, so `v` changes the conditioning of the network
    /// but not the objective. An output of 0 is then the best guess where nothing is left of the image.
    #[serde(with = "by_name")]
    pub prediction: Prediction,
    /// How noise levels are weighted in the loss, see [`LossWeight`]: `simple` (the paper), `min-snr`, `p2`, `output`
    /// or `edm`; see [`TrainConfig::weight`].
    #[serde(default, with = "by_name")]
    pub loss_weight: LossWeight,
    /// For `edm`: standard deviation of the images' values in [-1, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_data: Option<f64>,
    /// How an error is measured.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub loss: Loss,
    /// For `huber`: errors above this count linearly rather than squared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huber_delta: Option<f64>,
    /// Of `consistency`: how often the distance between the two levels is halved over the run, 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halvings: Option<u32>,
    /// Whether the network learns the variance of the reverse steps as well.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub variance: LearnedVariance,
    /// For `learned` variances: weight of the variational bound that is added to the loss, in bits per dimension over
    /// the whole chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlb_weight: Option<f64>,
    /// How the noise levels of a batch are drawn.
    pub time_sampling: TimeSampling,
    /// For `log-normal` and `logit-normal`: mean of the normal distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_mean: Option<f64>,
    /// For the same: its standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_std: Option<f64>,
    /// How noise is assigned to images.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub pairing: Pairing,
    /// Mirror half of the images horizontally. Not for letters, digits or anything else where left and right matter.
    /// Presets for the embedded images enable it for those images only.
    pub flip: bool,
    /// Maximum share of its area that a random crop takes from an image, 0 to 0.9. What is left keeps the aspect ratio and
    /// is enlarged to the image's size. For photos whose subject is not always in the same place. 0 disables it.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub crop: f64,
    /// Strength of random changes of brightness, contrast and saturation, 0 to 1: each is multiplied by a factor between
    /// 1 - jitter and 1 + jitter. The samples vary in the same way. 0 disables it.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub jitter: f64,
    /// Probability of mirroring, rotating or shifting an image, each independently; the network is conditioned on it
    /// (Karras et al. 2022, App. F.2, who use 0.12 for CIFAR-10 and more transforms). For small datasets. 0 disables
    /// it.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub augment: f64,
    /// Share of labels dropped in each step, 0 to 1, so that a conditional network also learns the unconditional model
    /// (Ho & Salimans 2022, Algorithm 1, their p_uncond). Guidance needs a value above 0. No effect on an unconditional
    /// network.
    #[serde(default)]
    pub label_dropout: f64,
    /// Parameters that training does not change: patterns of their names, with `*` for any characters, see
    /// [`crate::matches`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// What to do about a step whose loss or gradients are not finite.
    #[serde(default)]
    pub on_nan: OnNan,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
    /// Steps between sample grids; 0 for only the last.
    pub sample_every: u64,
    /// Steps between evaluations, which compare samples with real images and compute the loss on held-out images. The
    /// last step is evaluated too. 0 disables them.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub evaluate_every: u64,
    /// Samples per evaluation, 20 or more; 1000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_count: Option<usize>,
    /// Steps between checkpoints; the last step always gets one.
    pub checkpoint_every: u64,
    /// Number of checkpoints to keep; older ones are removed. At least 2.
    pub keep_checkpoints: usize,
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Serialises types with `Display` and `FromStr` as their names.
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

/// The paper's training on CIFAR-10 (Ho et al. 2020, App. B), as in the preset `ddpm-cifar10`: 800,000 steps of 128 images,
/// Adam with a learning rate of 2e-4 after 5000 steps of warm-up, gradients clipped to norm 1, an average with decay 0.9999,
/// eps output and the simple loss.
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
            optimizer: Optimizer::Adam,
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
            crop: 0.0,
            jitter: 0.0,
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
    /// Samples per evaluation.
    #[must_use]
    pub fn evaluate_count(&self) -> usize {
        self.evaluate_count.unwrap_or(1000)
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("steps", self.steps, self.steps >= 1)?;
        within("batch", self.batch, (1..=1 << 20).contains(&self.batch))?;
        within("log_every", self.log_every, self.log_every >= 1)?;
        within("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1)?;
        if let Some(count) = self.evaluate_count {
            within("evaluate_count", count, (20..=100_000).contains(&count))?;
        }
        within("micro_batch", self.micro_batch, self.micro_batch <= self.batch)?;
        within("keep_checkpoints", self.keep_checkpoints, self.keep_checkpoints >= 2)?;
        within("lr", self.lr, self.lr > 0.0 && self.lr <= 1.0)?;
        let unit = |x: f64| (0.0..1.0).contains(&x);
        within("beta1", self.beta1, unit(self.beta1))?;
        within("beta2", self.beta2, unit(self.beta2))?;
        within("ema_decay", self.ema_decay, unit(self.ema_decay))?;
        averages("ema_decays", &self.ema_decays, unit)?;
        let deviation = |x: f64| (0.01..=0.28).contains(&x);
        averages("ema_sigma_rels", &self.ema_sigma_rels, deviation)?;
        within("adam_eps", self.adam_eps, self.adam_eps > 0.0 && self.adam_eps < 1.0)?;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        within("weight_decay", self.weight_decay, share(self.weight_decay))?;
        within("label_dropout", self.label_dropout, share(self.label_dropout))?;
        within("augment", self.augment, share(self.augment))?;
        within("crop", self.crop, (0.0..=0.9).contains(&self.crop))?;
        within("jitter", self.jitter, share(self.jitter))?;
        self.validate_freeze()?;
        self.validate_objective()?;
        within("grad_clip", self.grad_clip, self.grad_clip > 0.0 && self.grad_clip.is_finite())
    }
}

/// Each average takes as much memory as the network.
const MOST_AVERAGES: usize = 8;

/// Checks that there are few averages, all different.
fn averages(field: &'static str, list: &[f64], good: impl Fn(f64) -> bool) -> Result<(), ConfigError> {
    let once = list.iter().enumerate().all(|(i, x)| !list[..i].contains(x));
    if list.len() <= MOST_AVERAGES && once && list.iter().all(|&x| good(x)) {
        return Ok(());
    }
    let shown: Vec<String> = list.iter().take(MOST_AVERAGES).map(f64::to_string).collect();
    within(field, format!("[{}]", shown.join(", ")), false)
}

/// Refuses a value that is not good, with the range of its key.
pub(crate) fn within(field: &'static str, got: impl ToString, good: bool) -> Result<(), ConfigError> {
    if good { Ok(()) } else { refuse(field, got, expected("train", field)) }
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
    fn the_default_is_the_papers_preset() {
        let preset = crate::preset_table("ddpm-cifar10").unwrap()["train"].clone();
        assert_eq!(preset.try_into::<TrainConfig>().unwrap(), TrainConfig::default());
        TrainConfig::default().validate().unwrap();
    }

    #[test]
    fn every_invalid_value_is_refused_by_name() {
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
            ("crop", |c| c.crop = 0.95),
            ("crop", |c| c.crop = f64::NAN),
            ("jitter", |c| c.jitter = -0.1),
            ("jitter", |c| c.jitter = f64::NAN),
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
                Err(ConfigError::Value { group: "train", field, expected, .. }) => {
                    assert_eq!(field, *name);
                    assert!(!expected.is_empty(), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
