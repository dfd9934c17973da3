//! The named choices of `[train]`.

use serde::{Deserialize, Serialize};

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrDecay {
    /// It stays constant (the paper).
    Constant,
    /// It falls to 0 at the last step along half a cosine.
    Cosine,
    /// It falls as `1 / sqrt(step)` from step [`crate::TrainConfig::lr_decay_steps`] on (Karras et al. 2024, Eq. 67),
    /// independent of `train.steps`.
    InverseSqrt,
}

/// How the weights follow the gradients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Adam (Kingma & Ba 2015; the paper).
    #[default]
    Adam,
    /// Muon (Jordan et al. 2024) for matrices and convolutions inside the network, Adam for the rest. The same learning rate
    /// suits both (Liu et al. 2025, Sec. 2.2).
    Muon,
}

/// What to do when the loss or gradients of a step are not finite. The weights of such a step are never kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNan {
    /// Stop the run.
    #[default]
    Stop,
    /// Skip the step; stop after ten in a row.
    Skip,
    /// Return to the last checkpoint, and continue with half the learning rate and without that step; stop after five
    /// times.
    Rollback,
}

/// How the noise levels of a batch are drawn, one for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSampling {
    /// Independent and uniform in time (Algorithm 1, line 3).
    Uniform,
    /// Uniform for each image, but one from each of `batch` equal parts of the path. The expected loss is the same,
    /// with less variance between steps.
    Stratified,
    /// The logarithm of `sigma / alpha` is normal (Karras et al. 2022, Table 1: mean -1.2, deviation 1.2).
    LogNormal,
    /// The position between data and noise is the logistic function of a normal number (Esser et al. 2024, Sec. 3.1:
    /// mean 0, deviation 1), which favours the middle.
    LogitNormal,
    /// In proportion to the root of the mean squared loss in each hundredth of the path, over its last ten losses. The
    /// loss is divided by how much more often the level is drawn (Nichol & Dhariwal 2021, Sec. 3.3).
    ByLoss,
}

/// How the error of an output is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The squared error.
    #[default]
    Squared,
    /// The squared error up to [`crate::TrainConfig::huber_delta`], linear above it (Huber 1964).
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
    /// Fixed, and chosen at sampling (the paper).
    #[default]
    Fixed,
    /// Predicted by the network, with twice the output channels, between the two fixed variances (Nichol & Dhariwal
    /// 2021, Sec. 3.1).
    Learned,
}

/// How noise is assigned to images within a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Independent noise for each image.
    #[default]
    Independent,
    /// Noise is assigned within a batch so that the sum of squared distances to the images is minimal (minibatch
    /// optimal transport: Pooladian et al. 2023, Tong et al. 2024). With classes, only among images of one class.
    Optimal,
    /// The nearest of four draws per image ("immiscible diffusion": Li et al. 2024). Cheaper, but the noise of an image
    /// is then not exactly normal.
    Nearest,
}
