//! A network as a closure, for training and for sampling: `cargo run -p denoiser --example labels`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use denoiser::tch::{Device, Kind, Tensor};
use denoiser::{BoxError, Conditional, Denoiser, NO_LABEL};

/// A sampler's view: one t for the whole batch, and no labels.
fn predict(network: &Denoiser<'_>, x_t: &Tensor, t: f64) -> Result<Tensor, BoxError> {
    network(x_t, &Tensor::f_full([x_t.size()[0]], t, (x_t.f_kind()?, x_t.device()))?)
}

/// A trainer's view: a t and a label for each image, and a mean squared error at the end.
fn loss(network: &Conditional<'_>, x_t: &Tensor, eps: &Tensor, labels: &Tensor) -> Result<f64, BoxError> {
    let t = Tensor::f_zeros([x_t.size()[0]], (Kind::Int64, x_t.device()))?;
    let error = network(x_t, &t, Some(labels))?.f_sub(eps)?;
    Ok(f64::try_from(error.f_square()?.f_mean(Kind::Float)?)?)
}

fn main() -> Result<(), BoxError> {
    // Any function of tensors is a network. This one adds a tenth of the label, and nothing without one.
    let network = |x_t: &Tensor, _t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let Some(labels) = labels else { return Ok(x_t.shallow_clone()) };
        let tenths = labels.f_clamp_min(0_i64)?.f_to_kind(Kind::Float)?.f_mul_scalar(0.1)?;
        Ok(x_t.f_add(&tenths.f_view([-1, 1, 1, 1])?)?)
    };
    let images = Tensor::f_zeros([2, 1, 4, 4], (Kind::Float, Device::Cpu))?;
    let labels = Tensor::f_from_slice(&[3, NO_LABEL])?;
    println!("loss: {:.3}", loss(&network, &images, &images, &labels)?);

    // Bind the labels, and the same network is one for sampling.
    let bound = |x_t: &Tensor, t: &Tensor| network(x_t, t, Some(&labels));
    let output = predict(&bound, &images, 999.0)?;
    for (name, index) in [("class 3", 0), ("no class", 1)] {
        println!("{name}: {:.1}", f64::try_from(output.f_get(index)?.f_mean(Kind::Float)?)?);
    }
    Ok(())
}
