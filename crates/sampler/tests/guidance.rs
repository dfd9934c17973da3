//! Classifier-free guidance with networks known in closed form: classes that are Gaussians.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::cell::RefCell;

use sampler::{
    BoxError, Guidance, GuidanceError, Method, Noise, Prediction, Sampler, SamplerConfig, Threshold,
};
use schedule::Schedule;
use tch::{Device, Kind, Tensor};

/// Means of the classes, the mean without a class, the deviation of them all.
const MEANS: [f64; 3] = [-0.6, 0.1, 0.4];
const MEAN: f64 = 0.05;
const DEVIATION: f64 = 0.2;

/// The best eps for pixels that are independent and N(mean, DEVIATION^2): `x_t` is N(sqrt(alpha_bar) mean,
/// alpha_bar DEVIATION^2 + 1 - alpha_bar), and eps is -sqrt(1 - alpha_bar) times its score.
fn gaussian_eps(schedule: &Schedule, x_t: &Tensor, t: usize, means: &Tensor) -> Tensor {
    let alpha_bar = schedule.alpha_bars()[t];
    let variance = alpha_bar * DEVIATION.powi(2) + 1.0 - alpha_bar;
    (x_t - means * alpha_bar.sqrt()) * ((1.0 - alpha_bar).sqrt() / variance)
}

/// The mean of each image's class, `[b, 1, 1, 1]`.
fn means(labels: &[i64]) -> Tensor {
    let means: Vec<f32> =
        labels.iter().map(|&label| usize::try_from(label).map_or(MEAN, |k| MEANS[k]) as f32).collect();
    Tensor::from_slice(&means).view([-1, 1, 1, 1])
}

/// The label of each of `count` images.
fn each(labels: Option<&Tensor>, count: i64) -> Vec<i64> {
    labels.map_or_else(|| vec![-1; count as usize], |labels| Vec::try_from(labels).unwrap())
}

/// The conditional network of the classes: eps, at whole t.
fn network(x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>) -> Result<Tensor, BoxError> {
    let labels = each(labels, x_t.size()[0]);
    let t = f64::try_from(&t.f_get(0)?)? as usize;
    Ok(gaussian_eps(&Schedule::ddpm(), x_t, t, &means(&labels)))
}

fn images(first: u64, size: [i64; 4]) -> Tensor {
    Noise { seed: 5, first_index: first }.start(size, Device::Cpu).unwrap()
}

fn at(t: i64, count: i64) -> Tensor {
    Tensor::full([count], t, (Kind::Int64, Device::Cpu))
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor_io::to_vec(tensor).unwrap()
}

fn close(a: &Tensor, b: &Tensor, within: f64) -> bool {
    a.size() == b.size() && f64::try_from((a - b).abs().max()).unwrap() < within
}

/// With one deviation for all, the guided eps is that of a Gaussian whose mean is extrapolated.
#[test]
fn guided_eps_is_that_of_the_extrapolated_class() {
    let (labels, x_t) = ([2, 0, 1, -1], images(0, [4, 2, 3, 3]));
    for scale in [0.0, 0.5, 1.0, 1.5, 4.0] {
        let guided = Guidance::new(scale)
            .apply(network, &Tensor::from_slice(&labels), Schedule::ddpm().steps())
            .unwrap();
        for t in [0, 300, 999] {
            let want_means = MEAN + (means(&labels) - MEAN) * scale;
            let want = gaussian_eps(&Schedule::ddpm(), &x_t, t as usize, &want_means);
            assert!(close(&guided(&x_t, &at(t, 4)).unwrap(), &want, 1e-5), "scale {scale}, t = {t}");
        }
    }
}

/// A whole chain samples the extrapolated class: its mean, and the deviation, which guidance leaves unchanged.
#[test]
fn samples_come_from_the_extrapolated_class() {
    let (schedule, scale) = (Schedule::ddpm(), 1.8);
    let ddim = SamplerConfig::new(Method::Ddim { eta: 0.0 });
    let config = SamplerConfig { steps: Some(200), threshold: Threshold::Off, ..ddim };
    let sampler = Sampler::new(&schedule, &config).unwrap();
    let labels = [2_i64, 1];
    let noise = Noise { seed: 1, first_index: 0 };
    let x_start = noise.start([2, 1, 64, 64], Device::Cpu).unwrap();
    let guided = Guidance::new(scale).apply(network, &Tensor::from_slice(&labels), schedule.steps()).unwrap();
    let samples = sampler.sample(&guided, &x_start, &noise, &mut |_| Ok(())).unwrap();
    for (image, label) in labels.into_iter().enumerate() {
        let sample = samples.get(image as i64);
        let want = MEAN + scale * (MEANS[label as usize] - MEAN);
        let (mean, deviation) = (
            f64::try_from(sample.mean(Kind::Double)).unwrap(),
            f64::try_from(sample.std(false).to_kind(Kind::Double)).unwrap(),
        );
        // 4096 pixels of deviation 0.2; 200 steps are not quite 1000.
        assert!((mean - want).abs() < 5.0 * DEVIATION / 64.0, "class {label}: mean {mean}, not {want}");
        assert!((deviation / DEVIATION - 1.0).abs() < 0.1, "class {label}: deviation {deviation}");
    }
}

