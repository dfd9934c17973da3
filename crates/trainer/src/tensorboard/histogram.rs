//! A distribution in TensorBoard's format: `HistogramProto` with `min` (1), `max` (2), `num` (3), `sum` (4), `sum_squares` (5),
//! and packed lists of the upper limits of its bins (6) and their counts (7).

use super::wire::Message;

/// Number of bins of equal width between the smallest and the largest number.
const PARTS: usize = 30;

/// A histogram of finite numbers.
#[derive(Debug, PartialEq)]
pub(super) struct Histogram {
    min: f64,
    max: f64,
    count: f64,
    sum: f64,
    squares: f64,
    /// Upper limits of the bins.
    limits: Vec<f64>,
    counts: Vec<f64>,
}

impl Histogram {
    /// `None` if no number is finite.
    pub(super) fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x));
        let (min, max) = (finite().reduce(f64::min)?, finite().reduce(f64::max)?);
        let width = (max - min) / PARTS as f64;
        let parts = if width > 0.0 { PARTS } else { 1 };
        let mut counts = vec![0.0; parts];
        for x in finite() {
            let part = if width > 0.0 { ((x - min) / width) as usize } else { 0 };
            counts[part.min(parts - 1)] += 1.0;
        }
        let mut limits: Vec<f64> = (1..=parts).map(|part| min + width * part as f64).collect();
        limits[parts - 1] = max;
        Some(Self {
            min,
            max,
            count: finite().count() as f64,
            sum: finite().sum(),
            squares: finite().map(|x| x * x).sum(),
            limits,
            counts,
        })
    }

    pub(super) fn message(&self) -> Message {
        let packed = |list: &[f64]| list.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut message = Message::default();
        message.double(1, self.min).double(2, self.max).double(3, self.count).double(4, self.sum);
        message.double(5, self.squares).bytes(6, &packed(&self.limits)).bytes(7, &packed(&self.counts));
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_number_is_in_one_bin() {
        let values: Vec<f32> = (0..=60).map(|i| i as f32 / 10.0).chain([f32::NAN, f32::INFINITY]).collect();
        let histogram = Histogram::of(&values).unwrap();
        assert_eq!((histogram.min, histogram.max, histogram.count), (0.0, 6.0, 61.0));
        assert_eq!(histogram.counts.iter().sum::<f64>(), 61.0);
        assert!(histogram.limits.is_sorted() && histogram.limits.len() == 30);
        assert!((histogram.sum - 183.0).abs() < 1e-4 && (histogram.squares - 738.1).abs() < 1e-3);
        let one = Histogram::of(&[2.5, 2.5]).unwrap();
        assert_eq!((one.limits, one.counts), (vec![2.5], vec![2.0]));
        assert_eq!(Histogram::of(&[f32::NAN]), None);
    }

    /// Two doubles in a packed list, as in protocol buffers.
    #[test]
    fn lists_are_packed() {
        let bytes = Histogram::of(&[1.0]).unwrap().message().0;
        let limit = [&[6 << 3 | 2, 8][..], &1.0_f64.to_le_bytes()].concat();
        assert!(bytes.windows(limit.len()).any(|window| window == limit));
        assert_eq!(bytes.len(), 5 * 9 + 2 * 10);
    }
}
