//! A stream of numbers for one (seed, purpose, step, rank): integers, uniforms, normals, permutations.

use std::f32::consts::TAU;

use crate::philox::philox4x32_10;

/// The purpose of the numbers. Two purposes never share numbers, even at the same seed and step.
///
/// The discriminants are part of a run's file format: a resumed run draws the same numbers only while they do not
/// change. Add new ones, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Purpose {
    /// Initial values of a network's weights; the step is the parameter's position.
    Init = 1,
    /// Order of the images; the step is the epoch.
    Order = 2,
    /// Horizontal flips; the step is the position in the endless sequence of images.
    Flip = 3,
    /// Timesteps t of a training batch.
    TrainTime = 4,
    /// Noise eps of a training batch.
    TrainNoise = 5,
    /// Dropout masks of a training step.
    Dropout = 6,
    /// x_T of a sample; the step is the image's index.
    SampleStart = 7,
    /// Noise added while sampling; the step is the image's index, with one sub-stream for each reverse step.
    SampleNoise = 8,
    /// Noise that diffuses a given image; the step is the image's index.
    Diffuse = 9,
    /// Draws for figures and for checks such as `doctor`.
    Figure = 10,
    /// Frequencies of Gaussian Fourier features.
    Frequencies = 11,
    /// Label dropout in class-conditional training.
    LabelDropout = 12,
    /// Noise and times for evaluation.
    Evaluate = 13,
    /// Noise that a sampler adds back before a step; the step is the image's index, with one sub-stream for each
    /// reverse step.
    Churn = 14,
    /// Noise on the known part of an image that is being inpainted; the step is the image's index, with one sub-stream
    /// for each level.
    Known = 15,
    /// Noise added by the jumps of resampling; the step is the image's index, with one sub-stream for each level.
    Renoise = 16,
    /// Extra noises among which an image of a training batch chooses.
    TrainChoice = 17,
    /// Augmentation of a training batch.
    TrainAugment = 18,
    /// Random crops; the step is the position in the endless sequence of images.
    Crop = 19,
    /// Random colours; the step is the same.
    Jitter = 20,
    /// Where a sample of a mixture of Gaussians lies; the step is the image's index.
    Mixture = 21,
    /// The first guess of a fit of such a mixture; the rank is the class.
    MixtureFit = 22,
}

/// The numbers for one (seed, purpose, step, rank), in a fixed order.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    /// Word 0 is the block within the stream, word 1 the sub-stream, words 2 and 3 the step.
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream for one purpose at one step (0-based) on one rank (0 on a single device).
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, step: u64, rank: u32) -> Self {
        // The key mixes the seed with purpose and rank; one Philox block makes close seeds unrelated.
        let mixed = philox4x32_10([purpose as u32, rank, 0, 0], [seed as u32, (seed >> 32) as u32]);
        Self {
            key: [mixed[0], mixed[1]],
            counter: [0, 0, step as u32, (step >> 32) as u32],
            words: [0; 4],
            used: 4,
        }
    }

    /// The stream's sub-stream number `index`, from its beginning; for example one for each reverse step of an image.
    /// Sub-stream 0 is what [`Stream::new`] gives.
    #[must_use]
    pub fn sub_stream(&self, index: u32) -> Self {
        Self { counter: [0, index, self.counter[2], self.counter[3]], used: 4, ..self.clone() }
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Skips this many 32-bit words, at no cost.
    pub fn skip(&mut self, words: u64) {
        let drawn = 4 * u64::from(self.counter[0]) - (4 - self.used as u64) % 4;
        let target = drawn + words;
        self.counter[0] = (target / 4) as u32;
        self.used = 4;
        for _ in 0..target % 4 {
            let _ = self.next_u32();
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..n`, without bias (Lemire 2019, by rejection). Returns 0 if `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let threshold = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal numbers (Box and Muller 1958), two from each pair of words.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        for pair in out.chunks_mut(2) {
            // In (0, 1], so that the logarithm stays finite; |z| is at most 5.8.
            let radius = unit_open_below(self.next_u32());
            let angle = TAU * unit_open_below(self.next_u32());
            let length = (-2.0 * radius.ln()).sqrt();
            let (sin, cos) = angle.sin_cos();
            pair[0] = length * cos;
            if let Some(second) = pair.get_mut(1) {
                *second = length * sin;
            }
        }
    }

    /// `n` standard normal numbers.
    #[must_use]
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        self.fill_normal(&mut out);
        out
    }

    /// A permutation of `0..n` (Fisher and Yates).
    #[must_use]
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last as usize, self.below(last + 1) as usize);
        }
        order
    }
}