#[test]
fn one_call_a_step_with_no_more_images_than_needed() {
    let x_t = images(0, [2, 1, 2, 2]);
    let labels = Tensor::from_slice(&[2_i64, 0]);
    let (both, given) = (Some(vec![2, 0, -1, -1]), Some(vec![2, 0]));
    let middle = Guidance { interval: (0.25, 0.75), ..Guidance::new(3.0) };
    let cases = [
        (Guidance::new(3.0), 999, both.clone()),
        (Guidance { rescale: 0.7, ..Guidance::new(3.0) }, 0, both.clone()),
        (Guidance::new(1.0), 500, given.clone()),
        (Guidance { rescale: 0.7, ..Guidance::new(1.0) }, 500, given.clone()),
        (Guidance::new(0.0), 500, None),
        (middle, 500, both),
        (middle, 100, given.clone()),
        (middle, 900, given.clone()),
        (Guidance { scale: 0.0, ..middle }, 500, None),
        (Guidance { scale: 0.0, ..middle }, 900, given),
    ];
    for (guidance, t, want) in cases {
        let calls = RefCell::new(Vec::new());
        let recording = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| {
            let count = x.size()[0];
            assert_eq!((t.size(), labels.map_or(count, |l| l.size()[0])), (vec![count], count));
            calls.borrow_mut().push(labels.map(|labels| each(Some(labels), count)));
            network(x, t, labels)
        };
        let guided = guidance.apply(recording, &labels, 1000).unwrap();
        assert_eq!(guided(&x_t, &at(t, 2)).unwrap().size(), x_t.size());
        drop(guided);
        assert_eq!(calls.into_inner(), [want], "{guidance:?} at {t}");
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let labels = [1_i64, 0, 2, -1, 0];
    for rescale in [0.0, 0.7] {
        let guidance = Guidance { rescale, ..Guidance::new(2.5) };
        let output = |first: usize, count: usize| {
            let labels = Tensor::from_slice(&labels[first..first + count]);
            let x_t = images(first as u64, [count as i64, 1, 4, 4]);
            guidance.apply(network, &labels, 1000).unwrap()(&x_t, &at(400, count as i64)).unwrap()
        };
        let all = output(0, 5);
        for (first, count) in [(0, 1), (1, 3), (4, 1)] {
            assert!(close(&all.narrow(0, first, count), &output(first as usize, count as usize), 1e-6));
        }
    }
}

/// Guiding the network's output equals guiding the eps that follows from it.
#[test]
fn eps_v_and_x_0_are_guided_alike() {
    let schedule = Schedule::ddpm();
    let (labels, x_t) = (Tensor::from_slice(&[2_i64, 0]), images(3, [2, 1, 3, 3]));
    let guidance = Guidance { interval: (0.1, 0.9), ..Guidance::new(3.5) };
    for t in [150, 600, 950_usize] {
        let want = guidance.apply(network, &labels, 1000).unwrap()(&x_t, &at(t as i64, 2)).unwrap();
        for prediction in [Prediction::Eps, Prediction::V, Prediction::X0] {
            let (of_x_t, of_output) = prediction.eps_weights(&schedule.level_at(t as f64).unwrap());
            // eps = of_x_t x_t + of_output output, solved for the output.
            let puts_out = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok((network(x, t, labels)? - x * of_x_t) / of_output)
            };
            let output = guidance.apply(puts_out, &labels, 1000).unwrap()(&x_t, &at(t as i64, 2)).unwrap();
            let eps = &x_t * of_x_t + output * of_output;
            assert!(close(&eps, &want, 1e-4), "{prediction} at t = {t}");
        }
    }
}

