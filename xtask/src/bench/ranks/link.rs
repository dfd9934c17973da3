//! The time of a sum over ranks in a ring (Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
//! workstations"): each of r ranks sends an r-th of the bytes 2 (r - 1) times, so `t = 2 (r - 1) (a + n / (r b))`.

use crate::bench::fit::Sum;

/// What carries messages between two ranks: a and b of the law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    /// Seconds that a message takes besides its bytes.
    pub(super) latency_s: f64,
    pub(super) bytes_per_s: f64,
}

/// A measured sum: bytes, ranks and seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) bytes: f64,
    pub(super) ranks: f64,
    pub(super) seconds: f64,
}

impl Link {
    /// The link that minimises the sum of squared relative errors of the seconds. `None` if the points do not determine
    /// one, or it would have a latency or a speed that is not above 0.
    pub(super) fn fit(points: &[Point]) -> Option<Self> {
        // Divided by its 2 (r - 1) messages, a sum is a line in n / r; relative errors stay the same.
        let of_message = |p: &Point| (p.bytes / p.ranks, p.seconds / messages(p.ranks));
        let line = Sum::fit(&points.iter().map(of_message).collect::<Vec<_>>(), &[0, 1])?;
        let [(latency_s, _), (byte_s, _)] = line.terms[..] else { return None };
        (latency_s > 0.0 && byte_s > 0.0).then(|| Self { latency_s, bytes_per_s: 1.0 / byte_s })
    }

    /// Seconds of `sums` sums of `bytes` together.
    pub(super) fn seconds(self, bytes: f64, ranks: f64, sums: f64) -> f64 {
        self.latency(ranks, sums) + self.transfer(bytes, ranks)
    }

    /// The part that does not depend on the bytes.
    pub(super) fn latency(self, ranks: f64, sums: f64) -> f64 {
        messages(ranks) * sums * self.latency_s
    }

    /// The part that does.
    pub(super) fn transfer(self, bytes: f64, ranks: f64) -> f64 {
        messages(ranks) * bytes / (ranks * self.bytes_per_s)
    }

    /// The largest relative error on these points.
    pub(super) fn worst(self, points: &[Point]) -> f64 {
        let error = |p: &Point| (self.seconds(p.bytes, p.ranks, 1.0) / p.seconds - 1.0).abs();
        points.iter().map(error).fold(0.0, f64::max)
    }
}

/// Messages that a rank sends one after the other in a sum.
fn messages(ranks: f64) -> f64 {
    2.0 * (ranks - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { latency_s: 40e-6, bytes_per_s: 2e9 };

    /// Sums over 2 and 4 ranks, from 4 KiB to 64 MiB, that are off by a factor each.
    fn points(off: impl Fn(usize) -> f64) -> Vec<Point> {
        let sizes = (0..8).map(|k| f64::from(4096 << (2 * k)));
        let all = sizes.flat_map(|bytes| [(bytes, 2.0), (bytes, 4.0)]);
        let point = |(index, (bytes, ranks)): (usize, (f64, f64))| Point {
            bytes,
            ranks,
            seconds: LINK.seconds(bytes, ranks, 1.0) * off(index),
        };
        all.enumerate().map(point).collect()
    }

    /// Two ranks exchange halves twice; four ranks exchange quarters six times.
    #[test]
    fn the_law_counts_messages_and_bytes() {
        let seconds = |ranks| LINK.seconds(8e6, ranks, 1.0);
        assert!((seconds(2.0) - (80e-6 + 8e6 / 2e9)).abs() < 1e-12);
        assert!((seconds(4.0) - (240e-6 + 1.5 * 8e6 / 2e9)).abs() < 1e-12);
        assert_eq!(seconds(1.0), 0.0);
        // In ten messages, only the latency is paid more often.
        let more = LINK.seconds(8e6, 4.0, 10.0) - seconds(4.0);
        assert!((more - 9.0 * 240e-6).abs() < 1e-12);
    }

    #[test]
    fn an_exact_link_is_found() {
        let points = points(|_| 1.0);
        let link = Link::fit(&points).unwrap();
        assert!((link.latency_s / LINK.latency_s - 1.0).abs() < 1e-9, "{link:?}");
        assert!((link.bytes_per_s / LINK.bytes_per_s - 1.0).abs() < 1e-9, "{link:?}");
        assert!(link.worst(&points) < 1e-9);
        // From 2 ranks alone, too.
        let two: Vec<Point> = points.into_iter().filter(|point| point.ranks == 2.0).collect();
        assert!((Link::fit(&two).unwrap().latency_s / LINK.latency_s - 1.0).abs() < 1e-9);
    }

    #[test]
    fn noise_moves_a_link_as_little_as_itself_and_is_its_error() {
        let noisy = points(|index| if index % 3 == 0 { 1.05 } else { 0.98 });
        let link = Link::fit(&noisy).unwrap();
        assert!((link.latency_s / LINK.latency_s - 1.0).abs() < 0.06, "{link:?}");
        assert!((link.bytes_per_s / LINK.bytes_per_s - 1.0).abs() < 0.06, "{link:?}");
        let worst = link.worst(&noisy);
        assert!(worst > 0.01 && worst < 0.08, "{worst}");
        // A point twice as slow as the law is half off.
        let slow = Point { seconds: 2.0 * LINK.seconds(1e6, 2.0, 1.0), bytes: 1e6, ranks: 2.0 };
        assert!((LINK.worst(&[slow]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_link_is_none() {
        let all = points(|_| 1.0);
        assert_eq!((Link::fit(&[]), Link::fit(&all[..1])), (None, None));
        // Time that falls with the bytes, and time without a latency.
        let falling = |point: Point| Point { seconds: 1e-3 / point.bytes, ..point };
        assert_eq!(Link::fit(&all.iter().copied().map(falling).collect::<Vec<_>>()), None);
        let square = |point: Point| Point { seconds: (point.bytes / 1e6).powf(1.5), ..point };
        assert_eq!(Link::fit(&all.iter().copied().map(square).collect::<Vec<_>>()), None);
    }
}
