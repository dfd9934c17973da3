//! Chooses the images in the batch of a step: a pure function of (seed, step, rank), without state to save.
//!
//! All epochs form one endless sequence of indices, with a separate order for each epoch ([`Order`]). Place `j` of the
//! batch of `step` on `rank` is position `p = (step * world + rank) * batch + j`: item `p mod len` of epoch `p / len`. A
//! batch may cross the end of an epoch, and may be larger than the dataset.

use std::sync::Arc;

use ndarray::Array4;
use rayon::prelude::*;

use crate::convert::to_model;
use crate::error::DatasetError;
use crate::limits::check_size;
use crate::order::{Order, Orders};
use crate::set::Dataset;
use crate::vary::{Change, Vary};

/// Maximum size of a batch in bytes of f32; a larger one means a wrong batch size or image size.
const MAX_BATCH: u64 = 8 << 30;

/// Images, labels and their indices for one training step on one rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The step, counted from 0.
    pub step: u64,
    /// `[b, c, h, w]` in [-1, 1].
    pub images: Array4<f32>,
    /// One label per image; `None` if the dataset has none.
    pub labels: Option<Vec<i64>>,
    /// Index of each image in the dataset.
    pub indices: Vec<usize>,
}

/// The order of the images in a run.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    len: u32,
    batch: usize,
    seed: u64,
    rank: u32,
    world: u32,
    vary: Vary,
    orders: Arc<Orders>,
}

impl BatchPlan {
    /// Plans batches of `batch` images out of `len`, on a single device, with unchanged images.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] unless `len` is in 1..2^32 and `batch` in 1..=2^20.
    ///
    /// ```
    /// let plan = dataset::BatchPlan::new(10, 4, 7)?;
    /// let mut epoch: Vec<usize> = (0..5).flat_map(|step| plan.indices(step)).collect();
    /// epoch.truncate(10);
    /// epoch.sort();
    /// assert!(epoch.into_iter().eq(0..10));
    /// # Ok::<(), dataset::DatasetError>(())
    /// ```
    pub fn new(len: usize, batch: usize, seed: u64) -> Result<Self, DatasetError> {
        let Some(len) = u32::try_from(len).ok().filter(|&len| len > 0) else {
            return Err(DatasetError::option("number of images", "1..4294967296", len));
        };
        if !(1..=1 << 20).contains(&batch) {
            return Err(DatasetError::option("batch", "1..=1048576", batch));
        }
        let orders = Arc::new(Orders::new(seed, len, Order::default()));
        Ok(Self { len, batch, seed, rank: 0, world: 1, vary: Vary::default(), orders })
    }

    /// Takes the share of `rank` out of `world` devices; together they use `world * batch` images per step.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] unless `rank < world`.
    pub fn sharded(self, rank: u32, world: u32) -> Result<Self, DatasetError> {
        if rank >= world {
            return Err(DatasetError::option("rank", format!("below the world size {world}"), rank));
        }
        Ok(Self { rank, world, ..self })
    }

    /// Orders the images of each epoch; by default in random order.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] for a buffer out of range.
    pub fn with_order(self, order: Order) -> Result<Self, DatasetError> {
        order.validate()?;
        Ok(Self { orders: Arc::new(self.orders.with(order)), ..self })
    }

    /// Mirrors each image horizontally with probability 1/2, drawn anew at each position. Only the image inside the
    /// border is mirrored; the border stays.
    #[must_use]
    pub fn with_flip(self, flip: bool) -> Self {
        Self { vary: self.vary.with_flip(flip), ..self }
    }

    /// Crops each image to a random part with the image's aspect ratio, and enlarges it to the image's size. The part
    /// lacks a random share of the area, from 0 to `share` (0 to 0.9; 0 disables it). The border stays.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] for a share out of range.
    pub fn with_crop(self, share: f64) -> Result<Self, DatasetError> {
        Ok(Self { vary: self.vary.with_crop(share)?, ..self })
    }

    /// Multiplies brightness, contrast and saturation of each image by random factors from `1 - strength` to `1 +
    /// strength` (0 to 1; 0 disables it). The border stays.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] for a strength out of range.
    pub fn with_jitter(self, strength: f64) -> Result<Self, DatasetError> {
        Ok(Self { vary: self.vary.with_jitter(strength)?, ..self })
    }

    /// Images in one batch on one rank.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// The epoch, counted from 0, of the first image of `step`.
    #[must_use]
    pub fn epoch(&self, step: u64) -> u64 {
        let position = u128::from(step) * u128::from(self.world) * self.batch as u128;
        (position / u128::from(self.len)) as u64
    }