#[test]
fn rescaling_brings_each_image_back_to_its_own_deviation() {
    // Contrast and brightness follow the label, so that guidance changes both.
    let model = |x: &Tensor, _: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let level = means(&each(labels, x.size()[0]));
        Ok(x * (&level + 1.0) + level)
    };
    let (labels, x_t, t) = (Tensor::from_slice(&[2_i64, 0, 1]), images(0, [3, 2, 8, 8]), at(500, 3));
    let run = |scale: f64, rescale: f64| {
        let guidance = Guidance { rescale, ..Guidance::new(scale) };
        guidance.apply(model, &labels, 1000).unwrap()(&x_t, &t).unwrap()
    };
    let deviations = |x: &Tensor| numbers(&x.flatten(1, -1).std_dim(1, false, false));
    let (conditional, free, back, half) = (run(1.0, 0.0), run(4.0, 0.0), run(4.0, 1.0), run(4.0, 0.5));
    let (want, loose) = (deviations(&conditional), deviations(&free));
    for image in 0..3 {
        assert!((loose[image] / want[image] - 1.0).abs() > 0.1, "image {image} shows nothing");
        assert!((deviations(&back)[image] / want[image] - 1.0).abs() < 1e-5, "image {image}");
    }
    // phi mixes the rescaled output with the one before (Lin et al. 2024, Sec. 3.4).
    assert!(close(&half, &((&free + &back) / 2.0), 1e-5));
    // Without contrast there is nothing to rescale, and no NaN.
    let flat = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.ones_like());
    let guidance = Guidance { rescale: 1.0, ..Guidance::new(2.0) };
    let output = guidance.apply(flat, &labels, 1000).unwrap()(&x_t, &t).unwrap();
    assert!(numbers(&output).iter().all(|&x| x == 1.0));
}

/// A learned variance follows the mean in the channels and stays the conditional one.
#[test]
fn a_learned_variance_is_not_guided() {
    let (labels, x_t, t) = (Tensor::from_slice(&[2_i64, 0]), images(0, [2, 3, 4, 4]), at(200, 2));
    let learned = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
        let variance = x.zeros_like() + means(&each(labels, x.size()[0]));
        Ok(Tensor::cat(&[network(x, t, labels)?, variance], 1))
    };
    let guidance = Guidance { rescale: 0.5, ..Guidance::new(3.0) };
    let output = guidance.apply(learned, &labels, 1000).unwrap()(&x_t, &t).unwrap();
    let mean = guidance.apply(network, &labels, 1000).unwrap()(&x_t, &t).unwrap();
    assert_eq!(output.narrow(1, 0, 3), mean);
    assert_eq!(output.narrow(1, 3, 3), x_t.zeros_like() + means(&[2, 0]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let guidance = Guidance::new(2.0);
    for wrong in [
        Tensor::from_slice(&[1_i64, 2]).view([1, 2]),
        Tensor::from_slice(&[1.0_f32, 2.0]),
        Tensor::from(1_i64),
    ] {
        let refused = guidance.apply(network, &wrong, 1000).map(drop);
        assert!(matches!(refused, Err(GuidanceError::Labels { .. })), "{refused:?}");
    }
    let negative = Guidance::new(-1.0).apply(network, &Tensor::from_slice(&[1_i64]), 1000).map(drop);
    assert!(matches!(negative, Err(GuidanceError::Scale { .. })));

    let three = guidance.apply(network, &Tensor::from_slice(&[1_i64, 2, 0]), 1000).unwrap();
    let error = three(&images(0, [2, 1, 2, 2]), &at(10, 2)).unwrap_err();
    assert_eq!(error.to_string(), "x_t has shape [2, 1, 2, 2], expected [3, c, h, w], one image per label");
    let halving = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.narrow(0, 0, 2));
    let halved = guidance.apply(halving, &Tensor::from_slice(&[1_i64, 2]), 1000).unwrap();
    let error = halved(&images(0, [2, 1, 2, 2]), &at(10, 2)).unwrap_err();
    assert!(error.to_string().contains("[2, 1, 2, 2] for x_t of shape [4, 1, 2, 2]"), "{error}");
    let broken = |_: &Tensor, _: &Tensor, _: Option<&Tensor>| Err("out of memory".into());
    let failing = guidance.apply(broken, &Tensor::from_slice(&[1_i64]), 1000).unwrap();
    assert_eq!(failing(&images(0, [1, 1, 2, 2]), &at(10, 1)).unwrap_err().to_string(), "out of memory");
}
