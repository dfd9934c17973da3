//! A batch in parts: gradient accumulation, so that a step only needs the memory of one part.

use tch::Tensor;

use crate::error::TrainerError;
use crate::numbers::Numbers;

/// Input and target of the network, for a batch or a part of it.
pub(crate) struct Noised {
    /// `[b, c, h, w]`.
    pub(crate) x_t: Tensor,
    /// Like `x_t`.
    pub(crate) x_0: Tensor,
    /// `[b]`.
    pub(crate) t: Tensor,
    /// The coefficients of each image.
    pub(crate) numbers: Numbers,
    /// The target of the output, like `x_t`.
    pub(crate) target: Tensor,
    /// `[b]`.
    pub(crate) labels: Option<Tensor>,
}

impl Noised {
    /// `images` images from `first` on, without a copy.
    pub(crate) fn part(&self, first: usize, images: usize) -> Result<Self, TrainerError> {
        let (first, images) = (first as i64, images as i64);
        let part = |whole: &Tensor| whole.f_narrow(0, first, images);
        Ok(Self {
            x_t: part(&self.x_t)?,
            x_0: part(&self.x_0)?,
            t: part(&self.t)?,
            numbers: self.numbers.part(first, images)?,
            target: part(&self.target)?,
            labels: self.labels.as_ref().map(part).transpose()?,
        })
    }
}

/// The first image of each part and its number of images. There are as few parts as possible with at most `most` images
/// each (0 for no limit), as equal as possible.
pub(crate) fn parts(images: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = if most == 0 { 1 } else { images.div_ceil(most).max(1) };
    (0..count).map(move |part| {
        let edge = |part: usize| images * part / count;
        (edge(part), edge(part + 1) - edge(part))
    })
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn parts_follow_each_other_and_none_is_too_large() {
        let all = |images, most| parts(images, most).collect::<Vec<_>>();
        assert_eq!(all(32, 0), [(0, 32)]);
        assert_eq!(all(32, 32), [(0, 32)]);
        assert_eq!(all(32, 20), [(0, 16), (16, 16)]);
        assert_eq!(all(7, 3), [(0, 2), (2, 2), (4, 3)]);
        for (images, most) in [(1, 1), (10, 3), (1000, 7), (5, 9)] {
            let parts = all(images, most);
            assert_eq!(parts.iter().map(|&(_, images)| images).sum::<usize>(), images);
            assert!(parts.iter().all(|&(_, images)| (1..=most).contains(&images)));
            assert_eq!(parts.len(), images.div_ceil(most));
        }
    }
}
