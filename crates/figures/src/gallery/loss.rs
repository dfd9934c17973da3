//! Figure 6: the loss while training, and where along t it comes from (Ho et al. 2020, Eq. 14).

use crate::axis::Scale;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel, lighter};

/// Most points of the raw curve; more are thinned out evenly.
pub(super) const MAX_POINTS: usize = 3000;
/// The smoothed curve averages over about this share of the run.
const SMOOTHING: f64 = 0.02;

/// What the losses of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossText<'a> {
    /// The loss in a few words, such as "squared error of the predicted noise, mean per pixel".
    pub name: &'a str,
    /// Its equation, in the plain notation of [`crate::equation_html`].
    pub equation: &'a str,
    /// Training steps whose mean a point of the curve is.
    pub every: u64,
    /// Steps over whose log lines the loss by t is averaged: the first and the last.
    pub tail: (u64, u64),
}

/// Mean unweighted loss over a range of t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossBucket {
    /// First t of the range.
    pub first: usize,
    /// First t beyond it.
    pub end: usize,
    /// Mean loss.
    pub loss: f64,
}

/// The loss by training step, as logged and smoothed, and the loss by t. `steps` and `losses` are `[n]`; `buckets` follow
/// each other without a gap.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when `steps` and `losses` differ in length or a
/// bucket does not start where the one before ends, [`FiguresError::NotFinite`].
pub fn loss(
    text: &LossText<'_>,
    steps: &[u64],
    losses: &[f64],
    buckets: &[LossBucket],
) -> Result<Figure, FiguresError> {
    check::not_empty("the losses", losses)?;
    check::length("losses", steps.len(), losses.len())?;
    check::finite("losses", losses.iter().copied())?;
    check::not_empty("the loss buckets", buckets)?;
    for pair in buckets.windows(2) {
        check::length("start of a loss bucket", pair[0].end, pair[1].first)?;
    }
    if let Some(bucket) = buckets.iter().find(|bucket| bucket.end <= bucket.first) {
        return Err(FiguresError::Mismatch {
            what: "end of a loss bucket",
            expected: bucket.first + 1,
            got: bucket.end,
        });
    }
    let words = Words {
        name: "06-loss",
        title: "Training loss",
        caption: format!(
            "Left: the training loss, {}; {} (faint), and smoothed over about {:.0} % of the run. Right: the error by t without \
             weights, converted to that of ε, the mean over the log lines of steps {} to {}.",
            text.name,
            points(text.every, true),
            100.0 * SMOOTHING,
            text.tail.0,
            text.tail.1,
        ),
        equation: "",
        note: "Left: the loss as logged while training. Right: means over ranges of t. Dimensionless.",
    };
    let smooth = smoothed(losses);
    let stride = losses.len().div_ceil(MAX_POINTS);
    let curve = |values: &[f64]| -> Vec<(f64, f64)> {
        steps.iter().zip(values).step_by(stride).map(|(&step, &value)| (step as f64, value)).collect()
    };
    let (low, high) = losses.iter().fold((f64::INFINITY, 0_f64), |(l, h), &v| (l.min(v), h.max(v)));
    let history = Panel {
        heading: "Loss by training step".into(),
        x_label: "training step".into(),
        y_label: "loss".into(),
        y_scale: if low > 0.0 && high > 4.0 * low { Scale::Log } else { Scale::Linear },
        x_range: Some((0.0, steps.iter().copied().max().unwrap_or(0) as f64)),
        marks: vec![
            Mark::line(curve(losses), lighter(PALETTE[0], 0.6)).thin(),
            Mark::line(curve(&smooth), PALETTE[1]),
        ],
        ..Panel::default()
    };
    let mut edges: Vec<f64> = buckets.iter().map(|bucket| bucket.first as f64).collect();
    edges.extend(buckets.last().map(|bucket| bucket.end as f64));
    let by_t = Panel {
        heading: format!("Error of ε by t, steps {} to {}", text.tail.0, text.tail.1),
        x_label: "t".into(),
        y_label: "mean error".into(),
        marks: vec![Mark::Bars {
            edges,
            heights: buckets.iter().map(|bucket| bucket.loss).collect(),
            colour: lighter(PALETTE[0], 0.2),
        }],
        ..Panel::default()
    };
    let legend = vec![(points(text.every, false), lighter(PALETTE[0], 0.6)), ("smoothed".into(), PALETTE[1])];
    let page =
        words.page().legend(legend).row(vec![history.draw(HALF.0, HALF.1)?, by_t.draw(HALF.0, HALF.1)?]);
    let picture = page.draw()?;
    Ok(Figure { equation: text.equation.to_owned(), ..words.figure(&picture)? })
}

