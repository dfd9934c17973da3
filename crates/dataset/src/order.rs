//! The order of the images in an epoch: a function of (seed, epoch, place) without state to save, so a resumed run
//! continues with the next image.
//!
//! [`Order::Images`] is one permutation of all images. [`Order::Blocks`] permutes blocks of neighbouring images, takes
//! the blocks in groups, and permutes the images of each group: image `i` of group `g` is `permutation(epoch, g)[i]` of
//! the images in its blocks. A group holds as many images as a shuffle buffer would, but its content follows from its
//! number, so nothing has to be replayed to find an image.

use std::sync::{Mutex, PoisonError};

use random::{Purpose, Stream};

use crate::error::DatasetError;

/// Images come from at least so many places of the set at a time, if the buffer has so many.
const PLACES: usize = 128;
/// Maximum number of images in a block.
const MAX_BLOCK: usize = 256;
/// Maximum number of images in a group.
const MAX_BUFFER: usize = 10_000_000;

/// How the images of an epoch are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// In random order. Neighbouring images of a batch are far apart in the set.
    #[default]
    Images,
    /// In random order within groups of at most `buffer` images, 1..=10000000, which are blocks of neighbouring images.
    /// Reading a set from a slow disk is faster in this order. The images of a batch come from one or two groups.
    Blocks {
        /// Images of a group.
        buffer: usize,
    },
}

/// Sizes of the blocks and groups of [`Order::Blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Images in a block; the last one of the set may have fewer.
    pub(crate) images: u64,
    /// Blocks in a group; the last one of an epoch may have fewer.
    pub(crate) in_group: u64,
}

impl Blocks {
    /// The sizes for a buffer of at least one image.
    pub(crate) fn of(buffer: usize) -> Self {
        let images = (buffer / PLACES).clamp(1, MAX_BLOCK);
        Self { images: images as u64, in_group: (buffer / images).max(1) as u64 }
    }
}

impl Order {
    pub(crate) fn validate(self) -> Result<(), DatasetError> {
        match self {
            Self::Blocks { buffer } if !(1..=MAX_BUFFER).contains(&buffer) => {
                Err(DatasetError::option("shuffle_buffer", format!("1..={MAX_BUFFER} images"), buffer))
            }
            _ => Ok(()),
        }
    }
}

/// The orders of all epochs.
#[derive(Debug)]
pub(crate) struct Orders {
    seed: u64,
    /// Number of images, at least 1.
    len: u32,
    order: Order,
    /// The latest permutations. Neighbouring batches share them, and computing one for a million images takes 20 ms.
    memo: Mutex<Memo>,
}

#[derive(Debug, Default)]
struct Memo {
    epoch: Option<Epoch>,
    group: Option<Group>,
}

/// The permutation of an epoch.
#[derive(Debug)]
struct Epoch {
    number: u64,
    /// Of the images, or of the blocks.
    order: Vec<u32>,
    /// The place of the last block, which may be shorter.
    short_at: u64,
}

/// The images of a group, in order.
#[derive(Debug)]
struct Group {
    number: u64,
    /// The place of its first image in the epoch.
    first: u64,
    images: Vec<u32>,
}

impl Orders {
    pub(crate) fn new(seed: u64, len: u32, order: Order) -> Self {
        Self { seed, len, order, memo: Mutex::default() }
    }

    /// The same images in another order.
    pub(crate) fn with(&self, order: Order) -> Self {
        Self::new(self.seed, self.len, order)
    }

    /// The image at a place below the number of images.
    pub(crate) fn index(&self, epoch: u64, place: u32) -> u32 {
        // A panic elsewhere cannot leave a half-written permutation.
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let Memo { epoch: known, group } = &mut *memo;
        if known.as_ref().is_some_and(|known| known.number != epoch) {
            (*known, *group) = (None, None);
        }
        let known = known.get_or_insert_with(|| self.epoch(epoch));
        let Order::Blocks { buffer } = self.order else { return known.order[place as usize] };
        let (blocks, place) = (Blocks::of(buffer), u64::from(place));
        let number = self.group_at(known, blocks, place);
        if group.as_ref().is_some_and(|group| group.number != number) {
            *group = None;
        }
        let group = group.get_or_insert_with(|| self.group(known, blocks, number));
        group.images[(place - group.first) as usize]
    }

    fn epoch(&self, number: u64) -> Epoch {
        let count = match self.order {
            Order::Images => self.len,
            // At most the number of images.
            Order::Blocks { buffer } => u64::from(self.len).div_ceil(Blocks::of(buffer).images) as u32,
        };
        let order = Stream::new(self.seed, Purpose::Order, number, 0).permutation(count);
        let short_at = order.iter().position(|&block| block == count - 1).unwrap_or(0) as u64;
        Epoch { number, order, short_at }
    }

    /// The place in the epoch of the first image of the `nth` block in its order.
    fn start(&self, epoch: &Epoch, blocks: Blocks, nth: u64) -> u64 {
        let missing = epoch.order.len() as u64 * blocks.images - u64::from(self.len);
        nth * blocks.images - if nth > epoch.short_at { missing } else { 0 }
    }

