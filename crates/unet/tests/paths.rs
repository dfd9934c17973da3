//! The fast path of the CPU against libtorch's own operations, through whole networks.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use support::{network, normals};
use tch::{Device, Kind, Tensor};
use unet::{Backbone, DownsamplePadding, Pass, TimeForm, TimeInjection, UNet, UNetConfig};

/// The output and the gradient of every parameter, all in one list.
fn everything(net: &UNet, size: [i64; 4], pass: &Pass) -> Vec<(String, Tensor)> {
    let x = normals(&size, 0);
    let t = Tensor::arange(size[0], (Kind::Int64, Device::Cpu)) * 300;
    for (_, param) in net.params() {
        param.shallow_clone().zero_grad();
    }
    let eps = net.forward(&x, &t, None, pass).unwrap();
    assert_eq!((eps.kind(), eps.is_contiguous()), (Kind::Float, true));
    (&eps * normals(&size, 1)).sum(Kind::Float).backward();
    let gradients = net.params().iter().map(|(name, param)| (name.clone(), param.grad().copy()));
    std::iter::once(("the output".to_owned(), eps.detach())).chain(gradients).collect()
}

/// Relative L2 distance over all gradients together, and of the output.
fn distances(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> (f64, f64) {
    let norm = |tensors: &mut dyn Iterator<Item = Tensor>| {
        tensors
            .map(|x| f64::try_from(x.to_kind(Kind::Double).square().sum(Kind::Double)).unwrap())
            .sum::<f64>()
            .sqrt()
    };
    let relative = |range: std::ops::Range<usize>| {
        let difference = norm(&mut range.clone().map(|i| &a[i].1 - &b[i].1));
        difference / norm(&mut range.map(|i| b[i].1.copy()))
    };
    (relative(0..1), relative(1..a.len()))
}

/// Networks that exercise the fast path in different ways, with the sizes of their images.
fn networks() -> Vec<(UNetConfig, [i64; 4])> {
    let tiny = || UNetConfig::preset("tiny-16").unwrap();
    let odd = UNetConfig { base_channels: 20, groups: 5, in_channels: 3, out_channels: 3, ..tiny() };
    vec![
        (tiny(), [3, 1, 16, 16]),
        (UNetConfig { time_form: TimeForm::ScaleShift, ..tiny() }, [2, 1, 16, 16]),
        (UNetConfig { time_injection: TimeInjection::Input, ..tiny() }, [2, 1, 8, 24]),
        (UNetConfig { downsample_padding: DownsamplePadding::BottomRight, ..odd }, [1, 3, 10, 6]),
        (UNetConfig::preset("small-32").unwrap(), [2, 1, 32, 32]),
    ]
}

#[test]
fn f32_is_the_plain_path_within_1e_5() {
    for (config, size) in networks() {
        let net = network(&config);
        let plain = everything(&net, size, &Pass::eval().with_plain(true));
        let fast = everything(&net, size, &Pass::eval());
        let (output, gradients) = distances(&fast, &plain);
        assert!(
            output <= 1e-5 && gradients <= 1e-5,
            "{config:?}: output {output:e}, gradients {gradients:e}"
        );
        // Make sure that these are not the same operations.
        assert!(output > 0.0, "{config:?}: the fast path was not taken");
    }
}

/// libtorch's own operations with channels innermost: what a GPU can be measured with.
#[test]
fn the_layout_does_not_change_the_plain_path() {
    for (config, size) in networks() {
        let net = network(&config);
        let plain = Pass::eval().with_plain(true);
        let innermost = plain.with_channels_last(true);
        let (output, gradients) =
            distances(&everything(&net, size, &innermost), &everything(&net, size, &plain));
        assert!(
            output <= 1e-5 && gradients <= 1e-5,
            "{config:?}: output {output:e}, gradients {gradients:e}"
        );
        // Make sure that this is another layout.
        let layouts = |pass: &Pass| -> Vec<bool> {
            let prepared = net.prepared(pass).unwrap();
            let kernels = prepared.params().iter().filter(|(_, param)| {
                let size = param.size();
                size.len() == 4 && size[1] > 1 && size[2] > 1
            });
            kernels.map(|(_, kernel)| torch_ext::is_channels_last(kernel).unwrap()).collect()
        };
        assert!(!layouts(&plain).is_empty() && layouts(&plain).iter().all(|innermost| !innermost));
        assert!(layouts(&innermost).iter().all(|innermost| *innermost));
    }
}

#[test]
fn bf16_is_no_further_from_f32_than_the_plain_path() {
    for (config, size) in networks() {
        let net = network(&config);
        let exact = everything(&net, size, &Pass::eval().with_plain(true));
        let bf16 = Pass::eval().with_kind(Kind::BFloat16);
        let plain = distances(&everything(&net, size, &bf16.with_plain(true)), &exact);
        let fast = distances(&everything(&net, size, &bf16), &exact);
        assert!(
            fast.0 <= 1.1 * plain.0,
            "{config:?}: the output is off by {:e}, plain {:e}",
            fast.0,
            plain.0
        );
        assert!(
            fast.1 <= 1.1 * plain.1,
            "{config:?}: gradients are off by {:e}, plain {:e}",
            fast.1,
            plain.1
        );
    }
}

/// What likelihoods need: the gradient with respect to `x_t` alone, for a network prepared for sampling.
#[test]
fn a_prepared_network_has_the_plain_gradient_of_its_input() {
    for (config, size) in networks() {
        let net = network(&config);
        let t = Tensor::arange(size[0], (Kind::Int64, Device::Cpu)) * 300;
        let by_input = |pass: &Pass| {
            let x = normals(&size, 0).set_requires_grad(true);
            let product =
                net.prepared(pass).unwrap().forward(&x, &t, None, pass).unwrap() * normals(&size, 1);
            let gradient =
                Tensor::run_backward(&[product.sum(Kind::Float)], &[&x], false, false).swap_remove(0);
            [("none".to_owned(), x.detach()), ("by x_t".to_owned(), gradient)]
        };
        let (_, off) = distances(&by_input(&Pass::eval()), &by_input(&Pass::eval().with_plain(true)));
        assert!(off <= 1e-5, "{config:?}: {off:e}");
    }
}

#[test]
fn a_prepared_network_predicts_the_same_and_does_not_follow_the_first() {
    for (config, size) in networks() {
        let net = network(&config);
        let x = normals(&size, 0);
        let t = Tensor::arange(size[0], (Kind::Int64, Device::Cpu)) * 300;
        for pass in [Pass::eval(), Pass::eval().with_kind(Kind::BFloat16), Pass::eval().with_plain(true)] {
            let predict = |net: &dyn Backbone| net.forward(&x, &t, None, &pass).unwrap().detach();
            let prepared = net.prepared(&pass).unwrap();
            let expected = predict(&net);
            // The rounding of MKL's products for AVX2 depends on memory alignment, and the reference uses them
            // unchanged.
            let same = |got: &Tensor| {
                if pass.plain { got.allclose(&expected, 1e-4, 1e-6, false) } else { *got == expected }
            };
            assert!(same(&predict(&*prepared)), "{config:?} {pass:?}");
            assert!(prepared.params().iter().all(|(_, param)| !param.requires_grad()));
            let weight = &prepared.params().iter().find(|(name, _)| name == "conv_in.weight").unwrap().1;
            assert_eq!(weight.kind(), pass.kind);

            // Another training step would only change the first network.
            let _no_grad = tch::no_grad_guard();
            for (_, param) in net.params() {
                let _ = param.shallow_clone().f_add_scalar_(0.01).unwrap();
            }
            assert!(!predict(&net).allclose(&expected, 1e-4, 1e-6, false));
            assert!(same(&predict(&*prepared)));
        }
    }
}

/// Dropout draws its masks in memory order, so only the rate is the same on both paths.
#[test]
fn dropout_is_a_function_of_libtorchs_seed() {
    let net = network(&UNetConfig { dropout: 0.3, ..UNetConfig::preset("tiny-16").unwrap() });
    let run = |seed| {
        tch::manual_seed(seed);
        net.forward(&normals(&[1, 1, 16, 16], 0), &Tensor::from_slice(&[7_i64]), None, &Pass::train())
            .unwrap()
    };
    let first = run(1);
    assert_eq!(run(1), first);
    assert_ne!(run(2), first);
}
