//! The network for inference: batch normalisation is folded into the convolutions, and the features are a mean over the
//! last map.

use tch::{Device, Kind, Tensor};
use tensor_io::Named;

use super::plan::{self, Block, Branch, Convolution, Pool};
use crate::error::FeaturesError;

/// Added to the variance by batch normalisation.
const EPS: f64 = 0.001;

/// InceptionV3 with weights.
pub(crate) struct Net {
    blocks: Vec<Block<Layer>>,
    /// `[1008, 2048, 1, 1]`, as a 1x1 convolution.
    classes: Tensor,
    device: Device,
}

/// A convolution with its normalisation folded into weight and shift.
struct Layer {
    weight: Tensor,
    shift: Tensor,
    stride: i64,
    padding: [i64; 2],
}

impl Net {
    /// Builds it from the tensors of [`plan::tensors`], in that order.
    pub(crate) fn new(tensors: Vec<Named>, device: Device) -> Result<Self, FeaturesError> {
        let mut tensors = tensors.into_iter().map(|(_, tensor)| tensor);
        let mut next = || {
            let missing = || tch::TchError::Kind("fewer tensors than layers".to_owned());
            tensors.next().ok_or_else(missing)
        };
        let mut layer = |convolution: Convolution| -> Result<Layer, FeaturesError> {
            let [weight, scale, shift, mean, variance] = [next()?, next()?, next()?, next()?, next()?];
            Layer::folded(&convolution, weight, [scale, shift, mean, variance], device)
        };
        let mut blocks = Vec::new();
        for block in plan::blocks() {
            let branches = block.into_iter().map(|branch| branch.map(&mut layer));
            blocks.push(branches.collect::<Result<_, FeaturesError>>()?);
        }
        // The bias of the classes is not used: see `forward`.
        let classes = next()?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        Ok(Self { blocks, classes: innermost(&classes.f_to_device(device)?)?, device })
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Maps images `[b, 3, 299, 299]` in [-1, 1] to features `[b, 2048]` and logits `[b, 1008]`. The logits are without the bias
    /// of the classes, as in the program with which Salimans et al. 2016 published their score.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor), FeaturesError> {
        let mut x = x.f_to_device(self.device)?;
        for block in &self.blocks {
            let branches = block.iter().map(|branch| branch.forward(&x)).collect::<Result<Vec<_>, _>>()?;
            let maps: Vec<Tensor> = branches.into_iter().flatten().collect();
            x = if let [map] = &maps[..] { map.shallow_clone() } else { Tensor::f_cat(&maps, 1)? };
        }
        let features = x.f_mean_dim(&[2_i64, 3][..], true, Kind::Float)?; // [b, 2048, 1, 1]
        let logits = convolved(&features, &self.classes, None, 1, [0, 0])?; // [b, 1008, 1, 1]
        Ok((features.f_flatten(1, -1)?, logits.f_flatten(1, -1)?))
    }
}

impl Layer {
    /// `scale (conv(x) - mean) / sqrt(variance + eps) + shift` as one convolution.
    fn folded(
        convolution: &Convolution,
        weight: Tensor,
        [scale, shift, mean, variance]: [Tensor; 4],
        device: Device,
    ) -> Result<Self, FeaturesError> {
        let double = |x: &Tensor| x.f_to_kind(Kind::Double);
        let factor = double(&scale)?.f_div(&double(&variance)?.f_add_scalar(EPS)?.f_sqrt()?)?;
        let shift = double(&shift)?.f_sub(&double(&mean)?.f_mul(&factor)?)?;
        let weight = double(&weight)?.f_mul(&factor.f_view([-1, 1, 1, 1])?)?;
        let single = |x: Tensor| x.f_to_kind(Kind::Float)?.f_to_device(device);
        let [rows, columns] = convolution.padding;
        Ok(Self {
            weight: innermost(&single(weight)?)?,
            shift: single(shift)?,
            stride: convolution.stride as i64,
            padding: [rows as i64, columns as i64],
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, FeaturesError> {
        let mut x = convolved(x, &self.weight, Some(&self.shift), self.stride, self.padding)?;
        Ok(x.f_relu_()?)
    }
}

impl Branch<Layer> {
    /// The maps to join with those of the other branches.
    fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>, FeaturesError> {
        let mut x = match self.pool {
            Pool::None => x.shallow_clone(),
            // Excludes the padding.
            Pool::Mean => x.f_avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None)?,
            Pool::Maximum => x.f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?,
            Pool::Halving => x.f_max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)?,
        };
        for layer in &self.chain {
            x = layer.forward(&x)?;
        }
        if self.fork.is_empty() {
            return Ok(vec![x]);
        }
        self.fork.iter().map(|layer| layer.forward(&x)).collect()
    }
}

/// On the CPU it uses oneDNN, whose sums do not depend on the number of images; libtorch would use another library for few
/// images.
fn convolved(
    x: &Tensor,
    weight: &Tensor,
    shift: Option<&Tensor>,
    stride: i64,
    padding: [i64; 2],
) -> Result<Tensor, FeaturesError> {
    if x.device() != Device::Cpu {
        return Ok(x.f_conv2d(weight, shift, [stride; 2], padding, [1, 1], 1)?);
    }
    Ok(innermost(x)?.f_mkldnn_convolution(weight, shift, padding, [stride; 2], [1, 1], 1)?)
}

/// Converts to channels innermost. The strides of dimensions of size 1 are arbitrary, and libtorch's choice of
/// algorithm depends on them, so they are set.
fn innermost(x: &Tensor) -> Result<Tensor, FeaturesError> {
    let x = torch_ext::channels_last(x, Kind::Float)?;
    let size = x.size();
    let (c, h, w) = (size[1], size[2], size[3]);
    Ok(x.f_as_strided(&size, [c * h * w, 1, w * c, c], None)?)
}
