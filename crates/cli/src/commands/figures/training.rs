//! Figure 6: the loss of the run, from its `metrics.jsonl`.

use figures::{Figure, LossBucket, LossText};
use schedule::{LossWeight, Prediction};
use trainer::{LearnedVariance, Loss, Record, TrainConfig};

/// The loss by t is averaged over this last share of the run.
const TAIL: f64 = 0.25;

/// The loss curve and the loss by t, or the reason why there is nothing to draw.
pub(super) fn loss(
    records: &[Record],
    timesteps: usize,
    config: &TrainConfig,
) -> anyhow::Result<Result<Figure, String>> {
    let (steps, losses): (Vec<u64>, Vec<f64>) =
        records.iter().map(|record| (record.step, record.loss)).unzip();
    // The end of a run of a few steps may lack some parts of the chain.
    let parts = [tail(records), records];
    let mut found = parts.into_iter().map(|part| (part, buckets(part, timesteps)));
    let Some((part, buckets)) = found.find(|(_, buckets)| !buckets.is_empty()) else {
        return Ok(Err("the run has logged no loss yet".to_owned()));
    };
    let ends = part.first().zip(part.last()).map_or((0, 0), |(first, last)| (first.step, last.step));
    let (name, equation) = described(config);
    let text = LossText { name: &name, equation: &equation, every: every(records), tail: ends };
    Ok(Ok(figures::loss(&text, &steps, &losses, &buckets)?))
}

/// The steps between two log lines: the median, since a resumed run may log at other intervals.
fn every(records: &[Record]) -> u64 {
    let mut before = 0;
    let mut gaps: Vec<u64> = Vec::new();
    for record in records {
        gaps.push(record.step.saturating_sub(before));
        before = record.step;
    }
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().unwrap_or(1)
}

/// The loss of a configuration in words, and its equation if it is a squared error.
fn described(config: &TrainConfig) -> (String, String) {
    let (output, symbol) = match config.prediction {
        Prediction::Eps => ("predicted noise", "ε"),
        Prediction::X0 => ("predicted image", "x_0"),
        Prediction::V => ("predicted v", "v"),
        Prediction::Velocity => ("predicted velocity", "u"),
        _ => ("network's output F", "F"),
    };
    let weight = format!("mean per pixel, loss weight {}", config.loss_weight);
    let learned = config.variance == LearnedVariance::Learned;
    let more = if learned { ", and the variational bound for the variance" } else { "" };
    let name = match config.loss {
        Loss::Squared => format!("the squared error of the {output}, {weight}{more}"),
        Loss::Huber => format!("the Huber loss of the {output}, {weight}{more}"),
        Loss::Vlb => "the variational bound in bits per dimension".to_owned(),
        Loss::Consistency => "the distance between the images predicted from two levels".to_owned(),
    };
    let equation = match (config.loss, config.prediction, config.loss_weight) {
        (Loss::Squared, Prediction::Eps, LossWeight::Simple) if !learned => {
            "L_{simple} = E_{t, x_0, ε} ‖ε − ε_θ(√ᾱ_t x_0 + √(1 − ᾱ_t) ε, t)‖^2".to_owned()
        }
        (Loss::Squared, ..) if !learned => {
            let predicted = if symbol == "x_0" { "x̂_0".to_owned() } else { format!("{symbol}_θ") };
            format!("L = E_{{t, x_0, ε}} w_t ‖{symbol} − {predicted}(x_t, t)‖^2")
        }
        (Loss::Vlb, ..) => "L = L_T + L_{T−1} + ⋯ + L_0".to_owned(),
        _ => String::new(),
    };
    (name, equation)
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
    use crate::config::{self, Config};

    fn record(step: u64, loss_by_t: &[Option<f64>]) -> Record {
        Record { step, loss: 0.5, lr: 0.1, grad_norm: 1.0, images_per_s: 32.0, loss_by_t: loss_by_t.to_vec() }
    }

    fn config() -> TrainConfig {
        let config: Config = config::preset_table("tiny-16").unwrap().try_into().unwrap();
        config.train
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
        assert!(loss(&[], 1000, &config()).unwrap().is_err());
        assert!(loss(&[record(1, &[Some(1.0)])], 1000, &config()).unwrap().is_ok());
    }

    #[test]
    fn the_caption_says_what_is_averaged() {
        let records: Vec<_> = (1..=40).map(|line| record(20 * line, &[Some(1.0), Some(0.5)])).collect();
        let caption = loss(&records, 1000, &config()).unwrap().unwrap().caption;
        assert!(caption.contains("for every 20 training steps, their mean"), "{caption}");
        assert!(caption.ends_with("the log lines of steps 620 to 800."), "{caption}");
        // The last quarter has no loss by t, so the whole run is shown.
        let bare: Vec<_> =
            (1..=8).map(|step| record(step, if step < 3 { &[Some(1.0)] } else { &[None] })).collect();
        let caption = loss(&bare, 1000, &config()).unwrap().unwrap().caption;
        assert!(caption.ends_with("the log lines of steps 1 to 8."), "{caption}");
        assert_eq!((every(&[]), every(&bare), every(&records[..1])), (1, 1, 20));
    }

    #[test]
    fn the_loss_is_that_of_the_configuration() {
        let of = |change: &dyn Fn(&mut TrainConfig)| {
            let mut config =
                TrainConfig { prediction: Prediction::Eps, loss_weight: LossWeight::Simple, ..config() };
            change(&mut config);
            described(&config)
        };
        let (name, equation) = of(&|_| {});
        assert!(name.contains("predicted noise") && equation.starts_with("L_{simple}"), "{name} {equation}");
        let (name, equation) = of(&|config| {
            (config.prediction, config.loss_weight) = (Prediction::V, LossWeight::Output);
        });
        assert!(name.contains("predicted v, mean per pixel, loss weight output"), "{name}");
        assert_eq!(equation, "L = E_{t, x_0, ε} w_t ‖v − v_θ(x_t, t)‖^2");
        let (name, equation) = of(&|config| config.loss = Loss::Huber);
        assert!(name.starts_with("the Huber loss") && equation.is_empty(), "{name} {equation}");
    }
}
