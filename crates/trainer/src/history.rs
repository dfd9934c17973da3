//! Loss-aware sampling of levels (Nichol & Dhariwal 2021, Sec. 3.3): levels with a large or varying loss are drawn more often.

use std::collections::VecDeque;

use schedule::NoisePath;
use serde::{Deserialize, Serialize};

/// Most parts of the path for which losses are kept. The paper keeps them for each of 4000 steps; with this many parts, all
/// are known after some tens of steps.
const PARTS: usize = 100;
/// Losses kept per part, as in the paper.
const KEPT: usize = 10;
/// Most losses used per step: enough to fill every part.
const MOST_OF_STEP: usize = 4096;
/// Share of the draws that stays uniform, so that no part is neglected.
const UNIFORM: f64 = 0.001;

/// The latest losses of each part of the path.
///
/// A step uses the losses up to the step before the last, since on a GPU the last one is not known yet. So a run draws the
/// same levels wherever it is stopped and resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossHistory {
    /// Losses of each part, the newest last.
    parts: Vec<VecDeque<f64>>,
    /// The last step: its number, and (part, loss) of each image.
    last: Option<(u64, Vec<(usize, f64)>)>,
}

impl Default for LossHistory {
    fn default() -> Self {
        Self { parts: vec![VecDeque::new(); PARTS], last: None }
    }
}

impl LossHistory {
    /// That of a path. A chain has no more parts than steps, since others would never get a loss.
    pub(crate) fn new(path: &dyn NoisePath) -> Self {
        let parts = if path.is_discrete() { path.steps().min(PARTS) } else { PARTS };
        Self { parts: vec![VecDeque::new(); parts], last: None }
    }

    /// Whether nothing was recorded, as when levels are drawn in another way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.parts.iter().all(VecDeque::is_empty)
    }

    /// Whether it has the same parts.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.parts.len() == other.parts.len()
    }

    /// Records the losses of a step at their times, as shares in [0, 1] of the path from data to noise.
    pub(crate) fn record(&mut self, step: u64, losses: impl Iterator<Item = (f64, f64)>) {
        self.settle();
        let parts = self.parts.len();
        let of_part = |(share, loss): (f64, f64)| {
            (((share * parts as f64) as usize).min(parts.saturating_sub(1)), loss)
        };
        self.last = Some((step, losses.take(MOST_OF_STEP).map(of_part).collect()));
    }

    fn settle(&mut self) {
        for (part, loss) in self.last.take().map(|last| last.1).unwrap_or_default() {
            if let Some(kept) = self.parts.get_mut(part) {
                kept.push_back(loss);
                if kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        }
    }

    /// The odds for a step; `None` while some part has too few losses, in which case draws are uniform.
    pub(crate) fn odds(&self, step: u64) -> Option<Odds> {
        let mut known = self.clone();
        if known.last.as_ref().is_some_and(|last| last.0 + 2 <= step) {
            known.settle();
        }
        if known.parts.is_empty() || known.parts.iter().any(|kept| kept.len() < KEPT) {
            return None;
        }
        let root =
            |kept: &VecDeque<f64>| (kept.iter().map(|loss| loss * loss).sum::<f64>() / KEPT as f64).sqrt();
        let roots: Vec<f64> = known.parts.iter().map(root).collect();
        let (total, parts) = (roots.iter().sum::<f64>(), roots.len() as f64);
        let mut sum = 0.0;
        let cumulative = roots.iter().map(|root| {
            let by_loss = if total > 0.0 { root / total } else { 1.0 / parts };
            sum += (1.0 - UNIFORM) * by_loss + UNIFORM / parts;
            sum
        });
        Some(Odds { cumulative: cumulative.collect() })
    }
}

/// The probability of each part, of which there is at least one.
pub(crate) struct Odds {
    /// Probability of a part and all parts before it.
    cumulative: Vec<f64>,
}

