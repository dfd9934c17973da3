//! Dependent keys of `[train]`: a number that belongs to a choice gets a default with that choice, and is refused
//! without it.

use schedule::{LossWeight, NoisePath, Prediction};

use crate::choices::{LearnedVariance, Loss, LrDecay, TimeSampling};
use crate::error::ConfigError;
use crate::train::{TrainConfig, refuse, within};

/// Mean and deviation of ln sigma in EDM's training (Karras et al. 2022, Table 1).
const LOG_NORMAL: (f64, f64) = (-1.2, 1.2);
const LOGIT_NORMAL: (f64, f64) = (0.0, 1.0);
/// The same for consistency tuning (Geng et al. 2024, Sec. 4).
const LOG_NORMAL_OF_CONSISTENCY: (f64, f64) = (-1.1, 2.0);
/// Down to a 256th of the level, as in their shortest tuning.
const HALVINGS: u32 = 8;
/// Standard deviation of the data in EDM's training (Karras et al. 2022, Table 1).
const SIGMA_DATA: f64 = 0.5;
const HUBER_DELTA: f64 = 1.0;
/// lambda of the hybrid loss (Nichol & Dhariwal 2021, Sec. 3.1).
const VLB_WEIGHT: f64 = 0.001;

impl TrainConfig {
    /// Fills in the numbers that follow from the choices.
    pub(crate) fn settle_objective(&mut self) {
        if let Some((mean, deviation)) = self.usual_times() {
            self.time_mean.get_or_insert(mean);
            self.time_std.get_or_insert(deviation);
        }
        if self.knows_sigma_data() {
            self.sigma_data.get_or_insert(SIGMA_DATA);
        }
        if self.loss == Loss::Huber {
            self.huber_delta.get_or_insert(HUBER_DELTA);
        }
        if self.loss == Loss::Consistency {
            self.halvings.get_or_insert(HALVINGS);
        }
        if self.is_hybrid() {
            self.vlb_weight.get_or_insert(VLB_WEIGHT);
        }
        if self.lr_decay == LrDecay::InverseSqrt {
            self.lr_decay_steps.get_or_insert((self.steps / 10).max(1));
        }
    }

    fn knows_sigma_data(&self) -> bool {
        matches!(self.prediction, Prediction::Edm { .. })
            || matches!(self.loss_weight, LossWeight::Edm { .. })
    }

    /// What the network predicts, with its parameter.
    #[must_use]
    pub fn output(&self) -> Prediction {
        match self.prediction {
            Prediction::Edm { .. } => Prediction::Edm { sigma_data: self.sigma_data.unwrap_or(SIGMA_DATA) },
            other => other,
        }
    }

    /// The loss weight, with its parameter.
    #[must_use]
    pub fn weight(&self) -> LossWeight {
        match self.loss_weight {
            LossWeight::Edm { .. } => LossWeight::Edm { sigma_data: self.sigma_data.unwrap_or(SIGMA_DATA) },
            other => other,
        }
    }

    /// Whether the variational bound is added to another loss.
    fn is_hybrid(&self) -> bool {
        self.variance == LearnedVariance::Learned && self.loss != Loss::Vlb
    }

    /// Mean and deviation of the normal distribution from which levels are drawn, if they are.
    fn usual_times(&self) -> Option<(f64, f64)> {
        match self.time_sampling {
            TimeSampling::LogNormal if self.loss == Loss::Consistency => Some(LOG_NORMAL_OF_CONSISTENCY),
            TimeSampling::LogNormal => Some(LOG_NORMAL),
            TimeSampling::LogitNormal => Some(LOGIT_NORMAL),
            TimeSampling::Uniform | TimeSampling::Stratified | TimeSampling::ByLoss => None,
        }
    }

    /// Mean and deviation of the normal distribution from which levels are drawn.
    #[must_use]
    pub fn times(&self) -> (f64, f64) {
        let (mean, deviation) = self.usual_times().unwrap_or_default();
        (self.time_mean.unwrap_or(mean), self.time_std.unwrap_or(deviation))
    }

