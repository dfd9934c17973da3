//! The choices of a training: words of `[train]`.

use serde::{Deserialize, Serialize};

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrDecay {
    /// It stays (the paper).
    Constant,
    /// It falls to 0 at the last step along half a cosine.
    Cosine,
    /// It falls as `1 / sqrt(step)` from [`crate::TrainConfig::lr_decay_steps`] on (Karras et al. 2024, Eq. 67), whatever
    /// `train.steps` is.
    InverseSqrt,
}

/// What to do about a step whose loss or gradients are not finite. Its weights are never kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNan {
    /// The run ends.
    #[default]
    Stop,
    /// The step is passed over; after ten in a row the run ends.
    Skip,
    /// Back to the last checkpoint, and on from there with half the learning rate and without that step; after five
    /// times the run ends.
    Rollback,
}

/// How the noise levels of a batch are drawn: always one for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSampling {
    /// Independent and uniform in time (Algorithm 1, line 3).
    Uniform,
    /// Uniform for each image, but one from each of `batch` equal parts of the path: the same expected
    /// loss with less variance from step to step.
    Stratified,
    /// The logarithm of `sigma / alpha` is normal (Karras et al. 2022, Table 1: mean -1.2, deviation 1.2).
    LogNormal,
    /// The share of the way from data to noise is the logistic function of a normal number (Esser et al. 2024, Sec. 3.1: mean
    /// 0, deviation 1): more of the middle.
    LogitNormal,
    /// By the root of the mean squared loss of each hundredth of the path, over the last ten losses seen there, and with the
    /// loss divided by how much more often that is (Nichol & Dhariwal 2021, Sec. 3.3).
    ByLoss,
}

/// How the error of an output is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Its square.
    #[default]
    Squared,
    /// Its square up to [`crate::TrainConfig::huber_delta`], a straight line beyond (Huber 1964).
    Huber,
    /// The variational bound itself (Ho et al. 2020, Eq. 5), for learned variances.
    Vlb,
    /// How far apart the images are that the network predicts from two levels of the same noise, which come nearer to each
    /// other as training goes on: it learns to answer from any level at once (Geng et al. 2024).
    Consistency,
}

/// The variance of the reverse steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedVariance {
    /// Chosen in sampling (the paper).
    #[default]
    Fixed,
    /// Said by the network, in twice the channels, between the two fixed ones (Nichol & Dhariwal 2021, Sec. 3.1).
    Learned,
}

/// Which noise of a step an image gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Any.
    #[default]
    Independent,
    /// The noises of a batch are given out so that the sum of squared distances to the images is least (minibatch optimal
    /// transport: Pooladian et al. 2023, Tong et al. 2024); among the images of one class where there are classes.
    Optimal,
    /// The nearest of four draws of its own ("immiscible diffusion": Li et al. 2024). Cheaper, and the noise of an
    /// image is then not quite normal.
    Nearest,
}