impl Odds {
    /// Maps two uniform numbers to a share of the path, and returns how much more often than uniformly its part is
    /// drawn.
    pub(crate) fn share(&self, part: f64, within: f64) -> (f64, f64) {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let parts = self.cumulative.len();
        let index = self.cumulative.partition_point(|&sum| sum <= part * total).min(parts - 1);
        let below = if index == 0 { 0.0 } else { self.cumulative[index - 1] };
        let chance = (self.cumulative[index] - below) / total;
        (crate::draw::inside((index as f64 + within) / parts as f64), chance * parts as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten losses in every part; those in the upper half are three times those in the lower half.
    fn full() -> LossHistory {
        let mut history = LossHistory::default();
        for step in 0..10 {
            let share = |part: usize| (part as f64 + 0.5) / PARTS as f64;
            history.record(step, (0..PARTS).map(|part| (share(part), if part < 50 { 1.0 } else { 3.0 })));
        }
        history
    }

    #[test]
    fn uniform_until_every_part_is_known_and_then_by_the_root_of_its_squares() {
        let history = full();
        // The tenth record, of step 9, is available to step 11.
        assert!(history.odds(10).is_none());
        let odds = history.odds(11).unwrap();
        for (at, want) in [(0.1, 0.5), (0.9, 1.5)] {
            let (_, more_often) = odds.share(at, 0.5);
            assert!((more_often - want).abs() < 2e-3, "{at}: {more_often}");
        }
        // A quarter of the probability is below the middle.
        assert!((odds.share(0.2502, 0.0).0 - 0.5).abs() < 0.011, "{:?}", odds.share(0.25, 0.0));
    }

    /// A chain of any length fills all its parts, and draws a step as often as its loss says.
    #[test]
    fn short_and_odd_chains_fill_all_their_parts() {
        let kind = schedule::BetaSchedule::Linear { beta_start: 1e-4, beta_end: 0.02 };
        for steps in [2_usize, 7, 99, 100, 101, 150, 1000] {
            let path = schedule::Schedule::new(&kind, steps).unwrap();
            let mut history = LossHistory::new(&path);
            assert_eq!(history.parts.len(), steps.min(PARTS));
            let share = |t: usize| (t as f64 + 0.5) / steps as f64;
            for step in 0..10 {
                history.record(step, (0..steps).map(|t| (share(t), 1.0 + t as f64)));
            }
            let odds = history.odds(11).unwrap_or_else(|| panic!("{steps} steps: a part has no losses"));
            if steps > PARTS {
                continue;
            }
            let total: f64 = (0..steps).map(|t| 1.0 + t as f64).sum();
            let mut below = 0.0;
            for t in 0..steps {
                let own = (1.0 - UNIFORM) * (1.0 + t as f64) / total + UNIFORM / steps as f64;
                let (drawn, more_often) = odds.share(below + 0.5 * own, 0.5);
                assert_eq!(path.level_of_share(drawn).unwrap().t, t as f64, "{steps} steps");
                assert!((more_often - own * steps as f64).abs() < 1e-9, "{steps} steps, {t}: {more_often}");
                below += own;
            }
        }
    }

    /// The divisor of a loss compensates for how often it is drawn, so the expected loss is unchanged.
    #[test]
    fn the_expected_loss_is_unchanged() {
        let odds = full().odds(11).unwrap();
        let loss = |share: f64| if share < 0.5 { 1.0 } else { 3.0 };
        let draws = 100_000;
        let mean = (0..draws)
            .map(|k| {
                let (share, more_often) = odds.share((f64::from(k) + 0.5) / f64::from(draws), 0.5);
                loss(share) / more_often
            })
            .sum::<f64>()
            / f64::from(draws);
        assert!((mean - 2.0).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn the_newest_ten_are_kept() {
        let mut history = full();
        for step in 10..21 {
            history.record(step, std::iter::once((0.005, 9.0)));
        }
        assert_eq!(history.parts[0].len(), KEPT);
        assert!(
            history.parts[0].iter().all(|&loss| loss == 9.0)
                && history.parts[1].iter().all(|&loss| loss == 1.0)
        );
    }
}
