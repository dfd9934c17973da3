//! Which bucket may begin next.

/// The gradients of one backward pass that are there, and the buckets that have begun.
#[derive(Debug)]
pub(super) struct Progress {
    /// The bucket of each parameter.
    bucket_of: Vec<usize>,
    /// Whether its gradient is there.
    is_there: Vec<bool>,
    /// Gradients that each bucket lacks.
    lacks: Vec<usize>,
    /// Buckets that have begun.
    begun: usize,
    /// Gradients that came after their bucket had begun.
    late: usize,
}

impl Progress {
    /// Buckets of these numbers of parameters, which are counted through.
    pub(super) fn new(sizes: impl Iterator<Item = usize>) -> Self {
        let lacks: Vec<usize> = sizes.collect();
        let of_bucket = |(bucket, size): (usize, &usize)| vec![bucket; *size];
        let bucket_of: Vec<usize> = lacks.iter().enumerate().flat_map(of_bucket).collect();
        Self { is_there: vec![false; bucket_of.len()], bucket_of, lacks, begun: 0, late: 0 }
    }

    /// A gradient was added to a parameter. That happens more than once when parts of a graph go backward on their own.
    pub(super) fn arrived(&mut self, param: usize) {
        let bucket = self.bucket_of[param];
        if bucket < self.begun {
            self.late += 1;
        } else if !self.is_there[param] {
            self.is_there[param] = true;
            self.lacks[bucket] -= 1;
        }
    }

    /// The next bucket, if all its gradients are there. It counts as begun from then on.
    pub(super) fn next(&mut self) -> Option<usize> {
        let next = self.begun;
        if self.lacks.get(next) != Some(&0) {
            return None;
        }
        self.begun += 1;
        Some(next)
    }

    /// Gradients that came after their bucket had begun.
    pub(super) fn late(&self) -> usize {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The buckets that begin at each arrival.
    fn begun(sizes: &[usize], arrivals: &[usize]) -> (Vec<Vec<usize>>, usize) {
        let mut progress = Progress::new(sizes.iter().copied());
        let mut at = |&param: &usize| {
            progress.arrived(param);
            std::iter::from_fn(|| progress.next()).collect()
        };
        let each = arrivals.iter().map(&mut at).collect();
        (each, progress.late())
    }

    #[test]
    fn a_bucket_waits_for_its_gradients_and_for_the_buckets_before_it() {
        assert_eq!(begun(&[2, 1], &[0, 1, 2]), (vec![vec![], vec![0], vec![1]], 0));
        assert_eq!(begun(&[2, 1], &[2, 1, 0]), (vec![vec![], vec![], vec![0, 1]], 0));
        // An empty one waits for the ones before it only.
        assert_eq!(begun(&[1, 0, 1, 0], &[1, 0]), (vec![vec![], vec![0, 1, 2, 3]], 0));
        // One that never comes.
        assert_eq!(begun(&[1, 2, 1], &[3, 0, 1]), (vec![vec![], vec![0], vec![]], 0));
    }

    #[test]
    fn a_second_part_of_a_gradient_is_late_once_its_bucket_has_begun() {
        assert_eq!(begun(&[2], &[0, 0, 1]), (vec![vec![], vec![], vec![0]], 0));
        assert_eq!(
            begun(&[2, 1], &[0, 1, 0, 0, 2, 1]),
            (vec![vec![], vec![0], vec![], vec![], vec![1], vec![]], 3)
        );
    }

    /// In whatever order gradients come, the buckets begin in their own, each when it is complete.
    #[test]
    fn the_order_of_buckets_is_always_the_same() {
        let sizes = [3, 1, 0, 4, 2];
        let first = |bucket: usize| sizes[..bucket].iter().sum::<usize>();
        for trial in 0..200 {
            let mut keys: Vec<(u64, usize)> = Vec::new();
            let mut stream = random::Stream::new(5, random::Purpose::Figure, trial, 0);
            keys.extend((0..10).map(|param| (stream.next_u64(), param)));
            keys.sort_unstable();
            let arrivals: Vec<usize> = keys.into_iter().map(|(_, param)| param).collect();
            let (each, late) = begun(&sizes, &arrivals);
            assert_eq!((each.concat(), late), (vec![0, 1, 2, 3, 4], 0), "{arrivals:?}");
            for (time, buckets) in each.iter().enumerate() {
                for &bucket in buckets {
                    let needed = 0..first(bucket + 1);
                    let last = arrivals.iter().rposition(|param| needed.contains(param));
                    assert_eq!(last, Some(time), "bucket {bucket} of {arrivals:?}");
                }
            }
        }
    }
}
