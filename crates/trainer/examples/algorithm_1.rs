//! Algorithm 1 of Ho et al. 2020 (training), line by line and without the engine of this crate:
//! `cargo run -p trainer --example algorithm_1`. The paper's t = 1..T is 0..T-1 here.
//!
//! The data are two numbers, -1 and 1, and the network is small. `tests/algorithm_1.rs` checks that the engine computes the
//! same loss.
#![allow(clippy::print_stdout, reason = "a program that talks to people")]

use schedule::Schedule;
use tch::{Device, Kind, TchError, Tensor};

const CPU: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Line 5: the mean of |eps - eps_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, t)|^2.
pub(crate) fn loss(
    schedule: &Schedule,
    eps_theta: impl Fn(&Tensor, &Tensor) -> Tensor,
    x_0: &Tensor,
    t: &Tensor,
    eps: &Tensor,
) -> Tensor {
    let alpha_bar = Tensor::from_slice(&schedule.alpha_bars().to_vec()).index_select(0, t);
    let alpha_bar = alpha_bar.view([-1, 1, 1, 1]);
    let noise: Tensor = 1.0 - &alpha_bar;
    let x_t = alpha_bar.sqrt() * x_0 + noise.sqrt() * eps;
    (eps - eps_theta(&x_t, t)).square().mean(Kind::Double)
}

fn main() -> Result<(), TchError> {
    let schedule = Schedule::ddpm();
    let timesteps = schedule.steps() as i64;
    let weight = |rows: i64, columns: i64| {
        (Tensor::randn([rows, columns], CPU) / (rows as f64).sqrt()).set_requires_grad(true)
    };
    let theta = [weight(3, 64), weight(64, 64), weight(64, 1)];
    // Acts on each number of x_t separately, given t: three features, two hidden layers.
    let eps_theta = |x_t: &Tensor, t: &Tensor| {
        let t = t.to_kind(Kind::Double) / timesteps as f64;
        let features = Tensor::stack(&[x_t.view(-1), t.shallow_clone(), t.ones_like()], 1);
        let hidden = features.matmul(&theta[0]).tanh().matmul(&theta[1]).tanh();
        hidden.matmul(&theta[2]).view([-1, 1, 1, 1])
    };
    for step in 0..=2000 {
        let x_0 = Tensor::randint(2, [256, 1, 1, 1], CPU) * 2.0 - 1.0; // 2: x_0 ~ q(x_0)
        let t = Tensor::randint(timesteps, [256], (Kind::Int64, Device::Cpu)); // 3: t ~ Uniform
        let eps = x_0.randn_like(); // 4: eps ~ N(0, I)
        let loss = loss(&schedule, eps_theta, &x_0, &t, &eps); // 5: take a gradient step
        let gradients = Tensor::f_run_backward(&[&loss], &theta, false, false)?;
        let _no_grad = tch::no_grad_guard();
        for (theta, gradient) in theta.iter().zip(gradients) {
            let _ = theta.shallow_clone().f_sub_(&(gradient * 0.1))?;
        }
        if step % 200 == 0 {
            println!("step {step}: loss {:.4}", loss.f_double_value(&[])?);
        }
    } // 6: until converged
    Ok(())
}
