//! The network during training: its convolutions have batch normalisation (Ioffe & Szegedy 2015) instead of a bias.
//! [`Trainable::fold`] turns each pair into one convolution with a bias, as in [`super::net`].

use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor, no_grad_guard};
use tensor_io::Named;

use super::plan::{Layer, Plan};
use crate::error::FeaturesError;

/// Weight of a batch in the running mean and variance.
const MOMENTUM: f64 = 0.1;
/// Added to the variance.
const EPS: f64 = 1e-5;

/// A convolution and its normalisation.
struct Block {
    layer: Layer,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
}

/// A classifier with gradients.
pub(crate) struct Trainable {
    blocks: Vec<Block>,
    classes: [Tensor; 2],
}

impl Trainable {
    /// Draws weights from `seed`, normal with variance 2 / fan_in (He et al. 2015, Eq. 10).
    pub(crate) fn new(plan: &Plan, seed: u64, device: Device) -> Result<Self, FeaturesError> {
        let constant = |value: f64, n: usize| Tensor::f_full([n as i64], value, (Kind::Float, device));
        let parameter = |tensor: Tensor| tensor.f_set_requires_grad(true);
        let mut blocks = Vec::new();
        for (place, layer) in plan.layers().into_iter().enumerate() {
            let shape = [layer.to as i64, layer.from as i64, 3, 3];
            let weight = normal(seed, place, &shape, 2.0 / (9 * layer.from) as f64)?;
            blocks.push(Block {
                weight: parameter(torch_ext::channels_last(&weight.f_to_device(device)?, Kind::Float)?)?,
                scale: parameter(constant(1.0, layer.to)?)?,
                shift: parameter(constant(0.0, layer.to)?)?,
                mean: constant(0.0, layer.to)?,
                variance: constant(1.0, layer.to)?,
                layer,
            });
        }
        let shape = [plan.classes as i64, Plan::FEATURES as i64];
        let weight = normal(seed, blocks.len(), &shape, 1.0 / Plan::FEATURES as f64)?.f_to_device(device)?;
        let classes = [parameter(weight)?, parameter(constant(0.0, plan.classes)?)?];
        Ok(Self { blocks, classes })
    }

    /// All trained parameters.
    pub(crate) fn parameters(&self) -> Vec<&Tensor> {
        let blocks = self.blocks.iter().flat_map(|block| [&block.weight, &block.scale, &block.shift]);
        blocks.chain(&self.classes).collect()
    }

    /// Maps images `[b, c, h, w]` to logits `[b, classes]`, normalised with the statistics of the batch.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, FeaturesError> {
        let mut x = torch_ext::channels_last(x, Kind::Float)?;
        for Block { layer, weight, scale, shift, mean, variance } in &self.blocks {
            x = x.f_conv2d(weight, None::<&Tensor>, layer.stride, 1, 1, 1)?;
            let (running, affine) = ((Some(mean), Some(variance)), (Some(scale), Some(shift)));
            x = x.f_batch_norm(affine.0, affine.1, running.0, running.1, true, MOMENTUM, EPS, true)?;
            x = x.f_relu()?;
        }
        let features = x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)?;
        let [weight, bias] = &self.classes;
        Ok(features.f_linear(weight, Some(bias))?)
    }

    /// The tensors of [`Plan::tensors`]: with running mean and variance, a normalisation is only a factor and a shift.
    pub(crate) fn fold(&self) -> Result<Vec<Named>, FeaturesError> {
        let _no_grad = no_grad_guard();
        let mut tensors = Vec::new();
        for Block { layer, weight, scale, shift, mean, variance } in &self.blocks {
            let factor = scale.f_div(&variance.f_add_scalar(EPS)?.f_sqrt()?)?;
            let folded = weight.f_mul(&factor.f_view([-1, 1, 1, 1])?)?;
            tensors.push((format!("{}.weight", layer.name), folded));
            tensors.push((format!("{}.bias", layer.name), shift.f_sub(&mean.f_mul(&factor)?)?));
        }
        let [weight, bias] = &self.classes;
        tensors.push(("classes.weight".to_owned(), weight.f_detach_copy()?));
        tensors.push(("classes.bias".to_owned(), bias.f_detach_copy()?));
        Ok(tensors)
    }
}

fn normal(seed: u64, place: usize, shape: &[i64], variance: f64) -> Result<Tensor, FeaturesError> {
    let count: i64 = shape.iter().product();
    let numbers = Stream::new(seed, Purpose::Init, place as u64, 0).normals(count as usize);
    Ok(tensor_io::from_slice(&numbers, shape)?.f_mul_scalar(variance.sqrt())?)
}

#[cfg(test)]
mod tests {
    use super::super::net::Net;
    use super::*;

    /// The folded network equals normalisation with the running statistics.
    #[test]
    fn folding_changes_nothing() {
        let plan = Plan { height: 18, width: 16, channels: 3, classes: 4 };
        let net = Trainable::new(&plan, 5, Device::Cpu).unwrap();
        let shape = [6_i64, 3, 18, 16];
        let x =
            tensor_io::from_slice(&Stream::new(1, Purpose::Figure, 0, 0).normals(6 * 3 * 18 * 16), &shape)
                .unwrap();
        for _ in 0..5 {
            let _ = net.forward(&(&x * 1.5 + 0.5)).unwrap();
        }
        let _no_grad = no_grad_guard();
        let mut maps = x.shallow_clone();
        for Block { layer, weight, scale, shift, mean, variance } in &net.blocks {
            let (_, _) = (scale.shallow_clone().fill_(1.3), shift.shallow_clone().fill_(-0.1));
            assert!(f64::try_from(mean.abs().max()).unwrap() > 0.0);
            maps = maps.conv2d(weight, None::<&Tensor>, [layer.stride; 2], [1, 1], [1, 1], 1);
            maps = maps
                .batch_norm(Some(scale), Some(shift), Some(mean), Some(variance), false, MOMENTUM, EPS, false)
                .relu();
        }
        let want = maps.mean_dim(&[2_i64, 3][..], false, Kind::Float);
        let folded = Net::new(plan, net.fold().unwrap(), Device::Cpu).unwrap();
        let (features, logits) = folded.forward(&x).unwrap();
        assert_eq!((features.size(), logits.size()), (vec![6, Plan::FEATURES as i64], vec![6, 4]));
        let (apart, size) = ((&features - &want).abs().max(), want.abs().max());
        assert!(
            f64::try_from(&apart).unwrap() < 1e-5 * f64::try_from(&size).unwrap(),
            "{apart:?} of {size:?}"
        );
    }

    #[test]
    fn all_parameters_get_a_gradient_and_the_statistics_none() {
        let plan = Plan { height: 16, width: 16, channels: 1, classes: 3 };
        let net = Trainable::new(&plan, 0, Device::Cpu).unwrap();
        let x = Tensor::ones([2, 1, 16, 16], (Kind::Float, Device::Cpu));
        (net.forward(&x).unwrap() * Tensor::from_slice(&[1.0_f32, 2.0, -3.0])).sum(Kind::Float).backward();
        assert_eq!(net.parameters().len(), 3 * plan.layers().len() + 2);
        assert!(net.parameters().iter().all(|parameter| parameter.grad().defined()));
        assert!(
            net.blocks.iter().all(|block| !block.mean.requires_grad() && !block.variance.requires_grad())
        );
    }
}
