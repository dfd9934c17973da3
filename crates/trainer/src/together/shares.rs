//! Which rank updates which parameters when the state of Adam is divided.

use std::ops::Range;

/// Divides parameters of these sizes into as many runs of neighbours as there are ranks. The largest share is as small as it
/// can be without cutting a parameter. Depends on the sizes alone, so that all ranks find the same. The last shares may be
/// empty.
pub(super) fn shares(sizes: &[usize], ranks: usize) -> Vec<Range<usize>> {
    let mut least = sizes.iter().copied().max().unwrap_or(0);
    let mut most = sizes.iter().sum::<usize>().max(least);
    // The smallest limit that is enough for so many ranks.
    while least < most {
        let limit = least + (most - least) / 2;
        match filled(sizes, limit).len() <= ranks {
            true => most = limit,
            false => least = limit + 1,
        }
    }
    let mut shares = filled(sizes, least);
    shares.resize(ranks, sizes.len()..sizes.len());
    shares
}

/// Runs of neighbours of at most `limit` together, each as long as possible. No size is above the limit.
fn filled(sizes: &[usize], limit: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut taken = 0;
    for (index, &size) in sizes.iter().enumerate() {
        match runs.last_mut().filter(|_| size <= limit - taken) {
            Some(run) => {
                run.end = index + 1;
                taken += size;
            }
            None => {
                runs.push(index..index + 1);
                taken = size;
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The smallest possible largest share, by trying every end of the first one.
    fn smallest_most(sizes: &[usize], ranks: usize) -> usize {
        if ranks == 1 {
            return sizes.iter().sum();
        }
        let with_first = |end: usize| {
            let first: usize = sizes[..end].iter().sum();
            first.max(smallest_most(&sizes[end..], ranks - 1))
        };
        (0..=sizes.len()).map(with_first).min().unwrap()
    }

    #[test]
    fn shares_are_balanced() {
        assert_eq!(shares(&[1, 1, 1, 1], 2), [0..2, 2..4]);
        assert_eq!(shares(&[6, 1, 1, 1, 3], 2), [0..1, 1..5]);
        assert_eq!(shares(&[1, 1, 9, 1, 1], 3), [0..2, 2..3, 3..5]);
        // More ranks than parameters, and none at all.
        assert_eq!(shares(&[5, 5], 4), [0..1, 1..2, 2..2, 2..2]);
        assert_eq!(shares(&[], 2), [0..0, 0..0]);
        assert_eq!(shares(&[0, 0], 2), [0..2, 2..2]);
    }

    proptest! {
        #[test]
        fn every_parameter_has_one_rank_and_no_division_is_better(
            sizes in prop::collection::vec(0..50_usize, 0..9),
            ranks in 1..5_usize,
        ) {
            let shares = shares(&sizes, ranks);
            prop_assert_eq!(shares.len(), ranks);
            let mut end = 0;
            for share in &shares {
                prop_assert!(share.start == end && share.end >= end);
                end = share.end;
            }
            prop_assert_eq!(end, sizes.len());
            let of = |share: &Range<usize>| sizes[share.clone()].iter().sum::<usize>();
            prop_assert_eq!(shares.iter().map(of).max().unwrap(), smallest_most(&sizes, ranks));
        }
    }
}
