//! The network from outside: parameter counts, shapes, where the time enters, devices and precisions.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};
use unet::{
    Backbone, BackboneError, DownsamplePadding, EmbeddingConfig, NO_LABEL, Pass, TimeForm, TimeInjection,
    UNet, UNetConfig,
};

const T: usize = 1000;

fn tiny() -> UNetConfig {
    UNetConfig::preset("tiny-16").unwrap()
}

fn build(config: &UNetConfig) -> UNet {
    UNet::new(config, T, Device::Cpu, 0).unwrap()
}

/// The last convolutions start at zero; a small perturbation makes the output depend on everything before.
fn wake(net: &UNet) {
    let _no_grad = tch::no_grad_guard();
    for (index, (_, param)) in net.params().iter().enumerate() {
        let mut stream = random::Stream::new(9, random::Purpose::Figure, index as u64, 0);
        let noise = tensor_io::from_slice(&stream.normals(param.numel()), &param.size()).unwrap() * 0.05;
        let _ = param.shallow_clone().f_add_(&noise.to_device(param.device())).unwrap();
    }
}

fn images(size: [i64; 4], device: Device) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(1, random::Purpose::Figure, 0, 0).normals(count);
    tensor_io::from_slice(&numbers, &size).unwrap().to_device(device)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    f64::try_from((a - b).norm() / b.norm()).unwrap()
}

/// Ho et al. 2020, App. B: "our CIFAR10 model has 35.7 million parameters".
#[test]
fn the_papers_cifar10_network_has_its_size() {
    let net = build(&UNetConfig::preset("ddpm-cifar10").unwrap());
    assert_eq!(net.param_count(), 35_746_307);
    let eps = net.forward(
        &images([1, 3, 32, 32], Device::Cpu),
        &Tensor::from_slice(&[10_i64]),
        None,
        &Pass::eval(),
    );
    assert_eq!(eps.unwrap().size(), [1, 3, 32, 32]);
}

#[test]
fn a_fresh_network_predicts_zero_and_is_a_function_of_its_seed() {
    let net = build(&tiny());
    let x = images([2, 1, 16, 16], Device::Cpu);
    let t = Tensor::from_slice(&[0_i64, 999]);
    assert_eq!(f64::try_from(net.forward(&x, &t, None, &Pass::eval()).unwrap().abs().max()).unwrap(), 0.0);
    assert_eq!(net.params(), build(&tiny()).params());
    assert_ne!(net.params(), UNet::new(&tiny(), T, Device::Cpu, 1).unwrap().params());
}

#[test]
fn the_time_changes_the_output_in_both_ways_of_injection() {
    for time_injection in [TimeInjection::PerBlock, TimeInjection::Input] {
        for time_form in [TimeForm::Additive, TimeForm::ScaleShift] {
            let net = build(&UNetConfig { time_injection, time_form, ..tiny() });
            wake(&net);
            let x = images([1, 1, 16, 16], Device::Cpu);
            let at = |t: i64| net.forward(&x, &Tensor::from_slice(&[t]), None, &Pass::eval()).unwrap();
            assert!(distance(&at(500), &at(0)) > 1e-4, "{time_injection:?} {time_form:?} ignores t");
            assert!(
                distance(&at(501), &at(500)) > 1e-6,
                "{time_injection:?} {time_form:?}: neighbours are one"
            );
        }
    }
    // The input-only network has no projection in any block.
    let input_only = build(&UNetConfig { time_injection: TimeInjection::Input, ..tiny() });
    assert!(input_only.params().iter().all(|(name, _)| !name.contains("time_emb_proj")));
}

/// One t per image: a batch gives the same results as its images alone.
#[test]
fn images_of_a_batch_are_independent() {
    let net = build(&tiny());
    wake(&net);
    let x = images([3, 1, 16, 16], Device::Cpu);
    let t = Tensor::from_slice(&[3_i64, 400, 999]);
    let together = net.forward(&x, &t, None, &Pass::eval()).unwrap();
    for i in 0..3 {
        let alone = net.forward(&x.narrow(0, i, 1), &t.narrow(0, i, 1), None, &Pass::eval()).unwrap();
        assert_eq!(alone, together.narrow(0, i, 1));
    }
}

