//! A normalisation and its activation in one pass, beside libtorch's: `cargo run -p torch-ext --example fused`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;

use torch_ext::tch::{Device, Kind, Tensor};
use torch_ext::{GroupNorm, Modulation, cpu_has_bf16, group_norm, inference_mode, is_channels_last};

fn main() -> Result<(), Box<dyn Error>> {
    let cpu = (Kind::Float, Device::Cpu);
    let x = Tensor::f_randn([2, 32, 16, 16], cpu)?;
    let (weight, bias) = (Tensor::f_ones([32], cpu)?, Tensor::f_zeros([32], cpu)?);

    let norm = GroupNorm { weight: &weight, bias: &bias, groups: 8, eps: 1e-6 };
    // Without gradients, libtorch also keeps no record of the results.
    let ours = inference_mode(|| group_norm(&x, &norm, Modulation::None, true))??;
    let theirs = x.f_group_norm(8, Some(&weight), Some(&bias), 1e-6, false)?.f_silu()?;
    let difference = ours.f_sub(&theirs)?.f_abs()?.f_max()?.f_double_value(&[])?;
    println!("{:?}, within 1e-4 of libtorch: {}", ours.size(), difference < 1e-4);
    println!("channels are innermost: {}", is_channels_last(&ours)?);
    println!("this processor multiplies bf16 matrices: {}", cpu_has_bf16());
    Ok(())
}
