//! Parameters with names, made in a fixed order from a seed.
//!
//! The names are those of diffusers' `UNet2DModel`, which is the same network, so that weights are
//! exchanged without a table of names.

use random::{Purpose, Stream};
use tch::{Device, Tensor};
use tensor_io::Named;

use crate::error::UNetError;

/// The layer that a parameter belongs to, as far as it decides in what type it is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The weight of a convolution.
    Convolution,
    /// A linear layer of the time vector.
    Time,
    /// A linear layer of an attention.
    Attention,
    /// Norms, the table of classes, and biases of convolutions.
    Other,
}

impl Layer {
    pub(crate) fn of(name: &str, param: &Tensor) -> Self {
        let has = |part: &str| name.split('.').any(|word| word == part);
        match param.dim() {
            4 => Self::Convolution,
            _ if ["time_embedding", "time_emb_proj", "time_in"].into_iter().any(has) => Self::Time,
            _ if ["to_q", "to_k", "to_v", "to_out"].into_iter().any(has) => Self::Attention,
            _ => Self::Other,
        }
    }
}

/// Collects the parameters while a network is built.
pub(crate) struct ParamStore {
    named: Vec<Named>,
    device: Device,
    origin: Origin,
}

/// Where parameters come from.
enum Origin {
    /// Drawn from a seed; they are for training.
    Seed(u64),
    /// Another network's, in the order of building.
    Given(std::vec::IntoIter<Named>),
}

impl ParamStore {
    pub(crate) fn new(device: Device, seed: u64) -> Self {
        Self { named: Vec::new(), device, origin: Origin::Seed(seed) }
    }

    /// The parameters of another network of the same configuration, as they are.
    pub(crate) fn given(device: Device, params: Vec<Named>) -> Self {
        Self { named: Vec::new(), device, origin: Origin::Given(params.into_iter()) }
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    pub(crate) fn into_named(self) -> Vec<Named> {
        self.named
    }

    /// Uniform in `[-bound, bound]`. The numbers depend on the seed and the parameter's position only, so
    /// every device starts from the same network.
    pub(crate) fn uniform(&mut self, name: String, shape: &[i64], bound: f64) -> Result<Tensor, UNetError> {
        let position = self.named.len() as u64;
        self.register(name, shape, |seed| {
            let mut stream = Stream::new(seed, Purpose::Init, position, 0);
            let count = shape.iter().product::<i64>() as usize;
            let values: Vec<f32> =
                (0..count).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect();
            Ok(tensor_io::from_slice(&values, shape)?)
        })
    }

    pub(crate) fn constant(&mut self, name: String, shape: &[i64], value: f64) -> Result<Tensor, UNetError> {
        self.register(name, shape, |_| Ok(Tensor::f_full(shape, value, (tch::Kind::Float, Device::Cpu))?))
    }

    fn register(
        &mut self,
        name: String,
        shape: &[i64],
        draw: impl FnOnce(u64) -> Result<Tensor, UNetError>,
    ) -> Result<Tensor, UNetError> {
        let param = match &mut self.origin {
            Origin::Seed(seed) => draw(*seed)?.f_to_device(self.device)?.f_set_requires_grad(true)?,
            Origin::Given(params) => match params.next() {
                Some((given, param)) if given == name && param.size() == shape => param,
                other => {
                    let got = other.map(|(_, param)| param.size()).unwrap_or_default();
                    let expected = format!("{shape:?}, that of {name}");
                    return Err(UNetError::Shape { what: "a parameter", got, expected });
                }
            },
        };
        self.named.push((name, param.shallow_clone()));
        Ok(param)
    }
}