/// Sampling in bf16 is the same whatever else is in the batch: the time vector is exact enough to be rounded
/// identically, and so is what is computed from it in bf16.
#[test]
fn a_bf16_image_is_the_same_bits_alone() {
    tch::set_num_threads(1);
    let net = build(&UNetConfig { classes: Some(10), ..tiny() });
    wake(&net);
    let pass = Pass::eval().with_kind(Kind::BFloat16);
    let (x, t) = (images([16, 1, 16, 16], Device::Cpu), Tensor::arange(16, (Kind::Int64, Device::Cpu)) * 66);
    let labels = net.labels(&(0..16).map(|image| image % 10).collect::<Vec<_>>()).unwrap();
    let part = |first, count| {
        let of = |whole: &Tensor| whole.narrow(0, first, count);
        net.forward(&of(&x), &of(&t), Some(&of(&labels)), &pass).unwrap()
    };
    let together = part(0, 16);
    for (first, count) in [(0, 1), (5, 1), (3, 2), (9, 7), (8, 8)] {
        assert_eq!(part(first, count), together.narrow(0, first, count), "{count} images from {first}");
    }
}

#[test]
fn any_size_that_divides_runs_and_others_are_refused() {
    let net = build(&UNetConfig { downsample_padding: DownsamplePadding::BottomRight, ..tiny() });
    let t = Tensor::from_slice(&[5_i64]);
    for (h, w) in [(2, 2), (16, 16), (24, 10)] {
        let eps = net.forward(&images([1, 1, h, w], Device::Cpu), &t, None, &Pass::eval()).unwrap();
        assert_eq!(eps.size(), [1, 1, h, w]);
    }
    let cases: [(Tensor, Tensor); 5] = [
        (images([1, 1, 15, 16], Device::Cpu), t.copy()),
        (images([1, 3, 16, 16], Device::Cpu), t.copy()),
        (images([1, 1, 16, 16], Device::Cpu).view([16, 16]), t.copy()),
        (images([1, 1, 16, 16], Device::Cpu), Tensor::from_slice(&[5_i64, 6])),
        (Tensor::zeros([0, 1, 16, 16], (Kind::Float, Device::Cpu)), Tensor::from_slice::<i64>(&[])),
    ];
    for (x, t) in cases {
        assert!(
            matches!(net.forward(&x, &t, None, &Pass::eval()), Err(BackboneError::Shape { .. })),
            "{:?}",
            x.size()
        );
    }
}

#[test]
fn labels_affect_a_conditional_network_and_are_refused_by_another() {
    let x = images([2, 1, 16, 16], Device::Cpu);
    let t = Tensor::from_slice(&[100_i64, 100]);
    let labels = |a: i64, b: i64| Tensor::from_slice(&[a, b]);
    let net = build(&UNetConfig { classes: Some(3), ..tiny() });
    wake(&net);
    let with = |l: &Tensor| net.forward(&x, &t, Some(l), &Pass::eval()).unwrap();
    assert!(distance(&with(&labels(0, 1)), &with(&labels(0, 2))) > 1e-4);
    assert!(net.forward(&x, &t, Some(&Tensor::from_slice(&[1_i64])), &Pass::eval()).is_err());
    let unconditional = build(&tiny());
    let refused = unconditional.forward(&x, &t, Some(&labels(0, 1)), &Pass::eval());
    assert!(matches!(refused, Err(BackboneError::Unconditional)));
}

