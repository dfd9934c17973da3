//! Parameters with names, made in a fixed order from a seed.
//!
//! The names are those of diffusers' `UNet2DModel`, which is the same network, so that weights are
//! exchanged without a table of names.

use random::{Purpose, Stream};
use tch::{Device, Tensor};
use tensor_io::Named;

use crate::error::UNetError;

/// Collects the parameters while a network is built.
pub(crate) struct ParamStore {
    named: Vec<Named>,
    device: Device,
    seed: u64,
}

impl ParamStore {
    pub(crate) fn new(device: Device, seed: u64) -> Self {
        Self { named: Vec::new(), device, seed }
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
        let mut stream = Stream::new(self.seed, Purpose::Init, self.named.len() as u64, 0);
        let count = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> = (0..count).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect();
        self.register(name, tensor_io::from_slice(&values, shape)?)
    }

    pub(crate) fn constant(&mut self, name: String, shape: &[i64], value: f64) -> Result<Tensor, UNetError> {
        let tensor = Tensor::f_full(shape, value, (tch::Kind::Float, Device::Cpu))?;
        self.register(name, tensor)
    }

    fn register(&mut self, name: String, value: Tensor) -> Result<Tensor, UNetError> {
        let param = value.f_to_device(self.device)?.f_set_requires_grad(true)?;
        self.named.push((name, param.shallow_clone()));
        Ok(param)
    }
}