    /// The indices of the images of a step, in batch order.
    #[must_use]
    pub fn indices(&self, step: u64) -> Vec<usize> {
        self.positions(step).map(|position| self.index(position)).collect()
    }

    /// Reads the batch of a step.
    ///
    /// # Errors
    /// [`DatasetError::BadOption`] if the length of `dataset` differs from the plan; [`DatasetError::TooLarge`] above 8
    /// GiB; any error of reading.
    pub fn batch(&self, dataset: &Dataset, step: u64) -> Result<Batch, DatasetError> {
        if dataset.len() != self.len as usize {
            return Err(DatasetError::option(
                "number of images",
                format!("{} as planned", self.len),
                dataset.len(),
            ));
        }
        let (height, width, channels) = dataset.shape();
        let values = [self.batch, height, width, channels].map(|n| n as u64);
        // Both factors stay below 2^64, because the shape is that of an image in memory.
        let bytes = values[0].saturating_mul(values[1] * values[2] * values[3]).saturating_mul(4);
        check_size("the batch", &format!("shape {values:?}"), bytes, MAX_BATCH)?;
        let mut pixels = Array4::zeros((self.batch, height, width, channels));
        let indices = self.indices(step);
        let changes = self.positions(step).map(|position| self.vary.change(self.seed, position));
        let read = |((&index, change), out): ((&usize, Change), &mut [u8])| {
            dataset.read_changed(index, &change, out)
        };
        // A new array is contiguous.
        let all = pixels.as_slice_mut().unwrap_or_default();
        let item_bytes = (height * width * channels).max(1);
        let mut items = indices.iter().zip(changes).zip(all.chunks_exact_mut(item_bytes));
        if dataset.is_decoding() {
            let items: Vec<_> = items.collect();
            items.into_par_iter().try_for_each(read)?;
        } else {
            items.try_for_each(read)?;
        }
        let labels = indices.iter().map(|&index| dataset.label(index).map(i64::from)).collect();
        Ok(Batch { step, images: to_model(pixels.view()), labels, indices })
    }

    fn positions(&self, step: u64) -> impl Iterator<Item = u128> + use<> {
        let shard = u128::from(step) * u128::from(self.world) + u128::from(self.rank);
        let first = shard * self.batch as u128;
        first..first + self.batch as u128
    }

    fn index(&self, position: u128) -> usize {
        let len = u128::from(self.len);
        self.orders.index((position / len) as u64, (position % len) as u32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array4, Axis, Slice};
    use proptest::prelude::*;

    fn numbered(count: usize) -> Dataset {
        let images =
            Array4::from_shape_fn((count, 2, 3, 3), |(i, y, x, c)| (i * 18 + y * 9 + x * 3 + c) as u8);
        Dataset::from_array(images, Some((0..count as u32).collect())).unwrap()
    }

    #[test]
    fn a_batch_holds_the_images_and_labels_of_its_indices() {
        let set = numbered(7);
        let batch = BatchPlan::new(7, 5, 3).unwrap().batch(&set, 11).unwrap();
        assert_eq!(batch.images.dim(), (5, 3, 2, 3));
        for (place, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.labels.as_ref().unwrap()[place], index as i64);
            let want = to_model(set.image(index).unwrap().insert_axis(Axis(0)).view());
            assert_eq!(batch.images.index_axis(Axis(0), place), want.index_axis(Axis(0), 0));
        }
    }

    #[test]
    fn flips_mirror_about_half_and_depend_only_on_the_position() {
        let set = numbered(1);
        let flipping = BatchPlan::new(1, 1000, 5).unwrap().with_flip(true);
        let batch = flipping.batch(&set, 2).unwrap();
        let plain = to_model(set.image(0).unwrap().insert_axis(Axis(0)).view());
        let mirrored = plain.slice_axis(Axis(3), Slice::from(..).step_by(-1));
        let mut count = 0;
        for image in batch.images.outer_iter() {
            let image = image.insert_axis(Axis(0));
            assert!(image == plain || image == mirrored);
            count += usize::from(image == mirrored);
        }
        // Five standard deviations of a fair coin.
        assert!((421..=579).contains(&count), "{count}");
        // The same positions flip alike in smaller batches.
        let small = BatchPlan::new(1, 500, 5).unwrap().with_flip(true).batch(&set, 5).unwrap();
        assert_eq!(small.images, batch.images.slice_axis(Axis(0), Slice::from(500..)));
    }

