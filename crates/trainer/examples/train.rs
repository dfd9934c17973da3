//! A network of one layer learns the noise of a few grey images, with nothing but this crate: `cargo run -p trainer --example train`.
#![allow(clippy::print_stdout, reason = "a program that talks to people")]

use trainer::schedule::Schedule;
use trainer::tch::{self, Device, Kind, Tensor};
use trainer::{Batch, BoxError, TrainConfig, Trainer};

fn main() -> Result<(), BoxError> {
    tch::manual_seed(0);
    // Parameters are named tensors; the network is any closure that uses them.
    let weight = Tensor::f_zeros([1, 2, 3, 3], (Kind::Float, Device::Cpu))?.f_requires_grad_(true)?;
    let params = [(String::from("weight"), weight.shallow_clone())];
    let model = |x_t: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let time = (t.f_to_kind(Kind::Float)? / 1000.0).f_view([-1, 1, 1, 1])?.f_expand_as(x_t)?;
        let input = Tensor::f_cat(&[x_t, &time], 1)?;
        Ok(input.f_conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)?)
    };

    let config = TrainConfig { steps: 300, batch: 32, lr: 0.01, warmup_steps: 10, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&params, &Schedule::ddpm(), &config, 0, Device::Cpu)?;
    for step in 1..=config.steps {
        let grey = Tensor::f_rand([32, 1, 1, 1], (Kind::Float, Device::Cpu))? * 2.0 - 1.0;
        let images = grey.f_expand([32, 1, 8, 8], false)?.f_contiguous()?;
        let report = trainer.train_step(&Batch { images, labels: None }, &model)?;
        if step % 100 == 0 || step == 1 {
            println!(
                "step {step:>3}: loss {:.3}, norm of the gradients {:.3}",
                report.loss, report.grad_norm
            );
        }
    }
    println!("the average of the weights: {}", trainer.ema_weights()[0].1);
    Ok(())
}
