//! Training a classifier, step by step.

use dataset::BatchPlan;
use tch::{Device, Reduction, Tensor};

use super::augment::augmented;
use super::descent::{Descent, learning_rate};
use super::plan::Plan;
use super::selection::Selection;
use super::trainable::Trainable;
use super::trained::TrainedClassifier;
use crate::error::FeaturesError;

/// Largest batch size.
const BATCH: usize = 128;
/// The peak learning rate.
const PEAK: f64 = 0.1;

/// Training options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainOptions {
    /// Passes over the images, 1..=1000.
    pub epochs: usize,
    /// The same seed, machine and number of threads give the same weights.
    pub seed: u64,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
}

/// A classifier in training: cross-entropy, stochastic gradient descent, batches of 128.
///
/// ```no_run
/// use dataset::{Dataset, OpenOptions, Source};
/// use features::{ClassifierTraining, Selection, TrainOptions};
///
/// let open = |spec| Dataset::open(&Source::detect(spec)?, &OpenOptions::default());
/// let (set, test) = (open("fashion-mnist")?, open("fashion-mnist:test")?);
/// let options = TrainOptions { epochs: 10, seed: 0, flip: true };
/// let mut training = ClassifierTraining::new(Selection::all(&set), options, tch::Device::Cpu)?;
/// while training.steps_done() < training.steps() {
///     let _loss = training.step()?;
/// }
/// println!("{:.4}", training.finish()?.accuracy(&Selection::all(&test))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ClassifierTraining<'a> {
    images: Selection<'a>,
    options: TrainOptions,
    plan: Plan,
    batches: BatchPlan,
    net: Trainable,
    descent: Descent,
    step: u64,
    steps: u64,
    device: Device,
}

impl<'a> ClassifierTraining<'a> {
    /// Draws the initial weights.
    ///
    /// # Errors
    /// [`FeaturesError::Training`] for images that no classifier can be trained on: without labels, all of one class, smaller
    /// than 16x16 or larger than 128x128; errors from libtorch, such as lack of memory.
    pub fn new(images: Selection<'a>, options: TrainOptions, device: Device) -> Result<Self, FeaturesError> {
        let plan = Plan::of(&images)?;
        if !(1..=1000).contains(&options.epochs) {
            return Err(FeaturesError::Training {
                expected: "1 to 1000 epochs".to_owned(),
                found: options.epochs.to_string(),
            });
        }
        let batch = BATCH.min(images.len());
        let batches = BatchPlan::new(images.len(), batch, options.seed)?;
        let net = Trainable::new(&plan, options.seed, device)?;
        let descent = Descent::new(&net.parameters())?;
        let steps = (images.len() as u64 * options.epochs as u64).div_ceil(batch as u64);
        Ok(Self { images, options, plan, batches, net, descent, step: 0, steps, device })
    }

    /// Total number of steps.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Steps taken.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Takes a step. Returns the mean cross-entropy of its batch before the update, in nats.
    ///
    /// # Errors
    /// [`FeaturesError::Diverged`] when the loss is not finite; errors of reading; errors from libtorch, such as lack
    /// of memory.
    pub fn step(&mut self) -> Result<f64, FeaturesError> {
        let indices = self.batches.indices(self.step);
        let pixels = self.images.images(&indices)?;
        let pixels = augmented(pixels.view(), self.options.flip, self.options.seed, self.step);
        let labels: Vec<i64> =
            indices.iter().map(|&index| self.images.label(index).map_or(0, i64::from)).collect();
        let x = tensor_io::from_array(&dataset::to_model(pixels.view()).view().into_dyn())?;
        let labels = tensor_io::from_slice(&labels, &[labels.len() as i64])?.f_to_device(self.device)?;

        let logits = self.net.forward(&x.f_to_device(self.device)?)?;
        let loss = logits.f_cross_entropy_loss(&labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
        let value = f64::try_from(&loss)?;
        if !value.is_finite() {
            return Err(FeaturesError::Diverged { step: self.step, loss: value });
        }
        loss.f_backward()?;
        self.descent.step(&self.net.parameters(), learning_rate(PEAK, self.step, self.steps))?;
        self.step += 1;
        Ok(value)
    }

    /// The classifier in its present state, in the precision of its file.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn finish(self) -> Result<TrainedClassifier, FeaturesError> {
        TrainedClassifier::new(self.plan, self.net.fold()?, self.device)
    }
}
