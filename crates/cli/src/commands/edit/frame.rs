//! Images as the network sees them, with any border it needs.

use ndarray::{Array2, Array3, Array4};
use tch::Tensor;

use crate::model::Loaded;
use crate::output;

/// Rows and columns of an image, without the border.
pub(crate) fn size(loaded: &Loaded) -> (usize, usize) {
    let (height, width, _) = loaded.images.inner_shape();
    (height, width)
}

/// `x_0` `[1, c, h, w]` in [-1, 1] of an image `[h, w, c]` of that size, on the device.
pub(crate) fn x_0(image: &Array3<u8>, loaded: &Loaded) -> anyhow::Result<Tensor> {
    let images = &loaded.images;
    let [top, _, left, _] = images.padding;
    // The border is black, as in training.
    let mut framed = Array4::zeros((1, images.height, images.width, images.channels));
    for ((y, x, c), value) in image.indexed_iter() {
        framed[[0, y + top, x + left, c]] = *value;
    }
    Ok(output::to_tensor(&framed)?.to_device(loaded.device))
}

/// The mask `[1, 1, h, w]`, 1 where pixels are to be filled. The border is known.
pub(crate) fn mask(fill: &Array2<bool>, loaded: &Loaded) -> anyhow::Result<Tensor> {
    let images = &loaded.images;
    let [top, _, left, _] = images.padding;
    let mut framed = Array4::<f32>::zeros((1, 1, images.height, images.width));
    for ((y, x), fill) in fill.indexed_iter() {
        framed[[0, 0, y + top, x + left]] = f32::from(u8::from(*fill));
    }
    Ok(tensor_io::from_array(&framed.view().into_dyn())?.to_device(loaded.device))
}

/// An image with its unknown part shown as a chessboard of greys, so that it is not mistaken for content.
pub(crate) fn with_hole(image: &Array3<u8>, fill: &Array2<bool>) -> Array3<u8> {
    Array3::from_shape_fn(image.dim(), |(y, x, c)| match fill[[y, x]] {
        true => [110, 150][(y / 2 + x / 2) % 2],
        false => image[[y, x, c]],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_cover_what_is_unknown_only() {
        let image = Array3::from_elem((4, 5, 3), 7);
        let fill = Array2::from_shape_fn((4, 5), |(y, x)| y > 1 && x > 2);
        for ((y, x, _), value) in with_hole(&image, &fill).indexed_iter() {
            assert_eq!(*value == 7, !fill[[y, x]]);
        }
    }
}