/// What a point of the curve is, in a sentence or in the legend.
fn points(every: u64, in_sentence: bool) -> String {
    match (every, in_sentence) {
        (0 | 1, true) => "a point for every training step".to_owned(),
        (0 | 1, false) => "every step".to_owned(),
        (_, true) => format!("a point for every {every} training steps, their mean"),
        (_, false) => format!("mean of {every} steps"),
    }
}

/// Average around each value with exponentially falling weights to both sides: no lag, and no pull to
/// zero at the ends.
pub(super) fn smoothed(values: &[f64]) -> Vec<f64> {
    let decay = (-1.0 / (SMOOTHING * values.len() as f64).max(1.0)).exp();
    let before = weighted(values.iter(), decay);
    let mut after = weighted(values.iter().rev(), decay);
    after.reverse();
    // Both sums include the value itself; it counts once.
    let sides = before.into_iter().zip(after).zip(values);
    sides.map(|((left, right), value)| (left.0 + right.0 - value) / (left.1 + right.1 - 1.0)).collect()
}

/// For each value, the weighted sum up to it, and the sum of the weights.
fn weighted<'a>(values: impl Iterator<Item = &'a f64>, decay: f64) -> Vec<(f64, f64)> {
    values
        .scan((0.0, 0.0), |(sum, weight), value| {
            *sum = decay * *sum + value;
            *weight = decay * *weight + 1.0;
            Some((*sum, *weight))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{LossBucket, LossText, loss, smoothed};
    use crate::error::FiguresError;
    use proptest::prelude::*;

    fn bucket(first: usize, end: usize) -> LossBucket {
        LossBucket { first, end, loss: 0.5 }
    }

    #[test]
    fn draws_and_refuses() {
        let buckets = [bucket(0, 10), bucket(10, 30)];
        let text = LossText { name: "squared error", equation: "L = 1", every: 20, tail: (2, 3) };
        let figure =
            |steps: &[u64], losses: &[f64], buckets: &[LossBucket]| loss(&text, steps, losses, buckets);
        let good = figure(&[1, 2, 3], &[1.0, 0.5, 0.1], &buckets).unwrap();
        assert_eq!(good, figure(&[1, 2, 3], &[1.0, 0.5, 0.1], &buckets).unwrap());
        assert!(figure(&[7], &[0.0], &buckets[..1]).is_ok());
        assert!(
            good.caption.contains("; a point for every 20 training steps, their mean ("),
            "{}",
            good.caption
        );
        assert!(good.caption.ends_with("log lines of steps 2 to 3.") && good.equation == "L = 1");
        // The picture says it too.
        let every = LossText { every: 1, ..text };
        let single = loss(&every, &[1, 2, 3], &[1.0, 0.5, 0.1], &buckets).unwrap();
        assert!(single.caption.contains("a point for every training step (") && single.png != good.png);

        assert!(matches!(figure(&[], &[], &buckets), Err(FiguresError::Empty { .. })));
        assert!(matches!(figure(&[1], &[1.0], &[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(figure(&[1], &[1.0, 2.0], &buckets), Err(FiguresError::Mismatch { .. })));
        assert!(matches!(figure(&[1], &[f64::NAN], &buckets), Err(FiguresError::NotFinite { .. })));
        let hole = [bucket(0, 10), bucket(11, 30)];
        assert!(matches!(
            figure(&[1], &[1.0], &hole),
            Err(FiguresError::Mismatch { expected: 10, got: 11, .. })
        ));
        assert!(matches!(figure(&[1], &[1.0], &[bucket(5, 5)]), Err(FiguresError::Mismatch { .. })));
    }

    #[test]
    fn smoothing_keeps_what_is_smooth() {
        assert!(smoothed(&[2.5; 300]).iter().all(|value| (value - 2.5).abs() < 1e-12));
        let line: Vec<f64> = (0..1001).map(f64::from).collect();
        assert!((smoothed(&line)[500] - 500.0).abs() < 1e-6);
        let noise: Vec<f64> = (0..1000).map(|i| f64::from(i % 2)).collect();
        assert!(smoothed(&noise).iter().all(|value| (value - 0.5).abs() < 0.06));
    }

    proptest! {
        #[test]
        fn smoothing_stays_between_the_values(values in prop::collection::vec(-10.0..10.0_f64, 1..200)) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let smooth = smoothed(&values);
            prop_assert_eq!(smooth.len(), values.len());
            let reversed: Vec<f64> = values.iter().rev().copied().collect();
            let mut back = smoothed(&reversed);
            back.reverse();
            prop_assert!(smooth.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-9));
            prop_assert!(smooth.iter().all(|&value| value >= low - 1e-9 && value <= high + 1e-9));
        }
    }
}
