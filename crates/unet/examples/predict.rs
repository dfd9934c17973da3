//! Applies a fresh network to noise: `cargo run -p unet --example predict`.
#![allow(clippy::print_stdout, reason = "a program that talks to people")]

use unet::tch::{self, Device, Kind, Tensor};
use unet::{Backbone, BackboneError, Pass, UNet, UNetConfig};

fn main() -> Result<(), BackboneError> {
    let config = UNetConfig::preset("tiny-16")?;
    let net = UNet::new(&config, 1000, Device::Cpu, 0)?;
    println!("{} parameters in {} tensors", net.param_count(), net.params().len());
    let x_t = Tensor::f_randn([4, 1, 16, 16], (Kind::Float, Device::Cpu))?;
    let t = Tensor::f_from_slice(&[0_i64, 300, 600, 999])?;
    let _no_grad = tch::no_grad_guard();
    let eps = net.forward(&x_t, &t, None, &Pass::eval())?;
    // The last convolution of a fresh network is zero.
    println!("prediction {:?}, largest number {}", eps.size(), eps.f_abs()?.f_max()?.f_double_value(&[])?);
    Ok(())
}
