//! Which t a figure shows; t is in `0..T`.

/// `0, stride, 2 stride, ...` and the last t; at most `parts + 2` values.
pub(super) fn every(timesteps: usize, parts: usize) -> Vec<usize> {
    let mut times: Vec<usize> = (0..timesteps).step_by(stride(timesteps, parts)).collect();
    if times.last().is_some_and(|&last| last + 1 < timesteps) {
        times.push(timesteps - 1);
    }
    times
}

/// The spacing of the times of [`every`].
pub(super) fn stride(timesteps: usize, parts: usize) -> usize {
    (timesteps / parts.max(1)).max(1)
}

/// The t at the given shares of the chain, without duplicates, ascending: 0 is the first, 1 the last.
pub(super) fn at_shares(timesteps: usize, shares: &[f64]) -> Vec<usize> {
    let last = timesteps.saturating_sub(1);
    let mut times: Vec<usize> =
        shares.iter().map(|share| ((share * timesteps as f64).round() as usize).min(last)).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// `count` evenly spaced t from 0 to the last one, without duplicates.
pub(super) fn to_the_end(timesteps: usize, count: usize) -> Vec<usize> {
    let spaces = count.saturating_sub(1).max(1);
    let mut times: Vec<usize> =
        (0..count).map(|i| (i as u128 * (timesteps - 1) as u128 / spaces as u128) as usize).collect();
    times.dedup();
    times
}

/// For each wanted t, the nearest t that the chain visits, without duplicates, descending.
pub(super) fn nearest(visited: &[usize], wanted: &[usize]) -> Vec<usize> {
    let near = |&t: &usize| visited.iter().copied().min_by_key(|visited| visited.abs_diff(t));
    let mut times: Vec<usize> = wanted.iter().filter_map(near).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.dedup();
    times
}

/// `count` evenly spaced values of `0..len`; all of them if there are no more.
pub(super) fn spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| (i as u128 * len as u128 / count as u128) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_t_is_always_there() {
        assert_eq!(every(1000, 10), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999]);
        assert_eq!(every(1000, 20).len(), 21);
        assert_eq!(every(11, 10), (0..11).collect::<Vec<_>>());
        assert_eq!(every(2, 20), [0, 1]);
        assert_eq!(every(19, 10).len(), 19);
        for timesteps in 2..300 {
            let times = every(timesteps, 10);
            assert_eq!((times[0], times[times.len() - 1]), (0, timesteps - 1));
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn both_ends_are_there() {
        assert_eq!(to_the_end(1000, 4), [0, 333, 666, 999]);
        assert_eq!(to_the_end(3, 9), [0, 1, 2]);
        assert_eq!((to_the_end(10, 1), to_the_end(10, 0)), (vec![0], vec![]));
    }

    #[test]
    fn shares_of_short_chains_coincide() {
        assert_eq!(at_shares(1000, &[0.0, 0.05, 0.25, 1.0]), [0, 50, 250, 999]);
        assert_eq!(at_shares(2, &[0.0, 0.05, 0.25, 1.0]), [0, 1]);
    }

    #[test]
    fn nearest_keeps_to_what_is_visited() {
        assert_eq!(nearest(&[99, 79, 59, 39, 19], &[0, 50, 60, 99]), [99, 59, 19]);
        assert_eq!(nearest(&(0..1000).rev().collect::<Vec<_>>(), &[0, 50, 999]), [999, 50, 0]);
        assert!(nearest(&[], &[1]).is_empty());
    }

    #[test]
    fn spread_is_even() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert!(spread(0, 5).is_empty());
    }
}
