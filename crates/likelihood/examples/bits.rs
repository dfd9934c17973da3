//! Bits per dimension of grey images under a model in closed form: `cargo run -p likelihood --example bits`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::ops::ControlFlow;

use likelihood::schedule::{Prediction, Schedule};
use likelihood::tch::{Device, Kind, Tensor};
use likelihood::{Batch, BoundOptions, BoxError, Levels, OdeOptions, Output, bound, ode};

fn main() -> Result<(), BoxError> {
    // The data are N(0, I), so x_t is N(0, I) at every t, and the best prediction of eps is sigma x_t.
    let path = Schedule::ddpm();
    let model = |x_t: &Tensor, t: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let sigma = path.level_at(f64::try_from(t.f_get(0)?)?)?.sigma;
        Ok(x_t.f_mul_scalar(sigma)?)
    };
    let output = Output { prediction: Prediction::Eps, learned_variance: false };
    let grey = || -> Result<[Result<Batch, BoxError>; 1], BoxError> {
        let images = Tensor::f_full([8, 1, 4, 4], 128_i64, (Kind::Uint8, Device::Cpu))?;
        Ok([Ok(Batch { images, labels: None })])
    };
    let mut on_step = |_: &likelihood::Progress| Ok(ControlFlow::Continue(()));

    let options = BoundOptions::new(Levels::chain(&path, Some(100))?, output);
    let bits = bound(&options, &model, grey()?, &mut on_step)?.bits;
    println!("variational bound, 100 steps:  {:.2} bits per dimension", bits.mean);
    let options = OdeOptions::new(Levels::flow(&path, 50)?, output);
    let bits = ode(&options, &model, grey()?, &mut on_step)?.bits;
    println!("probability flow, 50 steps:    {:.2} bits per dimension", bits.mean);
    // The density of N(0, 1) at 0 is 0.3989, and a unit has 127.5 grey levels.
    println!("exact:                         {:.2} bits per dimension", (127.5 / 0.39894_f64).log2());
    Ok(())
}