    /// If the border is one pixel wider on the right, it stays there.
    #[test]
    fn white_images_of_odd_width_have_no_black_column_inside() {
        let white = Dataset::from_array(Array4::from_elem((1, 15, 15, 1), 255), None).unwrap();
        let white = white.with_border(16).unwrap();
        let batch = BatchPlan::new(1, 64, 3).unwrap().with_flip(true).batch(&white, 0).unwrap();
        assert_eq!(batch.images.dim(), (64, 1, 16, 16));
        let inner = batch.images.slice_axis(Axis(2), Slice::from(..15));
        assert!(inner.slice_axis(Axis(3), Slice::from(..15)).iter().all(|&v| v == 1.0));
        assert!(batch.images.index_axis(Axis(3), 15).iter().all(|&v| v == -1.0));
    }

    #[test]
    fn impossible_plans_are_refused() {
        assert!(BatchPlan::new(0, 1, 0).is_err());
        assert!(BatchPlan::new(5, 0, 0).is_err());
        assert!(BatchPlan::new(5, 1, 0).unwrap().sharded(2, 2).is_err());
        assert!(BatchPlan::new(5, 1, 0).unwrap().with_order(Order::Blocks { buffer: 0 }).is_err());
        assert!(BatchPlan::new(5, 1, 0).unwrap().batch(&numbered(6), 0).is_err());
        let large = Dataset::from_array(Array4::zeros((1, 64, 64, 3)), None).unwrap();
        let error = BatchPlan::new(1, 1 << 20, 0).unwrap().batch(&large, 0).unwrap_err();
        assert!(matches!(error, DatasetError::TooLarge { needed: 51_539_607_552, .. }), "{error}");
        // The last possible step neither overflows nor panics.
        let plan = BatchPlan::new(5, 1 << 20, 0).unwrap().sharded(u32::MAX - 1, u32::MAX).unwrap();
        assert_eq!(plan.indices(u64::MAX).len(), 1 << 20);
    }

    proptest! {
        /// With any batch size, every image occurs once per epoch, and the order differs between epochs.
        #[test]
        fn every_image_once_per_epoch(len in 1_usize..60, batch in 1_usize..100, seed: u64) {
            let plan = BatchPlan::new(len, batch, seed).unwrap();
            let steps = (3 * len).div_ceil(batch) as u64;
            let sequence: Vec<usize> = (0..steps).flat_map(|step| plan.indices(step)).collect();
            for epoch in sequence.chunks_exact(len).take(3) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                prop_assert!(sorted.into_iter().eq(0..len));
            }
            if len > 20 {
                prop_assert_ne!(&sequence[..len], &sequence[len..2 * len]);
            }
        }

        /// With any size and border, a flipped batch equals a batch of flipped images.
        #[test]
        fn flipping_and_padding_commute(
            h in 1_usize..6, w in 1_usize..20, colour: bool, multiple in 1_usize..9, seed: u64,
        ) {
            let c = if colour { 3 } else { 1 };
            let images = Array4::from_shape_fn((1, h, w, c), |(_, y, x, k)| (1 + (y * 97 + x * 7 + k) % 255) as u8);
            let mirrored = images.slice_axis(Axis(2), Slice::from(..).step_by(-1)).to_owned();
            let first = |images: Array4<u8>, flip| {
                let set = Dataset::from_array(images, None).unwrap().with_border(multiple).unwrap();
                BatchPlan::new(1, 8, seed).unwrap().with_flip(flip).batch(&set, 0).unwrap().images
            };
            let (plain, other) = (first(images.clone(), false), first(mirrored, false));
            for (place, image) in first(images, true).outer_iter().enumerate() {
                let flips = Vary::default().with_flip(true).change(seed, place as u128).flip;
                let want = if flips { &other } else { &plain };
                prop_assert_eq!(image, want.index_axis(Axis(0), place));
            }
        }

        /// Two ranks with half the batch see what one device sees, and steps can be requested in any order.
        #[test]
        fn ranks_share_one_sequence(len in 1_usize..60, half in 1_usize..40, step in 0_u64..1000, seed: u64) {
            let whole = BatchPlan::new(len, 2 * half, seed).unwrap().indices(step);
            let shards = (0..2).flat_map(|rank| {
                BatchPlan::new(len, half, seed).unwrap().sharded(rank, 2).unwrap().indices(step)
            });
            prop_assert!(shards.eq(whole));
        }
    }
}
