//! Label dropout (Ho & Salimans 2022, Algorithm 1): one network learns both the conditional and the unconditional
//! prediction.

use denoiser::NO_LABEL;
use random::{Purpose, Stream};
use tch::Tensor;

use crate::draw::Share;
use crate::error::TrainerError;

/// Replaces each label `[b]` i64 of a step by -1, which means no class, with `probability` in `[0, 1]`. The result is
/// on the same device.
///
/// Which labels are replaced depends only on (seed, step) and the image's place in the whole batch, not on any other draw.
/// The labels are those of the share.
///
/// # Errors
/// Errors from libtorch.
pub fn drop_labels(
    labels: &Tensor,
    probability: f64,
    share: &Share,
    (seed, step): (u64, u64),
) -> Result<Tensor, TrainerError> {
    if probability == 0.0 {
        return Ok(labels.shallow_clone());
    }
    let mut stream = Stream::new(seed, Purpose::LabelDropout, step, 0);
    // `uniform` is below 1, so a probability of 1 drops all labels.
    let dropped: Vec<bool> = (0..share.images.end).map(|_| stream.uniform() < probability).collect();
    let dropped = &dropped[share.images.clone()];
    let dropped = Tensor::f_from_slice(dropped)?.f_to_device(labels.device())?;
    Ok(labels.f_masked_fill(&dropped, NO_LABEL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop(count: i64, probability: f64, coordinates: (u64, u64)) -> Vec<i64> {
        let labels = Tensor::arange(count, (tch::Kind::Int64, tch::Device::Cpu));
        let share = Share::whole(count as usize);
        Vec::try_from(drop_labels(&labels, probability, &share, coordinates).unwrap()).unwrap()
    }

    #[test]
    fn the_share_is_dropped_and_the_rest_stays() {
        let n = 100_000;
        for share in [0.1, 0.5] {
            let labels = drop(n, share, (1, 2));
            let dropped = labels.iter().filter(|&&label| label == NO_LABEL).count() as f64;
            let deviation = (n as f64 * share * (1.0 - share)).sqrt();
            assert!((dropped - n as f64 * share).abs() < 5.0 * deviation, "{dropped} of {n} at {share}");
            assert!(labels.iter().enumerate().all(|(i, &label)| label == NO_LABEL || label == i as i64));
        }
        assert!(drop(1000, 0.0, (1, 2)).iter().copied().eq(0..1000));
        assert!(drop(1000, 1.0, (1, 2)).iter().all(|&label| label == NO_LABEL));
    }

    #[test]
    fn dropped_labels_depend_on_seed_step_and_place() {
        let base = drop(100, 0.5, (1, 2));
        assert_eq!(base, drop(100, 0.5, (1, 2)));
        for other in [(2, 2), (1, 3)] {
            assert_ne!(base, drop(100, 0.5, other), "{other:?}");
        }
        let part = Share { of: 100, images: 30..50 };
        let labels = Tensor::arange_start(30, 50, (tch::Kind::Int64, tch::Device::Cpu));
        let part: Vec<i64> = Vec::try_from(drop_labels(&labels, 0.5, &part, (1, 2)).unwrap()).unwrap();
        assert_eq!(part, base[30..50]);
        // A larger probability drops the same labels as a smaller one, and more.
        let more = drop(100, 0.7, (1, 2));
        assert!(base.iter().zip(&more).all(|(&few, &many)| few != NO_LABEL || many == NO_LABEL));
    }
}
