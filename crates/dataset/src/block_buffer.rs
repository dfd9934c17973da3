//! Reads blocks of neighbouring images from shards at once, and keeps the blocks of one group of [`crate::Order::Blocks`].
//! The order of the images does not depend on it: it only turns many small reads into few large ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::order::Blocks;
use crate::shards::{Shards, Spot};
use crate::unread::Unread;

/// Blocks are read whole if at most so much of them is not images: a factor, and bytes per image for headers.
const SPARSE: u64 = 4;
const HEADERS: u64 = 8 << 10;

/// The blocks in memory.
#[derive(Debug)]
pub(crate) struct BlockBuffer {
    /// Images in a block.
    images: usize,
    /// Maximum number of bytes: those of the largest possible group.
    limit: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// With their numbers, the oldest first.
    blocks: VecDeque<(usize, Arc<Block>)>,
    bytes: u64,
}

/// A block, read by the first thread that needs it.
#[derive(Debug)]
struct Block {
    parts: Vec<Part>,
    bytes: OnceLock<Result<Vec<Vec<u8>>, Unread>>,
}

/// Bytes `start..end` of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    shard: u32,
    start: u64,
    end: u64,
}

impl BlockBuffer {
    /// A buffer for groups of `buffer` images. `None` if one takes more than `memory` bytes, or if the images are so far
    /// apart that reading what is between them costs more than it gains.
    pub(crate) fn new(shards: &Shards, buffer: usize, memory: u64) -> Option<Self> {
        let blocks = Blocks::of(buffer);
        let images = blocks.images as usize;
        let (mut largest, mut whole) = (0, 0_u64);
        for spots in shards.spots.chunks(images) {
            let size = size(&parts(spots));
            largest = size.max(largest);
            whole = whole.saturating_add(size);
        }
        let needed: u64 = shards.spots.iter().map(|spot| SPARSE * u64::from(spot.length) + HEADERS).sum();
        // A small set has fewer blocks than a group.
        let in_group = blocks.in_group.min(shards.len().div_ceil(images) as u64);
        let limit = largest.saturating_mul(in_group);
        (limit <= memory && whole <= needed).then(|| Self { images, limit, held: Mutex::default() })
    }

    /// Bytes in memory, or about to be read.
    pub(crate) fn held(&self) -> u64 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Reads an encoded image. The error gives the reason.
    pub(crate) fn read(&self, shards: &Shards, index: usize) -> Result<Vec<u8>, Unread> {
        let number = index / self.images;
        let first = number * self.images;
        let Some(spots) = shards.spots.get(first..shards.len().min(first + self.images)) else {
            return shards.read(index);
        };
        let block = self.block(number, spots);
        let read = || {
            let part = |part: &Part| match shards.files.get(part.shard as usize) {
                Some(shard) => shard.read(part.start, (part.end - part.start) as usize),
                None => {
                    let (count, shard) = (shards.files.len(), part.shard);
                    Err(format!("expected a shard below {count}, found {shard}").into())
                }
            };
            block.parts.iter().map(part).collect()
        };
        let Ok(bytes) = block.bytes.get_or_init(read) else {
            // The image itself may be whole.
            return shards.read(index);
        };
        let found = spots.get(index - first).and_then(|spot| cut(&block.parts, bytes, *spot));
        found.map_or_else(|| shards.read(index), |bytes| Ok(bytes.to_vec()))
    }

    /// The block with a number, which may not have been read yet.
    fn block(&self, number: usize, spots: &[Spot]) -> Arc<Block> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = held.blocks.iter().find(|(other, _)| *other == number) {
            return Arc::clone(block);
        }
        let block = Arc::new(Block { parts: parts(spots), bytes: OnceLock::new() });
        let new = size(&block.parts);
        while held.bytes.saturating_add(new) > self.limit {
            let Some((_, oldest)) = held.blocks.pop_front() else { break };
            held.bytes -= size(&oldest.parts);
        }
        held.bytes += new;
        held.blocks.push_back((number, Arc::clone(&block)));
        block
    }
}

/// The bytes of images that are in order, with what is between them.
fn parts(spots: &[Spot]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for spot in spots {
        let end = spot.offset + u64::from(spot.length);
        match parts.last_mut() {
            Some(part) if part.shard == spot.shard && spot.offset >= part.end => part.end = end,
            _ => parts.push(Part { shard: spot.shard, start: spot.offset, end }),
        }
    }
    parts
}

fn size(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.end - part.start).sum()
}