#[test]
fn no_label_is_no_class_in_one_batch_with_others() {
    let x = images([3, 1, 16, 16], Device::Cpu);
    let t = Tensor::from_slice(&[100_i64, 500, 900]);
    let net = build(&UNetConfig { classes: Some(3), ..tiny() });
    wake(&net);
    let run = |l: &[i64]| net.forward(&x, &t, Some(&net.labels(l).unwrap()), &Pass::eval()).unwrap();
    let without = net.forward(&x, &t, None, &Pass::eval()).unwrap();
    assert_eq!(run(&[NO_LABEL; 3]), without);
    // Each image of a mixed batch equals the image with its own label.
    let (mixed, labelled) = (run(&[2, NO_LABEL, 0]), run(&[2, 2, 0]));
    for (image, same, other) in [(0, &labelled, &without), (1, &without, &labelled), (2, &labelled, &without)]
    {
        assert!(distance(&mixed.get(image), &same.get(image)) < 1e-5, "image {image}");
        assert!(distance(&mixed.get(image), &other.get(image)) > 1e-4, "image {image}");
    }
}

/// An image without a label does not change the class table.
#[test]
fn gradients_reach_the_rows_of_the_labels_alone() {
    let net = build(&UNetConfig { classes: Some(3), ..tiny() });
    wake(&net);
    let labels = net.labels(&[NO_LABEL, 1]).unwrap();
    let (x, t) = (images([2, 1, 16, 16], Device::Cpu), Tensor::from_slice(&[10_i64, 20]));
    let out = net.forward(&x, &t, Some(&labels), &Pass::train()).unwrap();
    out.square().mean(Kind::Float).backward();
    let (_, table) = net.params().iter().find(|(name, _)| name == "class_embedding.weight").unwrap();
    assert_eq!(table.size(), [3, 64]);
    let norms = tensor_io::to_vec(&table.grad().norm_scalaropt_dim(2, [1], false)).unwrap();
    assert!(norms[0] == 0.0 && norms[1] > 0.0 && norms[2] == 0.0, "{norms:?}");
}

#[test]
fn labels_that_are_not_classes_are_refused() {
    let net = build(&UNetConfig { classes: Some(3), ..tiny() });
    let (x, t) = (images([2, 1, 16, 16], Device::Cpu), Tensor::from_slice(&[10_i64, 20]));
    for got in [3, -2, i64::MAX, i64::MIN] {
        let labels = Tensor::from_slice(&[0, got]);
        for refused in [net.forward(&x, &t, Some(&labels), &Pass::eval()), net.labels(&[0, got])] {
            assert!(matches!(refused, Err(BackboneError::Label { got: g, classes: 3 }) if g == got));
        }
    }
    let error = net.labels(&[3]).unwrap_err().to_string();
    assert_eq!(error, "label 3: expected 0 to 2, or -1 for none");
    let floats = Tensor::from_slice(&[0.5_f32, 1.0]);
    let refused = net.forward(&x, &t, Some(&floats), &Pass::eval());
    assert!(matches!(refused, Err(BackboneError::LabelKind { .. })));
    assert!(matches!(build(&tiny()).labels(&[0]), Err(BackboneError::Unconditional)));
}

#[test]
fn bf16_stays_close_to_f32_forward_and_backward() {
    let net = build(&UNetConfig { embedding: EmbeddingConfig::Normalized { frequencies: 10 }, ..tiny() });
    wake(&net);
    let x = images([4, 1, 16, 16], Device::Cpu);
    let t = Tensor::from_slice(&[1_i64, 250, 600, 990]);
    let run = |kind| {
        net.params().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
        let out = net.forward(&x, &t, None, &Pass::train().with_kind(kind)).unwrap();
        assert_eq!(out.kind(), Kind::Float);
        out.square().mean(Kind::Float).backward();
        let gradients: Vec<Tensor> =
            net.params().iter().map(|(_, p)| p.grad().copy().flatten(0, -1)).collect();
        (out.detach(), Tensor::cat(&gradients, 0))
    };
    let (exact, exact_gradient) = run(Kind::Float);
    let (rounded, rounded_gradient) = run(Kind::BFloat16);
    let (forward, backward) = (distance(&rounded, &exact), distance(&rounded_gradient, &exact_gradient));
    // bf16 has 8 bits: relative rounding 2^-9, about twenty layers deep.
    assert!(forward > 0.0 && forward < 0.03, "forward differs by {forward}");
    assert!(backward < 0.05, "gradients differ by {backward}");
}
