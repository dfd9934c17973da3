//! A mixture, and samples of it with the noise of a level.

use std::fmt;

use random::{Purpose, Stream};
use schedule::Level;
use tch::{Kind, Tensor};

use crate::error::MixtureError;

/// A mixture of Gaussians in a span of images; what images vary outside it is noise.
#[derive(PartialEq)]
pub struct Mixture {
    /// The mean of all images, f32 `[c, h, w]`.
    pub(crate) mean: Tensor,
    /// Orthonormal, f32 `[d, c, h, w]`.
    pub(crate) directions: Tensor,
    /// The variance of a number outside the span.
    pub(crate) rest: f64,
    /// Sum 1.
    pub(crate) weights: Vec<f64>,
    /// The class of each component, -1 for none.
    pub(crate) classes: Vec<i64>,
    /// Along the directions, f32 `[k, d]`.
    pub(crate) means: Tensor,
    /// The lower factors of the covariances, f32 `[k, d, d]`.
    pub(crate) factors: Tensor,
}

impl fmt::Debug for Mixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (components, directions) = (self.components(), self.directions());
        f.debug_struct("Mixture")
            .field("shape", &self.shape())
            .field("components", &components)
            .field("directions", &directions)
            .finish_non_exhaustive()
    }
}

impl Mixture {
    /// The shape `[c, h, w]` of its images.
    #[must_use]
    pub fn shape(&self) -> [i64; 3] {
        let size = self.mean.size();
        [size[0], size[1], size[2]]
    }

    /// Number of Gaussians.
    #[must_use]
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// Dimensions of the span.
    #[must_use]
    pub fn directions(&self) -> usize {
        self.directions.size()[0] as usize
    }

    /// The classes it has components of, rising; empty if it was fitted without labels.
    #[must_use]
    pub fn classes(&self) -> Vec<i64> {
        let mut classes: Vec<i64> = self.classes.iter().copied().filter(|&class| class >= 0).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Draws `x_t = alpha x_0 + sigma eps` at a level, with `x_0` from the mixture: f32 `[b, c, h, w]` on the device of
    /// `noise`, which is eps of the same shape. Image `first_index + k` of a seed is the same in every batch if its noise is.
    ///
    /// `labels` has a class for each image, negative for any, or is empty. A mixture that was fitted without labels draws from
    /// all components whatever the label.
    ///
    /// # Errors
    /// [`MixtureError::Images`] for noise of another shape or type, [`MixtureError::Labels`], [`MixtureError::Class`]
    /// for a class it does not know, and errors of libtorch.
    pub fn start(
        &self,
        level: &Level,
        labels: &[i64],
        (seed, first_index): (u64, u64),
        noise: &Tensor,
    ) -> Result<Tensor, MixtureError> {
        let size = noise.size();
        if size.get(1..) != Some(&self.shape()[..]) || size[0] == 0 || noise.f_kind()? != Kind::Float {
            let [channels, height, width] = self.shape();
            let expected = format!("[b, {channels}, {height}, {width}]");
            let got_kind = format!("{:?}", noise.f_kind()?);
            return Err(MixtureError::Images { what: "noise", expected, got: size, got_kind });
        }
        let images = size[0] as usize;
        if !labels.is_empty() && labels.len() != images {
            return Err(MixtureError::Labels { expected: images, got: labels.len() });
        }
        let width = self.directions();
        let (mut chosen, mut normals) = (Vec::new(), Vec::new());
        for image in 0..images {
            let index = first_index.wrapping_add(image as u64);
            let mut stream = Stream::new(seed, Purpose::Mixture, index, 0);
            chosen.push(self.component(stream.uniform(), labels.get(image).copied().unwrap_or(-1))?);
            normals.extend(stream.normals(width));
        }
        let _no_grad = tch::no_grad_guard();
        let (chosen, width) = (Tensor::f_from_slice(&chosen)?, width as i64);
        let normals = tensor_io::from_slice(&normals, &[size[0], width, 1])?;
        let turned = self.factors.f_index_select(0, &chosen)?.f_bmm(&normals)?.f_squeeze_dim(2)?;
        let along = self.means.f_index_select(0, &chosen)?.f_add(&turned)?.f_to_device(noise.device())?; // [b, d]
        let directions = self.directions.f_view([width, -1])?.f_to_device(noise.device())?;
        let eps = noise.f_reshape([size[0], -1])?;
        // Outside the span the images' own variance adds to the noise; inside, the Gaussians have it.
        let outside = (level.sigma * level.sigma + level.alpha * level.alpha * self.rest).sqrt();
        let seen = eps.f_matmul(&directions.f_tr()?)?.f_mul_scalar(level.sigma - outside)?;
        let inside = along.f_mul_scalar(level.alpha)?.f_add(&seen)?;
        let x_t = inside.f_matmul(&directions)?.f_add(&eps.f_mul_scalar(outside)?)?;
        let mean = self.mean.f_to_device(noise.device())?.f_mul_scalar(level.alpha)?;
        Ok(x_t.f_view(&size[..])?.f_add(&mean)?)
    }

    /// The component at a share of the weights of those that a label allows.
    fn component(&self, share: f64, label: i64) -> Result<i64, MixtureError> {
        let is_free = label < 0 || self.classes.iter().all(|&class| class < 0);
        let allowed = |&(_, (&class, _)): &(usize, (&i64, &f64))| is_free || class == label;
        let all: Vec<(usize, f64)> = (self.classes.iter().zip(&self.weights).enumerate())
            .filter(allowed)
            .map(|(position, (_, &weight))| (position, weight))
            .collect();
        let total: f64 = all.iter().map(|(_, weight)| weight).sum();
        let mut left = share * total;
        for &(position, weight) in &all {
            left -= weight;
            if left < 0.0 {
                return Ok(position as i64);
            }
        }
        // By rounding the last one may be missed.
        all.last().map(|&(position, _)| position as i64).ok_or_else(|| {
            let known = self.classes().iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            MixtureError::Class { class: label, known }
        })
    }
}