/// The bytes of an image in those of its block.
fn cut<'a>(parts: &[Part], bytes: &'a [Vec<u8>], spot: Spot) -> Option<&'a [u8]> {
    let (start, end) = (spot.offset, spot.offset + u64::from(spot.length));
    let has = |part: &Part| part.shard == spot.shard && part.start <= start && end <= part.end;
    let place = parts.iter().position(has)?;
    let skip = (start - parts[place].start) as usize;
    bytes.get(place)?.get(skip..skip + spot.length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handles::Handles;
    use crate::order::{Order, Orders};
    use crate::shards::Shard;

    /// Images of `length` bytes in two shards, image `i` with the bytes `i`, with `between` bytes after each.
    fn shards(folder: &std::path::Path, count: usize, length: usize, between: usize) -> Shards {
        let mut spots = Vec::new();
        let mut bytes = [Vec::new(), Vec::new()];
        for index in 0..count {
            let shard = usize::from(index >= count / 3);
            let offset = bytes[shard].len() as u64;
            spots.push(Spot { offset, length: length as u32, shard: shard as u32 });
            bytes[shard].extend(vec![index as u8; length]);
            bytes[shard].extend(vec![255; between]);
        }
        let handles = Handles::new();
        let file = |shard: usize| {
            let path = folder.join(format!("{shard}.tar"));
            std::fs::write(&path, &bytes[shard]).unwrap();
            Shard::open(&path, shard, &handles).unwrap().0
        };
        Shards { files: Arc::new(vec![file(0), file(1)]), spots, labels: None }
    }

    #[test]
    fn the_same_bytes_within_the_limit_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let shards = shards(folder.path(), 200, 10, 30);
        for buffer in [1, 20, 150, 1000] {
            let blocks = BlockBuffer::new(&shards, buffer, u64::MAX).unwrap();
            let orders = Orders::new(3, 200, Order::Blocks { buffer });
            for place in 0..400 {
                let index = orders.index(place / 200, (place % 200) as u32) as usize;
                assert_eq!(blocks.read(&shards, index).unwrap(), vec![index as u8; 10]);
                assert!(blocks.held() <= blocks.limit);
            }
            // Out of order, too.
            for index in [0, 199, 66, 67, 0] {
                assert_eq!(blocks.read(&shards, index).unwrap(), shards.read(index).unwrap());
                assert!(blocks.held() <= blocks.limit);
            }
            assert!(blocks.read(&shards, 200).is_err() && blocks.read(&shards, 5000).is_err());
        }
    }

    /// In the order of the blocks each of them is read once per epoch: nothing that is still needed is dropped.
    #[test]
    fn a_group_stays_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let shards = shards(folder.path(), 256, 10, 0);
        let buffer = 2 * 128;
        let blocks = BlockBuffer::new(&shards, buffer, u64::MAX).unwrap();
        assert_eq!(blocks.images, 2);
        let orders = Orders::new(3, 256, Order::Blocks { buffer });
        for place in 0..256 {
            let _ = blocks.read(&shards, orders.index(0, place) as usize).unwrap();
        }
        assert_eq!(blocks.held(), 2560);
        // Nothing is read again, so the files may be empty.
        (0..2).for_each(|n| std::fs::write(folder.path().join(format!("{n}.tar")), "").unwrap());
        for index in 0..256 {
            assert_eq!(blocks.read(&shards, index).unwrap(), vec![index as u8; 10]);
        }
        assert_eq!(blocks.held(), 2560);
    }

    #[test]
    fn too_large_or_too_sparse_groups_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dense = shards(folder.path(), 100, 10, 0);
        assert!(BlockBuffer::new(&dense, 50, 499).is_none());
        let held = BlockBuffer::new(&dense, 50, 500).unwrap();
        assert_eq!(held.limit, 500);
        // All blocks of 78 images, though a group may have 128 of them.
        assert_eq!(BlockBuffer::new(&dense, 10_000, u64::MAX).unwrap().limit, 2 * 780);
        let sparse = shards(folder.path(), 300, 10, 20_000);
        assert!(BlockBuffer::new(&sparse, 50, u64::MAX).is_some(), "blocks of one image");
        assert!(BlockBuffer::new(&sparse, 1000, u64::MAX).is_none());
    }

    #[test]
    fn a_block_may_span_shards() {
        let spot = |offset, shard| Spot { offset, length: 4, shard };
        let spots = [spot(0, 0), spot(10, 0), spot(2, 1)];
        let both = parts(&spots);
        let want = [Part { shard: 0, start: 0, end: 14 }, Part { shard: 1, start: 2, end: 6 }];
        assert_eq!((both.as_slice(), size(&both)), (&want[..], 18));
        let bytes = vec![(0..14).collect::<Vec<u8>>(), vec![20, 21, 22, 23]];
        assert_eq!(cut(&both, &bytes, spots[1]), Some(&[10, 11, 12, 13][..]));
        assert_eq!(cut(&both, &bytes, spots[2]), Some(&[20, 21, 22, 23][..]));
        assert_eq!(cut(&both, &bytes, spot(12, 0)), None);
    }
}
