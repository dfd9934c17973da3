//! Figure 6: the loss of the run, from its `metrics.jsonl`.

use figures::{Figure, LossBucket};
use trainer::Record;

/// The loss by t is averaged over this last share of the run.
const TAIL: f64 = 0.25;

/// The loss curve and the loss by t, or the reason why there is nothing to draw.
pub(super) fn loss(records: &[Record], timesteps: usize) -> anyhow::Result<Result<Figure, String>> {
    let (steps, losses): (Vec<u64>, Vec<f64>) =
        records.iter().map(|record| (record.step, record.loss)).unzip();
    let tail = tail(records);
    // The end of a run of a few steps may lack some parts of the chain.
    let buckets = match buckets(tail, timesteps) {
        found if found.is_empty() => buckets(records, timesteps),
        found => found,
    };
    if buckets.is_empty() {
        return Ok(Err("the run has logged no loss yet".to_owned()));
    }
    let mut figure = figures::loss(&steps, &losses, &buckets)?;
    if let Some(first) = tail.first() {
        figure.caption.push_str(&format!(
            " The loss by t is the mean over the log lines of steps {} to {}.",
            first.step,
            steps.last().copied().unwrap_or(first.step)
        ));
    }
    Ok(Ok(figure))
}

/// The last quarter, at least one line.
fn tail(records: &[Record]) -> &[Record] {
    let count = ((records.len() as f64 * TAIL).round() as usize).max(1).min(records.len());
    &records[records.len() - count..]
}

/// Mean loss of each part of the chain, in order and without gaps. A part for which no line has a loss joins the one
/// before it or, at the beginning, the one after.
fn buckets(records: &[Record], timesteps: usize) -> Vec<LossBucket> {
    let parts = records.iter().map(|record| record.loss_by_t.len()).max().unwrap_or(0);
    let mut buckets: Vec<LossBucket> = Vec::new();
    let mut next = 0;
    for part in 0..parts {
        // t belongs to part t * parts / timesteps.
        let end = ((part + 1) * timesteps).div_ceil(parts);
        let losses = records.iter().filter_map(|record| *record.loss_by_t.get(part)?).collect::<Vec<f64>>();
        if losses.is_empty() {
            if let Some(before) = buckets.last_mut() {
                before.end = end;
                next = end;
            }
        } else if end > next {
            let loss = losses.iter().sum::<f64>() / losses.len() as f64;
            buckets.push(LossBucket { first: next, end, loss });
            next = end;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64, loss_by_t: &[Option<f64>]) -> Record {
        Record { step, loss: 0.5, lr: 0.1, grad_norm: 1.0, images_per_s: 32.0, loss_by_t: loss_by_t.to_vec() }
    }

    fn bucket(first: usize, end: usize, loss: f64) -> LossBucket {
        LossBucket { first, end, loss }
    }

    #[test]
    fn means_by_part_of_the_chain() {
        let records = [record(1, &[Some(1.0), Some(0.2)]), record(2, &[Some(3.0), None])];
        assert_eq!(buckets(&records, 1000), [bucket(0, 500, 2.0), bucket(500, 1000, 0.2)]);
        assert_eq!(buckets(&records, 5), [bucket(0, 3, 2.0), bucket(3, 5, 0.2)]);
        assert!(buckets(&[], 10).is_empty());
        assert!(buckets(&[record(1, &[None, None])], 10).is_empty());
    }

    #[test]
    fn parts_without_a_loss_join_a_neighbour() {
        let gaps = [record(1, &[None, Some(1.0), None, Some(0.5), None])];
        assert_eq!(buckets(&gaps, 50), [bucket(0, 30, 1.0), bucket(30, 50, 0.5)]);
        // Ten parts of a chain of two steps: parts 0 and 5 contain one t each.
        let mut short = [None; 10];
        (short[0], short[5]) = (Some(1.0), Some(0.5));
        assert_eq!(buckets(&[record(1, &short)], 2), [bucket(0, 1, 1.0), bucket(1, 2, 0.5)]);
    }

    #[test]
    fn the_tail_is_a_quarter() {
        let records: Vec<_> = (1..=8).map(|step| record(step, &[])).collect();
        assert_eq!(tail(&records).iter().map(|record| record.step).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(tail(&records[..1]).len(), 1);
        assert!(tail(&[]).is_empty());
    }

    #[test]
    fn a_run_without_losses_is_not_a_failure() {
        assert!(loss(&[], 1000).unwrap().is_err());
        assert!(loss(&[record(1, &[Some(1.0)])], 1000).unwrap().is_ok());
    }
}
