//! How fast images are read, decoded and made into batches, without a network.

use std::time::{Duration, Instant};

use dataset::{BatchPlan, Dataset, Order};

/// Images of a batch.
const BATCH: usize = 64;
/// The measurement ends after this time, or after so many batches.
const TIME: Duration = Duration::from_secs(2);
const BATCHES: u64 = 4096;

/// Images per second, in the order in which a training with this seed would read them.
pub(super) fn measure(dataset: &Dataset, seed: u64, order: Order) -> anyhow::Result<f64> {
    let batch = BATCH.min(dataset.len());
    let plan = BatchPlan::new(dataset.len(), batch, seed)?.with_order(order)?;
    // The first batch starts the threads.
    let _ = plan.batch(dataset, 0)?;
    let (begun, mut done) = (Instant::now(), 0);
    while done < BATCHES && (done == 0 || begun.elapsed() < TIME) {
        done += 1;
        let _ = plan.batch(dataset, done)?;
    }
    Ok(done as f64 * batch as f64 / begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_smaller_than_a_batch_has_a_rate() {
        let images = ndarray::Array4::zeros((2, 4, 4, 1));
        let dataset = Dataset::from_array(images, None).unwrap();
        for order in [Order::Images, Order::Blocks { buffer: 9 }] {
            let rate = measure(&dataset, 3, order).unwrap();
            assert!(rate.is_finite() && rate > 0.0, "{rate}");
        }
    }
}