    /// The group that has a place.
    fn group_at(&self, epoch: &Epoch, blocks: Blocks, place: u64) -> u64 {
        let groups = (epoch.order.len() as u64).div_ceil(blocks.in_group);
        let mut number = place / (blocks.in_group * blocks.images);
        // Behind the shorter block, groups start earlier by less than a block.
        while number + 1 < groups && self.start(epoch, blocks, (number + 1) * blocks.in_group) <= place {
            number += 1;
        }
        number
    }

    fn group(&self, epoch: &Epoch, blocks: Blocks, number: u64) -> Group {
        let nth = number * blocks.in_group;
        let within = epoch.order.iter().skip(nth as usize).take(blocks.in_group as usize);
        let images: Vec<u32> = within
            .flat_map(|&block| {
                let start = u64::from(block) * blocks.images;
                start as u32..(start + blocks.images).min(self.len.into()) as u32
            })
            .collect();
        // Rank 0 of an epoch is the order of the blocks.
        let mut stream = Stream::new(self.seed, Purpose::Order, epoch.number, number as u32 + 1);
        let order = stream.permutation(images.len() as u32);
        let images = order.into_iter().map(|i| images[i as usize]).collect();
        Group { number, first: self.start(epoch, blocks, nth), images }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn epoch(orders: &Orders, number: u64) -> Vec<u32> {
        (0..orders.len).map(|place| orders.index(number, place)).collect()
    }

    #[test]
    fn blocks_come_from_many_places() {
        assert_eq!(Blocks::of(1), Blocks { images: 1, in_group: 1 });
        assert_eq!(Blocks::of(100), Blocks { images: 1, in_group: 100 });
        assert_eq!(Blocks::of(10_000), Blocks { images: 78, in_group: 128 });
        assert_eq!(Blocks::of(1_000_000), Blocks { images: 256, in_group: 3906 });
        assert!(Order::Blocks { buffer: 0 }.validate().is_err());
        assert!(Order::Blocks { buffer: MAX_BUFFER + 1 }.validate().is_err());
        Order::Blocks { buffer: MAX_BUFFER }.validate().unwrap();
    }

    /// The order of images is that of earlier versions, so that their runs resume.
    #[test]
    fn images_are_one_permutation() {
        let orders = Orders::new(7, 50, Order::Images);
        for number in [0, 3] {
            let want = Stream::new(7, Purpose::Order, number, 0).permutation(50);
            assert_eq!(epoch(&orders, number), want);
        }
    }

    proptest! {
        /// An epoch has every image once, whole blocks at a time, and epochs and seeds differ.
        #[test]
        fn blocks_stay_together(len in 1_u32..3000, buffer in 1_usize..1500, seed: u64, number in 0_u64..1000) {
            let orders = Orders::new(seed, len, Order::Blocks { buffer });
            let sequence = epoch(&orders, number);
            let mut sorted = sequence.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..len));
            let Blocks { images, in_group } = Blocks::of(buffer);
            // A group has the images of its blocks, and no block is in two groups.
            let (mut seen, mut rest, mut groups) = (BTreeSet::new(), &sequence[..], 0);
            while !rest.is_empty() {
                let mut blocks = BTreeSet::new();
                let mut count = 0;
                // Whole blocks: a group ends where it has all images of its blocks and as many blocks as it should.
                while count < rest.len() {
                    blocks.insert(u64::from(rest[count]) / images);
                    count += 1;
                    let whole = |block: &u64| (u64::from(len) - block * images).min(images);
                    if blocks.len() as u64 == in_group && blocks.iter().map(whole).sum::<u64>() == count as u64 {
                        break;
                    }
                }
                prop_assert!(count <= buffer.max(1) && blocks.len() as u64 <= in_group);
                for block in blocks {
                    prop_assert!(seen.insert(block));
                }
                rest = &rest[count..];
                groups += 1;
            }
            prop_assert_eq!(groups, u64::from(len).div_ceil(images).div_ceil(in_group));
            if len > 20 {
                prop_assert_ne!(epoch(&orders, number + 1), sequence.clone());
                prop_assert_ne!(epoch(&Orders::new(seed ^ 1, len, orders.order), number), sequence);
            }
        }

        /// Any place is found without those before it.
        #[test]
        fn a_place_needs_no_history(len in 1_u32..2000, buffer in 1_usize..600, seed: u64, at: u32) {
            let orders = Orders::new(seed, len, Order::Blocks { buffer });
            let (sequence, place) = (epoch(&orders, 5), at % len);
            let fresh = orders.with(Order::Blocks { buffer });
            prop_assert_eq!(fresh.index(5, place), sequence[place as usize]);
            // Other epochs and groups in between change nothing.
            let _ = (fresh.index(6, 0), fresh.index(5, len - 1 - place));
            prop_assert_eq!(fresh.index(5, place), sequence[place as usize]);
        }
    }
}
