//! Networks on a GPU. The tests are ignored by default; `cargo xtask test` runs them if there is a GPU, and
//! `cargo test -p unet --test gpu -- --ignored` always does.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;
#[path = "support/turn.rs"]
mod turn;

use support::{network, normals};
use tch::{Device, Kind, Tensor};
use turn::gpu;
use unet::{Backbone, NO_LABEL, Pass, Predictor, UNet, UNetConfig};

/// The same network on the CPU and on the GPU.
fn twins(config: &UNetConfig, device: Device) -> [UNet; 2] {
    let on_cpu = network(config);
    let on_gpu = UNet::new(config, 1000, device, 0).unwrap();
    on_gpu.copy_weights(on_cpu.params()).unwrap();
    [on_cpu, on_gpu]
}

fn distance(got: &Tensor, expected: &Tensor) -> f64 {
    let got = got.detach().to_device(Device::Cpu);
    f64::try_from((got - expected.detach()).norm() / expected.detach().norm()).unwrap()
}

#[test]
#[ignore = "needs a GPU"]
fn outputs_and_gradients_agree_with_the_cpu() {
    let (_turn, device) = gpu();
    for name in ["tiny-16", "small-32"] {
        let config = UNetConfig::preset(name).unwrap();
        let size = [2, config.in_channels, config.image_size, config.image_size].map(|n| n as i64);
        let t = Tensor::from_slice(&[7_i64, 800]);
        for (kind, limit) in [(Kind::Float, 1e-4), (Kind::BFloat16, 0.05)] {
            for channels_last in [false, true] {
                let [expected, got] = twins(&config, device).map(|net| {
                    let kind = if net.device() == Device::Cpu { Kind::Float } else { kind };
                    let pass = Pass::eval().with_kind(kind).with_channels_last(channels_last);
                    let out = net.forward(&normals(&size, 0), &t, None, &pass).unwrap();
                    out.square().mean(Kind::Float).backward();
                    let flat =
                        net.params().iter().map(|(_, param)| param.grad().flatten(0, -1)).collect::<Vec<_>>();
                    [out, Tensor::cat(&flat, 0)]
                });
                for (what, (got, expected)) in ["outputs", "gradients"].iter().zip(got.iter().zip(&expected))
                {
                    let apart = distance(got, expected);
                    assert!(apart < limit, "{name} {kind:?} {channels_last}: {what} differ by {apart}");
                }
            }
        }
    }
}

/// Recorded predictions equal those of the network for all inputs, and stay valid while others are made.
#[test]
#[ignore = "needs a GPU"]
fn a_predictor_says_what_the_network_says() {
    let (_turn, device) = gpu();
    for classes in [None, Some(4)] {
        let config = UNetConfig { classes, ..UNetConfig::preset("tiny-16").unwrap() };
        let [_, net] = twins(&config, device);
        let predictor = Predictor::new(&net, &Pass::eval()).unwrap();
        let unrecorded = Predictor::without_recording(&net, &Pass::eval()).unwrap();
        let mut kept = Vec::new();
        for call in 0..8 {
            let x_t = normals(&[3, 1, 16, 16], call).to_device(device);
            let t = Tensor::from_slice(&[10 * call as i64, 5, 999]).to_device(device);
            let labels = classes.map(|_| net.labels(&[call as i64 % 4, NO_LABEL, 1]).unwrap());
            let expected = net.forward(&x_t, &t, labels.as_ref(), &Pass::eval()).unwrap();
            kept.push((unrecorded.predict(&x_t, &t, labels.as_ref()).unwrap(), expected.shallow_clone()));
            kept.push((predictor.predict(&x_t, &t, labels.as_ref()).unwrap(), expected));
        }
        assert!(predictor.is_recorded() && !unrecorded.is_recorded());
        for (call, (got, expected)) in kept.iter().enumerate() {
            let apart = distance(got, &expected.to_device(Device::Cpu));
            assert!(apart < 1e-5, "call {call}: {apart}");
        }
    }
}
