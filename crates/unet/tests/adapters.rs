//! Low-rank adapters: nothing at the start, the merged network at every point, and gradients of their own.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use unet::{Backbone, Pass, UNet, UNetConfig, merged};

fn nets(rank: usize) -> (UNet, UNet) {
    let plain = UNetConfig { dropout: 0.0, ..UNetConfig::preset("tiny-16").unwrap() };
    let adapted = UNetConfig { adapter_rank: Some(rank), ..plain.clone() };
    let build = |config| UNet::new(config, 1000, Device::Cpu, 3).unwrap();
    let (base, net) = (build(&plain), build(&adapted));
    // The base has other weights, none of which is 0.
    tch::manual_seed(5);
    let _no_grad = tch::no_grad_guard();
    for (name, param) in base.params() {
        let own = net.params().iter().find(|(other, _)| other == name).unwrap();
        param.shallow_clone().copy_(&(Tensor::randn_like(param) * 0.1));
        own.1.shallow_clone().copy_(param);
    }
    (base, net)
}

/// The factors that are 0 at the start get numbers.
fn trained(net: &UNet) {
    let _no_grad = tch::no_grad_guard();
    for (_, up) in net.params().iter().filter(|(name, _)| name.ends_with(".adapter_up")) {
        up.shallow_clone().copy_(&(Tensor::randn_like(up) * 0.1));
    }
}

fn batch() -> (Tensor, Tensor) {
    let x = Tensor::linspace(-1.0, 1.0, 2 * 256, (Kind::Float, Device::Cpu)).view([2, 1, 16, 16]);
    (x, Tensor::from_slice(&[10_i64, 700]))
}

fn predict(net: &dyn Backbone, pass: &Pass) -> Tensor {
    let (x, t) = batch();
    let _no_grad = tch::no_grad_guard();
    net.forward(&x, &t, None, pass).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    f64::try_from((a - b).abs().max() / b.abs().max()).unwrap()
}

#[test]
fn a_fresh_adapter_changes_nothing_and_a_trained_one_does() {
    let (base, net) = nets(2);
    for pass in [Pass::eval(), Pass::train(), Pass::eval().with_plain(true)] {
        assert_eq!(predict(&net, &pass), predict(&base, &pass), "{pass:?}");
    }
    trained(&net);
    assert!(difference(&predict(&net, &Pass::eval()), &predict(&base, &Pass::eval())) > 1e-3);
}

#[test]
fn the_merged_network_predicts_the_same() {
    let (base, net) = nets(3);
    trained(&net);
    let plain: Vec<Named> = merged(net.params()).unwrap();
    assert_eq!(plain.len(), base.params().len());
    let whole = net.with_parameters(plain).unwrap();
    assert!(difference(&predict(&*whole, &Pass::eval()), &predict(&net, &Pass::eval())) < 1e-6);
    for kind in [Kind::Float, Kind::BFloat16] {
        let pass = Pass::eval().with_kind(kind);
        let prepared = net.prepared(&pass).unwrap();
        assert!(prepared.params().iter().all(|(name, _)| !name.contains("adapter")));
        let limit = if kind == Kind::Float { 1e-6 } else { 0.05 };
        assert!(difference(&predict(&*prepared, &pass), &predict(&*whole, &pass)) < limit);
    }
    // A weight by hand.
    let find = |list: &[Named], name: &str| list.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone();
    let (down, up) = (find(net.params(), "conv_in.adapter_down"), find(net.params(), "conv_in.adapter_up"));
    let by_hand = find(base.params(), "conv_in.weight") + up.matmul(&down.flatten(1, -1)).view([-1, 1, 3, 3]);
    assert!(difference(&find(whole.params(), "conv_in.weight"), &by_hand) < 1e-6);
}

/// The gradients of the factors follow from that of the weight: `dA = B^T dW`, `dB = dW A^T`.
#[test]
fn gradients_are_those_of_the_factors() {
    let (_, net) = nets(2);
    trained(&net);
    let whole = net.with_parameters(merged(net.params()).unwrap()).unwrap();
    for (_, param) in whole.params() {
        let _ = param.set_requires_grad(true);
    }
    let (x, t) = batch();
    for net in [&net as &dyn Backbone, &*whole] {
        net.forward(&x, &t, None, &Pass::train()).unwrap().square().mean(Kind::Float).backward();
    }
    let of = |net: &dyn Backbone, name: &str| {
        net.params().iter().find(|(n, _)| n == name).map(|(_, x)| x.shallow_clone()).unwrap()
    };
    for layer in ["conv_in", "down_blocks.0.resnets.0.conv1", "mid_block.attentions.0.to_q", "conv_out"] {
        let weight = of(&*whole, &format!("{layer}.weight")).grad().flatten(1, -1);
        let (down, up) =
            (of(&net, &format!("{layer}.adapter_down")), of(&net, &format!("{layer}.adapter_up")));
        let of_down = up.transpose(0, 1).matmul(&weight);
        let of_up = weight.matmul(&down.flatten(1, -1).transpose(0, 1));
        assert!(difference(&down.grad().flatten(1, -1), &of_down) < 1e-4, "{layer}");
        assert!(difference(&up.grad(), &of_up) < 1e-4, "{layer}");
    }
}