    /// [`TrainConfig::huber_delta`] or its default.
    #[must_use]
    pub fn huber_delta(&self) -> f64 {
        self.huber_delta.unwrap_or(HUBER_DELTA)
    }

    /// [`TrainConfig::halvings`], or its default.
    #[must_use]
    pub fn halvings(&self) -> u32 {
        self.halvings.unwrap_or(HALVINGS)
    }

    /// [`TrainConfig::vlb_weight`] or its default.
    #[must_use]
    pub fn vlb_weight(&self) -> f64 {
        self.vlb_weight.unwrap_or(VLB_WEIGHT)
    }

    /// Output channels for each image channel.
    #[must_use]
    pub fn outputs_per_channel(&self) -> usize {
        if self.variance == LearnedVariance::Learned { 2 } else { 1 }
    }

    pub(crate) fn validate_objective(&self) -> Result<(), ConfigError> {
        let of_times = "no value unless train.time_sampling is log-normal or logit-normal";
        let numbers = [
            (
                "sigma_data",
                self.sigma_data,
                self.knows_sigma_data(),
                "no value unless train.prediction or train.loss_weight is edm",
            ),
            ("time_mean", self.time_mean, self.usual_times().is_some(), of_times),
            ("time_std", self.time_std, self.usual_times().is_some(), of_times),
            (
                "huber_delta",
                self.huber_delta,
                self.loss == Loss::Huber,
                "no value unless train.loss is huber",
            ),
            (
                "vlb_weight",
                self.vlb_weight,
                self.is_hybrid(),
                "no value unless train.variance is learned and train.loss is not vlb",
            ),
        ];
        for (field, value, has_effect, expected) in numbers {
            let Some(value) = value else { continue };
            if !has_effect {
                return refuse(field, value, expected);
            }
            let (low, high) = match field {
                "time_mean" => (-20.0, 20.0),
                "time_std" => (0.01, 10.0),
                "sigma_data" => (0.01, 100.0),
                "huber_delta" => (1e-4, 1e4),
                _ => (1e-9, 1e3),
            };
            within(field, value, (low..=high).contains(&value))?;
        }
        match self.lr_decay_steps {
            Some(steps) if self.lr_decay != LrDecay::InverseSqrt => {
                return refuse("lr_decay_steps", steps, "no value unless train.lr_decay is inverse-sqrt");
            }
            Some(steps) => within("lr_decay_steps", steps, steps >= 1)?,
            None => {}
        }
        match self.halvings {
            Some(halvings) if self.loss != Loss::Consistency => {
                return refuse("halvings", halvings, "a value with train.loss = consistency only");
            }
            Some(halvings) => within("halvings", halvings, (1..=16).contains(&halvings))?,
            None => {}
        }
        if self.loss == Loss::Consistency && self.variance == LearnedVariance::Learned {
            return refuse("variance", "learned", "fixed: train.loss = consistency has no variances");
        }
        if self.loss == Loss::Consistency && self.loss_weight != LossWeight::Simple {
            return refuse(
                "loss_weight",
                self.loss_weight,
                "simple: the loss has its own weights (train.loss = consistency)",
            );
        }
        if self.loss == Loss::Vlb && self.variance == LearnedVariance::Fixed {
            return refuse("loss", "vlb", "a loss other than vlb unless train.variance is learned");
        }
        if self.loss == Loss::Vlb && self.loss_weight != schedule::LossWeight::Simple {
            return refuse(
                "loss_weight",
                self.loss_weight,
                "simple, since the bound has its own weights (train.loss = vlb)",
            );
        }
        Ok(())
    }

