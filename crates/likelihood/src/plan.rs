//! Which terms of a sum are computed: all, or a few that represent the others without bias.

use random::Stream;

use crate::error::LikelihoodError;

/// Which terms of the bound are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// All of them, one call of the network each.
    All,
    /// This many calls per image, at levels drawn for it: the sum is right in expectation, and its noise is part of
    /// the standard error. At least 2, since the term of the first level is always computed.
    Sampled(usize),
}

/// The share of the uniform distribution that is mixed into the probabilities of the drawn terms, so that a term whose
/// estimate is too small does not get a large weight.
const EVEN: f64 = 0.2;

/// A term that is computed, and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chosen {
    pub(crate) step: usize,
    pub(crate) weight: f64,
    /// 1 for a step that is drawn a second time and needs different noise.
    pub(crate) visit: u32,
}

/// Terms that are always computed, and how the others are drawn: the range of all shares is cut into equal strata,
/// one per draw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    certain: Vec<usize>,
    /// A step, its share of all draws, and where its range in [0, 1] ends.
    drawn: Vec<(usize, f64, f64)>,
    draws: usize,
}

impl Plan {
    /// Makes a plan where step 0 is always computed and steps 1, 2, ... cost about what `rough` says.
    pub(crate) fn new(terms: Terms, rough: &[f64]) -> Result<Self, LikelihoodError> {
        let steps = rough.len() + 1;
        let calls = match terms {
            Terms::Sampled(got) if !(2..=steps).contains(&got) => {
                return Err(LikelihoodError::Count { what: "terms", got, least: 2, most: steps });
            }
            Terms::Sampled(calls) if calls < steps => calls,
            _ => return Ok(Self { certain: (0..steps).collect(), drawn: Vec::new(), draws: 0 }),
        };
        let total: f64 = rough.iter().sum();
        let even = 1.0 / rough.len() as f64;
        let mut rest: Vec<(usize, f64)> = rough
            .iter()
            .enumerate()
            .map(|(i, cost)| (i + 1, (1.0 - EVEN) * cost / total + EVEN * even))
            .collect();
        let (mut certain, mut draws) = (vec![0], calls - 1);
        // A term that would be drawn once or more is computed exactly once, at weight 1.
        loop {
            let left: f64 = rest.iter().map(|(_, share)| share).sum();
            let sure = |share: f64| draws > 0 && share * draws as f64 >= left;
            let (more, others): (Vec<_>, Vec<_>) = rest.iter().partition(|(_, share)| sure(*share));
            if more.is_empty() {
                break;
            }
            let most = more.len().min(draws);
            certain.extend(more.iter().take(most).map(|(step, _)| step));
            draws -= most;
            rest = more.into_iter().skip(most).chain(others).collect();
        }
        certain.sort_unstable();
        rest.sort_unstable_by_key(|(step, _)| *step);
        let left: f64 = rest.iter().map(|(_, share)| share).sum();
        let mut end = 0.0;
        let drawn = rest.into_iter().map(|(step, share)| {
            end += share / left;
            (step, share / left, end)
        });
        Ok(Self { certain, drawn: drawn.collect(), draws })
    }

    /// Terms that are computed for each image.
    pub(crate) fn calls(&self) -> usize {
        self.certain.len() + self.draws
    }

    /// Those that are always computed, rising; the first is 0.
    pub(crate) fn certain(&self) -> &[usize] {
        &self.certain
    }

    /// Those drawn for an image, one in each stratum.
    pub(crate) fn draw(&self, stream: &mut Stream) -> Vec<Chosen> {
        let mut chosen: Vec<Chosen> = Vec::with_capacity(self.draws);
        for stratum in 0..self.draws {
            let place = (stratum as f64 + stream.uniform()) / self.draws as f64;
            let last = self.drawn.len() - 1;
            let (step, share, _) =
                self.drawn[self.drawn.partition_point(|(_, _, end)| *end <= place).min(last)];
            let visit =
                chosen.last().filter(|before| before.step == step).map_or(0, |before| before.visit + 1);
            chosen.push(Chosen { step, weight: 1.0 / (share * self.draws as f64), visit });
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use random::Purpose;

    fn stream(image: u64) -> Stream {
        Stream::new(1, Purpose::Evaluate, image, 99)
    }

    #[test]
    fn all_terms_are_certain() {
        for terms in [Terms::All, Terms::Sampled(4)] {
            let plan = Plan::new(terms, &[3.0, 2.0, 1.0]).unwrap();
            assert_eq!((plan.certain(), plan.calls()), (&[0, 1, 2, 3][..], 4));
            assert!(plan.draw(&mut stream(0)).is_empty());
        }
        for got in [0, 1, 5] {
            let error = Plan::new(Terms::Sampled(got), &[3.0, 2.0, 1.0]).unwrap_err();
            assert!(matches!(error, LikelihoodError::Count { least: 2, most: 4, .. }), "{error}");
        }
    }

    proptest! {
        /// Over many images each term counts 1 on average, so any sum is right in expectation, and the requested
        /// number is computed.
        #[test]
        fn each_term_counts_once_on_average(
            rough in proptest::collection::vec(0.0_f64..1.0, 3..40), part in 0.0_f64..1.0, steep in 1.0_f64..6.0,
        ) {
            let rough: Vec<f64> = rough.iter().map(|cost| cost.powf(steep) + 1e-12).collect();
            let calls = 2 + (part * (rough.len() - 2) as f64) as usize;
            let plan = Plan::new(Terms::Sampled(calls), &rough).unwrap();
            prop_assert_eq!(plan.calls(), calls);
            let images = 4000;
            let mut counts = vec![(0.0, 0.0); rough.len() + 1];
            for &step in plan.certain() {
                counts[step] = (images as f64, 0.0);
            }
            for image in 0..images {
                let chosen = plan.draw(&mut stream(image));
                prop_assert_eq!(chosen.len() + plan.certain().len(), calls);
                for Chosen { step, weight, .. } in chosen {
                    counts[step].0 += weight;
                    counts[step].1 += weight * weight;
                }
            }
            for (step, (sum, squares)) in counts.into_iter().enumerate() {
                let bound = 5.5 * f64::sqrt(squares) + 1e-9 * images as f64;
                prop_assert!((sum - images as f64).abs() <= bound, "step {} counts {} +- {}", step, sum, bound);
            }
        }
    }
}
