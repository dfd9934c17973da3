//! The known part of an image whose other part is drawn.
//!
//! Both kinds are an orthogonal projection P: onto the known pixels, or onto the means of blocks. The result `x` of a
//! reverse step is replaced by `P y + (I - P) x`, with `y` the known image diffused to the level of `x`. Because P is
//! an orthogonal projection, the noise in the sum is white again.

use tch::{Kind, Tensor};

use crate::error::SamplerError;
use crate::sampler::check_images;

/// The known part of images.
#[derive(Debug)]
pub struct Known {
    /// `[1 or b, c, h, w]`.
    image: Tensor,
    part: Part,
}

#[derive(Debug)]
enum Part {
    /// The pixels where this bool `[1 or b, 1, h, w]` is false.
    Outside(Tensor),
    /// The means of blocks of this many pixels a side.
    Means(i64),
}

impl Known {
    /// All pixels where `mask` is 0 are known; those where it is 1 are to be filled.
    ///
    /// `image` is `[1 or b, c, h, w]` in [-1, 1], f32 or f64; its values where the mask is 1 do not matter. `mask` is
    /// `[1 or b, 1, h, w]` of any type, with no values but 0 and 1.
    ///
    /// # Errors
    /// [`SamplerError::Images`] for an image of the wrong shape or type, [`SamplerError::Mask`] for a mask that does
    /// not fit it.
    pub fn outside(image: &Tensor, mask: &Tensor) -> Result<Self, SamplerError> {
        check_images("the known image", image)?;
        let &[b, _, h, w] = &image.size()[..] else {
            return Err(SamplerError::KnownShape { expected: vec![-1; 4], got: image.size() });
        };
        let wrong = |reason: String| SamplerError::Mask { batch: b, height: h, width: w, reason };
        let size = mask.size();
        // One image for the whole batch may come with a mask for each element.
        let fits = matches!(&size[..], [m, 1, y, x] if [*y, *x] == [h, w] && *m >= 1 && (*m == 1 || b == 1 || *m == b));
        if !fits {
            return Err(wrong(format!("its shape is {size:?}")));
        }
        let fill = mask.f_eq(1.0)?;
        let other = fill.f_logical_or(&mask.f_eq(0.0)?)?.f_logical_not()?;
        let others = i64::try_from(&other.f_sum(Kind::Int64)?)?;
        if others > 0 {
            return Err(wrong(format!("{others} of its values are neither")));
        }
        Ok(Self { image: image.shallow_clone(), part: Part::Outside(fill) })
    }

    /// The mean of every block of `factor x factor` pixels is known: the larger version,
    /// `[b, c, factor h, factor w]`, of a smaller image, `[1 or b, c, h, w]`, is to be drawn. The idea is that of
    /// Choi et al. 2021, "ILVR", Algorithm 1. Their low-pass filter is any downsampling followed by upsampling; that
    /// of blocks is a projection.
    ///
    /// # Errors
    /// [`SamplerError::Images`]; [`SamplerError::Value`] for a factor of 0 or beyond 4096.
    pub fn means(small: &Tensor, factor: usize) -> Result<Self, SamplerError> {
        check_images("the small image", small)?;
        if !(1..=4096).contains(&factor) {
            let got = factor as f64;
            return Err(SamplerError::Value { what: "factor", got, expected: "1 (nothing to draw) to 4096" });
        }
        let factor = factor as i64;
        Ok(Self { image: enlarged(small, factor)?, part: Part::Means(factor) })
    }

    /// The known image in the shape and type of a batch.
    pub(crate) fn image_for(&self, x: &Tensor) -> Result<Tensor, SamplerError> {
        let (got, expected) = (self.image.size(), x.size());
        let mut batches = vec![got[0]];
        if let Part::Outside(fill) = &self.part {
            batches.push(fill.size()[0]);
        }
        if got[1..] != expected[1..] || batches.iter().any(|&b| b != 1 && b != expected[0]) {
            return Err(SamplerError::KnownShape { expected, got });
        }
        Ok(self.image.f_to_kind(x.f_kind()?)?.f_expand_as(x)?)
    }

