//! Items of one size: the final form of every source.

use ndarray::Array4;
use rayon::prelude::*;

use crate::arrays::ArrayImages;
use crate::options::OpenOptions;
use crate::pixels::Pixels;
use crate::store::Store;

/// Items of one size, in memory or in a file: the final form of every source.
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) store: Store,
    pub(crate) count: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Vec<String>,
    pub(crate) skipped: usize,
    /// How many images have further frames or pages, which are not used.
    pub(crate) shortened: usize,
    /// Notes for the user, one sentence each.
    pub(crate) notes: Vec<String>,
    /// What identifies the images without reading all of them, for images in files of their own, archives or shards.
    pub(crate) identity: Option<[u8; 32]>,
    /// Whether the images are decoded when they are read because they do not fit in memory.
    pub(crate) streamed: bool,
}

impl Items {
    pub(crate) fn item_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Takes the selected images and converts them to the requested size and channels.
    pub(crate) fn from_arrays(source: ArrayImages, options: &OpenOptions) -> Self {
        let (count, height, width, channels) = source.images.dim();
        let chosen = options.chosen(count);
        let out_channels = options.channels.unwrap_or(channels);
        let (out_height, out_width) = options.size.map_or((height, width), |size| (size.height, size.width));
        let same = (out_height, out_width, out_channels) == (height, width, channels);
        let all = into_bytes(source.images);
        let bytes = height * width * channels;
        let item = |index: usize| &all[index * bytes..(index + 1) * bytes];
        let out: Vec<u8> = if same && chosen.len() == count {
            all
        } else if same {
            chosen.iter().map(|&index| item(index)).collect::<Vec<_>>().concat()
        } else {
            let convert = |&index: &usize| {
                let image = Pixels { height, width, channels, pixels: item(index).to_vec() };
                let image = image.with_channels(out_channels);
                match options.size {
                    Some(size) => image.fit(size, options.fit).pixels,
                    None => image.pixels,
                }
            };
            chosen.par_iter().map(convert).collect::<Vec<_>>().concat()
        };
        Self {
            store: Store::Memory(out),
            count: chosen.len(),
            height: out_height,
            width: out_width,
            channels: out_channels,
            labels: source.labels.map(|labels| chosen.iter().map(|&index| labels[index]).collect()),
            class_names: source.class_names,
            skipped: 0,
            shortened: 0,
            notes: source.notes,
            identity: None,
            streamed: false,
        }
    }
}

/// The elements in C order, copied only if they are in another order.
fn into_bytes(images: Array4<u8>) -> Vec<u8> {
    let images = if images.is_standard_layout() { images } else { images.as_standard_layout().into_owned() };
    let count = images.len();
    let (mut all, offset) = images.into_raw_vec_and_offset();
    // A sliced array still owns all elements of the original.
    all.drain(..offset.unwrap_or(0));
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, Slice};

    #[test]
    fn sliced_and_transposed_arrays_keep_their_elements() {
        let whole = Array4::from_shape_fn((4, 2, 3, 1), |(i, y, x, _)| (i * 6 + y * 3 + x) as u8);
        let mut cut = whole.clone();
        cut.slice_axis_inplace(Axis(0), Slice::from(1..3));
        assert!(into_bytes(cut).into_iter().eq(6..18));
        let turned = whole.permuted_axes([0, 2, 1, 3]);
        assert_eq!(into_bytes(turned.clone()), turned.iter().copied().collect::<Vec<_>>());
    }
}
