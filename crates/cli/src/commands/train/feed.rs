//! The images of each step, prepared ahead of time.

use dataset::{BatchPlan, Dataset, Prefetch};
use tch::Tensor;
use trainer::{Batch, BoxError};

use crate::config::Config;

/// Batches prepared while the network works on the one before.
const AHEAD: usize = 2;

/// The images of each step, and their random changes.
pub(crate) fn plan(config: &Config, images: usize) -> anyhow::Result<BatchPlan> {
    share(config, images, (0, 1))
}

/// The same for one of several ranks, of which each takes an equal share of every batch.
pub(super) fn share(
    config: &Config,
    images: usize,
    (rank, size): (usize, usize),
) -> anyhow::Result<BatchPlan> {
    let train = &config.train;
    let plan = BatchPlan::new(images, train.batch / size, config.seed)?.with_flip(train.flip);
    let plan = plan.with_order(run_images::order(&config.data)?)?.sharded(rank as u32, size as u32)?;
    Ok(plan.with_crop(train.crop)?.with_jitter(train.jitter)?)
}

/// Provides the images of a step; fast if steps are requested in order.
pub(crate) struct Feed {
    dataset: Dataset,
    plan: BatchPlan,
    with_labels: bool,
    batches: Prefetch,
    /// The step whose batch comes next.
    next: u64,
}

impl Feed {
    /// Starts at step `first`; `with_labels` for a network that has classes.
    pub(crate) fn new(
        dataset: &Dataset,
        plan: BatchPlan,
        with_labels: bool,
        first: u64,
    ) -> anyhow::Result<Self> {
        let batches = Prefetch::new(dataset.clone(), plan.clone(), first, AHEAD)?;
        Ok(Self { dataset: dataset.clone(), plan, with_labels, batches, next: first })
    }

    /// The images of a step, and their labels if requested.
    pub(crate) fn batch(&mut self, step: u64) -> Result<Batch, BoxError> {
        if step != self.next {
            // The run went back or skipped steps.
            self.batches = Prefetch::new(self.dataset.clone(), self.plan.clone(), step, AHEAD)?;
        }
        self.next = step + 1;
        let batch = self.batches.next().ok_or("the data thread ended")??;
        let images = tensor_io::from_array(&batch.images.view().into_dyn())?;
        let labels = batch.labels.filter(|_| self.with_labels);
        let labels = labels.map(|labels| Tensor::f_from_slice(&labels)).transpose()?;
        Ok(Batch { images, labels })
    }
}