    /// `P y + (I - P) x`.
    pub(crate) fn impose(&self, y: &Tensor, x: &Tensor) -> Result<Tensor, SamplerError> {
        Ok(match &self.part {
            // A selection, not a sum: values that are not selected may be NaN.
            Part::Outside(fill) => x.f_where_self(fill, y)?,
            Part::Means(factor) => {
                let missing =
                    y.f_sub(x)?.f_avg_pool2d([*factor; 2], [*factor; 2], [0; 2], false, true, None::<i64>)?;
                x.f_add(&enlarged(&missing, *factor)?)?
            }
        })
    }

    /// The images in [-1, 1] with the known part that are nearest to `x`, which already has it.
    ///
    /// Known pixels are in range already. A block of known mean m is shifted and clipped, `min(max(x + c, -1), 1)`,
    /// with the one c that gives the mean m: the projection onto both conditions. Clipping alone would change the
    /// mean. A block in range is unchanged, bit for bit.
    pub(crate) fn within_range(&self, x: &Tensor) -> Result<Tensor, SamplerError> {
        let Part::Means(factor) = self.part else { return Ok(x.shallow_clone()) };
        let mean = |x: &Tensor| x.f_avg_pool2d([factor; 2], [factor; 2], [0; 2], false, true, None::<i64>);
        let exact = x.f_to_kind(Kind::Double)?;
        let wanted = mean(&self.image_for(&exact)?)?;
        let mut low = wanted.f_zeros_like()?.f_sub_scalar(REACH)?;
        let mut high = wanted.f_zeros_like()?.f_add_scalar(REACH)?;
        // The mean rises with c. The bounds are the same for all blocks, so that no image depends on its batch.
        for _ in 0..BISECTIONS {
            let middle = low.f_add(&high)?.f_mul_scalar(0.5)?;
            let found = mean(&exact.f_add(&enlarged(&middle, factor)?)?.f_clamp(-1.0, 1.0)?)?;
            let too_low = found.f_lt_tensor(&wanted)?;
            low = middle.f_where_self(&too_low, &low)?;
            high = high.f_where_self(&too_low, &middle)?;
        }
        let moved = exact.f_add(&enlarged(&low, factor)?)?.f_clamp(-1.0, 1.0)?.f_to_kind(x.f_kind()?)?;
        let outside = x.f_abs()?.f_gt(1.0)?.f_to_kind(Kind::Double)?;
        let touched = enlarged(&mean(&outside)?, factor)?.f_gt(0.0)?;
        Ok(moved.f_where_self(&touched, x)?)
    }
}

/// Larger than any c: the images are in [-1, 1], and up to noise so is a step's result without its known part.
const REACH: f64 = 32.0;
/// Halvings of an interval of twice the reach, down to the last bits of an f64.
const BISECTIONS: usize = 60;

