//! An image's bits do not depend on the images computed with it. The number of threads belongs to the process, so these
//! tests have their own process.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};
use unet::{Backbone, Pass, Predictor, TimeForm, TimeInjection, UNet, UNetConfig};

const IMAGES: i64 = 9;

fn wake(net: &UNet) {
    let _no_grad = tch::no_grad_guard();
    for (index, (_, param)) in net.params().iter().enumerate() {
        let mut stream = random::Stream::new(9, random::Purpose::Figure, index as u64, 0);
        let noise = tensor_io::from_slice(&stream.normals(param.numel()), &param.size()).unwrap() * 0.05;
        let _ = param.shallow_clone().f_add_(&noise).unwrap();
    }
}

/// Every kind of layer; attention on maps of several sizes, with one head and with more; odd sizes; labels.
fn networks() -> Vec<UNetConfig> {
    let tiny = UNetConfig::preset("tiny-16").unwrap();
    let attentive = UNetConfig {
        attention_resolutions: vec![16, 8],
        heads: 2,
        time_form: TimeForm::ScaleShift,
        in_channels: 3,
        out_channels: 3,
        ..tiny.clone()
    };
    let input_only = UNetConfig { time_injection: TimeInjection::Input, ..tiny.clone() };
    let odd = UNetConfig { image_size: 28, attention_resolutions: vec![14], ..tiny.clone() };
    vec![UNetConfig { classes: Some(10), ..tiny }, attentive, input_only, odd]
}

#[test]
fn an_image_is_the_same_bits_in_any_batch() {
    for config in networks() {
        let net = UNet::new(&config, 1000, Device::Cpu, 0).unwrap();
        wake(&net);
        let (channels, side) = (config.in_channels as i64, config.image_size as i64);
        let count = (IMAGES * channels * side * side) as usize;
        let numbers = random::Stream::new(1, random::Purpose::Figure, 0, 0).normals(count);
        let x = tensor_io::from_slice(&numbers, &[IMAGES, channels, side, side]).unwrap();
        // Includes different times, also fractional ones.
        let t = Tensor::arange(IMAGES, (Kind::Double, Device::Cpu)) * 41.3 + 12.0;
        let labels: Vec<i64> = (0..IMAGES).map(|image| image % 11 - 1).collect();
        let labels = config.classes.map(|_| net.labels(&labels).unwrap());
        for kind in [Kind::Float, Kind::BFloat16] {
            let predictor = Predictor::new(&net, &Pass::eval().with_kind(kind)).unwrap();
            let part = |first: i64, n: i64| {
                let of = |whole: &Tensor| whole.narrow(0, first, n);
                predictor.predict(&of(&x), &of(&t), labels.as_ref().map(of).as_ref()).unwrap()
            };
            for threads in [1, 3] {
                tch::set_num_threads(threads);
                let whole = part(0, IMAGES);
                // A single image, two, a batch and its remainder, and a single remaining image.
                for (first, n) in [(0, 1), (8, 1), (0, 2), (3, 3), (0, 8)] {
                    assert_eq!(
                        part(first, n),
                        whole.narrow(0, first, n),
                        "{n} images from {first}, {kind:?}, {threads} threads: {config:?}"
                    );
                }
            }
        }
    }
}
