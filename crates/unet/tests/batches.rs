//! An image is the same bits whatever images are computed with it, and on how many threads. The number of threads is the
//! process's, so these have a test process of their own.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};
use unet::{Pass, Predictor, TimeForm, UNet, UNetConfig};

const IMAGES: i64 = 17;

fn wake(net: &UNet) {
    let _no_grad = tch::no_grad_guard();
    for (index, (_, param)) in net.params().iter().enumerate() {
        let mut stream = random::Stream::new(9, random::Purpose::Figure, index as u64, 0);
        let noise = tensor_io::from_slice(&stream.normals(param.numel()), &param.size()).unwrap() * 0.05;
        let _ = param.shallow_clone().f_add_(&noise).unwrap();
    }
}

/// Every kind of layer, and attention on maps of several sizes.
fn networks() -> Vec<(&'static str, UNetConfig)> {
    let tiny = UNetConfig::preset("tiny-16").unwrap();
    vec![
        ("tiny", UNetConfig { classes: Some(10), ..tiny.clone() }),
        ("attentive", UNetConfig {
            attention_resolutions: vec![16, 8],
            heads: 2,
            time_form: TimeForm::ScaleShift,
            ..tiny.clone()
        }),
        ("small-32", UNetConfig::preset("small-32").unwrap_or(tiny)),
    ]
}

#[test]
fn explore() {
    let only: Option<String> = std::env::var("ONLY").ok();
    for (name, config) in networks() {
        if only.as_ref().is_some_and(|only| only != name) { continue; }
        let net = UNet::new(&config, 1000, Device::Cpu, 0).unwrap();
        wake(&net);
        let side = config.image_size as i64;
        let count = (IMAGES * config.in_channels as i64 * side * side) as usize;
        let numbers = random::Stream::new(1, random::Purpose::Figure, 0, 0).normals(count);
        let x = tensor_io::from_slice(&numbers, &[IMAGES, config.in_channels as i64, side, side]).unwrap();
        let t = Tensor::full([IMAGES], 500, (Kind::Int64, Device::Cpu));
        for kind in [Kind::Float, Kind::BFloat16] {
            let predictor = Predictor::new(&net, &Pass::eval().with_kind(kind)).unwrap();
            let part = |first: i64, n: i64| {
                predictor.predict(&x.narrow(0, first, n), &t.narrow(0, first, n), None).unwrap()
            };
            tch::set_num_threads(1);
            let whole = part(0, IMAGES);
            for threads in [1, 2, 3] {
                tch::set_num_threads(threads);
                let mut bad = vec![];
                for n in [1, 2, 3, 4, 5, 8, 16, 17] {
                    let got = part(0, n);
                    let want = whole.narrow(0, 0, n);
                    if got != want {
                        bad.push((n, f64::try_from((got - want).abs().max()).unwrap()));
                    }
                }
                println!("{name} {kind:?} threads {threads}: differs for {bad:?}");
            }
        }
    }
}