/// Every pixel becomes a block.
fn enlarged(x: &Tensor, factor: i64) -> Result<Tensor, tch::TchError> {
    x.f_repeat_interleave_self_int(factor, 2, None::<i64>)?.f_repeat_interleave_self_int(
        factor,
        3,
        None::<i64>,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Stream};
    use tch::Device;

    fn draw(step: u64, shape: [i64; 4]) -> Tensor {
        let n = shape.iter().product::<i64>() as usize;
        tensor_io::from_slice(&Stream::new(1, Purpose::Figure, step, 0).normals(n), &shape).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        tensor_io::to_vec(&x.contiguous()).unwrap()
    }

    fn checkerboard() -> Tensor {
        let mask: Vec<f32> = (0..16).map(|k| ((k / 4 + k) % 2) as f32).collect();
        tensor_io::from_slice(&mask, &[1, 1, 4, 4]).unwrap()
    }

    #[test]
    fn a_mask_chooses_pixel_by_pixel() {
        let (image, x) = (draw(0, [1, 3, 4, 4]), draw(1, [2, 3, 4, 4]));
        let known = Known::outside(&image, &checkerboard()).unwrap();
        let y = known.image_for(&x).unwrap();
        let out = known.impose(&y, &(&x * f64::NAN)).unwrap();
        for (k, ((out, y), fill)) in
            values(&out).iter().zip(values(&y)).zip(values(&checkerboard().repeat([2, 3, 1, 1]))).enumerate()
        {
            assert_eq!(out.is_nan(), fill == 1.0, "{k}");
            assert!(fill == 1.0 || *out == y);
        }
    }

    /// `P P = P`, `P` is symmetric, and the means are those of the small image.
    #[test]
    fn block_means_are_an_orthogonal_projection() {
        let (small, x, y) = (draw(0, [1, 2, 3, 2]), draw(1, [2, 2, 6, 4]), draw(2, [2, 2, 6, 4]));
        let known = Known::means(&small, 2).unwrap();
        let out = known.impose(&known.image_for(&x).unwrap(), &x).unwrap();
        let close = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().max()).unwrap() < 1e-5;
        let means = out.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
        assert!(close(&means, &small.expand_as(&means)));
        let zero = x.zeros_like();
        let project = |x: &Tensor| known.impose(x, &zero).unwrap();
        assert!(close(&project(&project(&x)), &project(&x)));
        let dot = |a: &Tensor, b: &Tensor| f64::try_from((a * b).sum(Kind::Double)).unwrap();
        assert!((dot(&project(&x), &y) - dot(&x, &project(&y))).abs() < 1e-4);
    }

    #[test]
    fn means_are_kept_within_the_range() {
        // Means from one end of the range to the other, and pixels far outside.
        let small = Tensor::linspace(-1.0, 1.0, 24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]);
        let known = Known::means(&small, 4).unwrap();
        let x = draw(1, [2, 2, 12, 16]) * 1.5;
        let x = known.impose(&known.image_for(&x).unwrap(), &x).unwrap();
        let out = known.within_range(&x).unwrap();
        assert!(f64::try_from(out.abs().max()).unwrap() <= 1.0);
        let means = out.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None::<i64>);
        let off = f64::try_from((&means - &small).abs().max()).unwrap();
        assert!(off < 1e-6, "{off}");
        // Clipping alone is far off.
        let cut = x.clamp(-1.0, 1.0).avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None::<i64>);
        assert!(f64::try_from((&cut - &small).abs().max()).unwrap() > 0.05);
        // An image does not depend on its batch, and one in range is unchanged, bit for bit.
        assert_eq!(known.within_range(&x.narrow(0, 1, 1)).unwrap(), out.narrow(0, 1, 1));
        let inside = known.impose(&known.image_for(&x).unwrap(), &(&x * 0.0)).unwrap();
        assert_eq!(known.within_range(&inside).unwrap(), inside);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = draw(0, [2, 3, 4, 4]);
        let refused = |mask: &Tensor, says: &str| {
            let error = Known::outside(&image, mask).unwrap_err();
            assert!(
                matches!(error, SamplerError::Mask { .. }) && error.to_string().contains(says),
                "{error}"
            );
        };
        refused(&(checkerboard() * 0.5), "8 of its values");
        refused(&(checkerboard() * f64::NAN), "16 of its values");
        for shape in [[1, 3, 4, 4], [1, 1, 4, 5], [3, 1, 4, 4]] {
            refused(&Tensor::zeros(shape, (Kind::Float, Device::Cpu)), "shape");
        }
        refused(&Tensor::zeros([4, 4], (Kind::Float, Device::Cpu)), "its shape is [4, 4]");
        Known::outside(&image, &checkerboard().repeat([2, 1, 1, 1])).unwrap();
        Known::outside(&image, &checkerboard().to_kind(Kind::Bool)).unwrap();

        let known = Known::outside(&image, &checkerboard()).unwrap();
        for shape in [[3, 3, 4, 4], [2, 1, 4, 4], [2, 3, 8, 4]] {
            assert!(matches!(known.image_for(&draw(0, shape)), Err(SamplerError::KnownShape { .. })));
        }
        for factor in [0, 4097, usize::MAX] {
            assert!(matches!(Known::means(&image, factor), Err(SamplerError::Value { what: "factor", .. })));
        }
        let bytes = Tensor::zeros([1, 1, 4, 4], (Kind::Uint8, Device::Cpu));
        assert!(matches!(Known::outside(&bytes, &checkerboard()), Err(SamplerError::Images { .. })));
        assert!(matches!(Known::means(&bytes, 2), Err(SamplerError::Images { .. })));
    }
}