/// A multiple of 2^-24 in (0, 1], exact in f32.
fn unit_open_below(word: u32) -> f32 {
    ((word >> 8) + 1) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::{Purpose, Stream};
    use proptest::prelude::*;

    #[test]
    fn every_coordinate_changes_the_numbers() {
        let base = Stream::new(1, Purpose::Order, 2, 0).next_u64();
        for other in [
            Stream::new(2, Purpose::Order, 2, 0),
            Stream::new(1, Purpose::Flip, 2, 0),
            Stream::new(1, Purpose::Order, 3, 0),
            Stream::new(1, Purpose::Order, 2 + (1 << 32), 0),
            Stream::new(1, Purpose::Order, 2, 1),
            Stream::new(1, Purpose::Order, 2, 0).sub_stream(1),
        ] {
            assert_ne!(base, other.clone().next_u64());
        }
        assert_eq!(base, Stream::new(1, Purpose::Order, 2, 0).sub_stream(0).next_u64());
    }

    #[test]
    fn skipping_equals_drawing() {
        for (before, words) in [(0, 0), (0, 1), (0, 4), (3, 1), (3, 2), (4, 3), (5, 11), (8, 1000)] {
            let mut skips = Stream::new(3, Purpose::TrainNoise, 0, 0);
            let mut draws = skips.clone();
            for stream in [&mut skips, &mut draws] {
                for _ in 0..before {
                    let _ = stream.next_u32();
                }
            }
            skips.skip(words);
            for _ in 0..words {
                let _ = draws.next_u32();
            }
            assert_eq!(skips.next_u64(), draws.next_u64(), "{before}, {words}");
        }
    }

    /// The numbers are part of the run format: this test fails if they change.
    #[test]
    fn numbers_do_not_change() {
        let mut stream = Stream::new(42, Purpose::TrainNoise, 7, 0);
        let words = [stream.next_u32(), stream.next_u32()];
        assert_eq!(words, GOLDEN_WORDS);
    }
    const GOLDEN_WORDS: [u32; 2] = [1_464_091_049, 2_936_248_202];

    /// Mean, variance, skewness and kurtosis of 2^20 normals within 5 standard errors.
    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 1 << 20;
        let draws = Stream::new(3, Purpose::TrainNoise, 0, 0).normals(n);
        let moment = |k: i32| draws.iter().map(|&z| f64::from(z).powi(k)).sum::<f64>() / n as f64;
        // Var(z^k) is 1, 2, 15, 96 for k = 1..4.
        for (k, want, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
            let bound = 5.0 * (variance / n as f64).sqrt();
            assert!(
                (moment(k) - want).abs() < bound,
                "moment {k}: {} not within {bound} of {want}",
                moment(k)
            );
        }
        // Neighbours are uncorrelated, within a pair and across pairs.
        for lag in [1, 2] {
            let product: f64 = draws.windows(lag + 1).map(|w| f64::from(w[0]) * f64::from(w[lag])).sum();
            assert!((product / n as f64).abs() < 5.0 / (n as f64).sqrt());
        }
    }

    #[test]
    fn below_is_uniform() {
        let mut stream = Stream::new(5, Purpose::TrainTime, 0, 0);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[stream.below(10) as usize] += 1;
        }
        // Chi-squared with 9 degrees of freedom exceeds 33.7 once in 10,000.
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 33.7, "{chi2}");
        assert_eq!(stream.below(0), 0);
    }

    proptest! {
        #[test]
        fn permutation_holds_every_index_once(n in 0_u32..500, seed: u64) {
            let mut order = Stream::new(seed, Purpose::Order, 0, 0).permutation(n);
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..n));
        }

        #[test]
        fn uniform_and_below_stay_in_range(seed: u64, n in 1_u32..) {
            let mut stream = Stream::new(seed, Purpose::Order, 0, 0);
            prop_assert!((0.0..1.0).contains(&stream.uniform()));
            prop_assert!(stream.below(n) < n);
        }
    }
}