    /// Checks the choices against the path on which they are used.
    pub(crate) fn validate_on(&self, path: &dyn NoisePath, kind: &str) -> Result<(), ConfigError> {
        if self.variance == LearnedVariance::Learned && !path.is_discrete() {
            let expected = format!(
                "fixed, since schedule.kind = {kind} has no chain of steps whose variances could be learned"
            );
            return refuse("variance", "learned", expected);
        }
        let noisiest = path.noisiest().map_err(|error| ConfigError::Schedule { error })?;
        if self.output().form(&noisiest).is_err() {
            let expected = "another output such as v: the noisiest level of this schedule has no signal, so x_0 does not \
                            follow from eps";
            return refuse("prediction", self.prediction, expected);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, Layers, parse_set};

    const GREY: ImageShape = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };

    fn settled(set: &[&str]) -> Result<crate::Config, ConfigError> {
        let set: Vec<_> = set.iter().map(|text| parse_set(text).unwrap()).collect();
        Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() }.settle(&GREY)
    }

    #[test]
    fn a_choice_sets_its_numbers() {
        let train = |set: &[&str]| settled(set).unwrap().train;
        let plain = train(&[]);
        assert_eq!(
            (plain.time_mean, plain.huber_delta, plain.vlb_weight, plain.lr_decay_steps),
            (None, None, None, None)
        );
        assert_eq!(train(&["train.time_sampling=log-normal"]).times(), (-1.2, 1.2));
        assert_eq!(train(&["train.time_sampling=logit-normal", "train.time_std=0.5"]).times(), (0.0, 0.5));
        assert_eq!(train(&["train.loss=huber"]).huber_delta, Some(1.0));
        assert_eq!(train(&["train.prediction=edm"]).output(), Prediction::Edm { sigma_data: 0.5 });
        let tuned = train(&["train.loss=consistency", "train.time_sampling=log-normal"]);
        assert_eq!((tuned.halvings, tuned.times()), (Some(8), (-1.1, 2.0)));
        let data = ["train.loss_weight=edm", "train.sigma_data=0.7"];
        assert_eq!(train(&data).weight(), LossWeight::Edm { sigma_data: 0.7 });
        assert_eq!(train(&["train.variance=learned"]).vlb_weight, Some(0.001));
        assert_eq!(train(&["train.variance=learned", "train.loss=vlb"]).vlb_weight, None);
        assert_eq!(train(&["train.lr_decay=inverse-sqrt", "train.steps=70"]).lr_decay_steps, Some(7));
    }

    #[test]
    fn a_number_without_its_choice_is_refused() {
        for (set, word) in [
            (&["train.time_mean=1.0"][..], "log-normal"),
            (&["train.sigma_data=0.7"], "edm"),
            (&["train.prediction=edm", "train.sigma_data=0.0"], "0.01 to 100"),
            (&["train.huber_delta=1.0"], "huber"),
            (&["train.halvings=3"], "consistency"),
            (&["train.loss=consistency", "train.halvings=0"], "1 to 16"),
            (&["train.loss=consistency", "train.variance=learned"], "fixed"),
            (&["train.loss=consistency", "train.loss_weight=p2"], "simple"),
            (&["train.vlb_weight=0.1"], "learned"),
            (&["train.variance=learned", "train.loss=vlb", "train.vlb_weight=0.1"], "train.loss is not vlb"),
            (&["train.lr_decay_steps=3"], "inverse-sqrt"),
            (&["train.lr_decay=inverse-sqrt", "train.lr_decay_steps=0"], "at least 1"),
            (&["train.loss=vlb"], "learned"),
            (&["train.loss=vlb", "train.variance=learned", "train.loss_weight=p2"], "simple"),
            (&["train.time_sampling=log-normal", "train.time_std=0.0"], "0.01 to 10"),
            (&["train.time_sampling=log-normal", "train.time_mean=nan"], "-20 to 20"),
            (&["train.loss=huber", "train.huber_delta=inf"], "10000"),
        ] {
            let error = settled(set).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(word), "{set:?}: {error}");
        }
    }
}
