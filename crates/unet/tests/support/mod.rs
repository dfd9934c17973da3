//! Shared by the tests of whole networks: noise, and a network with a nonzero output.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Tensor};
use unet::{Backbone, UNet, UNetConfig};

/// Standard normal numbers; another `stream` gives others.
pub(crate) fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(5, random::Purpose::Figure, stream, 0).normals(count);
    tensor_io::from_slice(&numbers, size).unwrap()
}

/// A network whose last convolutions are not zero, so that everything before them matters.
pub(crate) fn network(config: &UNetConfig) -> UNet {
    let net = UNet::new(config, 1000, Device::Cpu, 0).unwrap();
    let _no_grad = tch::no_grad_guard();
    for (index, (_, param)) in net.params().iter().enumerate() {
        let noise = normals(&param.size(), 100 + index as u64) * 0.05;
        let _ = param.shallow_clone().f_add_(&noise).unwrap();
    }
    net
}
