//! The reverse loop seen from the network and the observer: which t, which x_t, which noise, which errors.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use sampler::{
    BoxError, ChurnSettings, Method, Noise, Prediction, Sampler, SamplerConfig, SamplerError, Threshold,
    Times,
};
use schedule::{Schedule, Spacing, Variance};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

const SHAPE: [i64; 4] = [3, 2, 3, 5];
const NOISE: Noise = Noise { seed: 11, first_index: 40 };

/// Every named solver except the one that needs a different network, and the variants that draw different noise.
fn methods() -> Vec<Method> {
    let churn = ChurnSettings { amount: 5.0, ..ChurnSettings::NONE };
    let mut all: Vec<Method> = Method::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    all.retain(|method| *method != Method::DdpmLearned);
    all.extend([
        Method::Ddpm { variance: Variance::FixedLarge },
        Method::Ddim { eta: 0.7 },
        Method::Euler { churn },
        Method::Heun { churn },
    ]);
    all
}

fn sampler(method: Method, steps: Option<usize>) -> Sampler {
    let config = SamplerConfig { steps, ..SamplerConfig::new(method) };
    Sampler::new(&Schedule::ddpm(), &config).unwrap()
}

fn start() -> Tensor {
    NOISE.start(SHAPE, Device::Cpu).unwrap()
}

/// A network that depends on x_t and t only.
fn model(x_t: &Tensor, t: &Tensor) -> Result<Tensor, BoxError> {
    Ok((x_t + (t / 1000.0).view([-1, 1, 1, 1])).tanh())
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor_io::to_vec(tensor).unwrap()
}

#[test]
fn t_runs_backwards_and_reaches_the_network() {
    for (steps, want) in [
        (None, (0..1000).rev().collect::<Vec<i64>>()),
        (Some(4), vec![999, 749, 499, 249]),
        (Some(1), vec![999]),
    ] {
        for method in methods() {
            let sampler = sampler(method, steps);
            let seen = RefCell::new(Vec::new());
            let recording = |x_t: &Tensor, t: &Tensor| {
                assert_eq!((x_t.size(), x_t.kind()), (SHAPE.to_vec(), Kind::Float));
                assert_eq!((t.size(), t.kind(), t.device()), (vec![3], Kind::Float, x_t.device()));
                let of_each = Vec::<f64>::try_from(t)?;
                assert!(of_each.iter().all(|other| *other == of_each[0]));
                seen.borrow_mut().push(of_each[0]);
                model(x_t, t)
            };
            let _images = sampler.sample(&recording, &start(), &NOISE, &mut |_| Ok(())).unwrap();
            let seen = seen.into_inner();
            assert_eq!(sampler.calls(), seen.len(), "{method}");
            assert!(
                sampler.stages().map(|stage| stage.at.t as f32).eq(seen.iter().map(|&t| t as f32)),
                "{method}"
            );
            assert_eq!(sampler.steps(), want.len());
            assert!(sampler.timesteps().eq(want.iter().map(|&t| t as f64)), "{method}");
            // Solvers that call once a step, at its start, see exactly the levels.
            let once = !matches!(
                method,
                Method::Pndm { .. }
                    | Method::Heun { .. }
                    | Method::Euler { churn: ChurnSettings { amount: 5.0, .. } }
            );
            if once {
                assert!(seen.iter().copied().eq(want.iter().map(|&t| t as f64)), "{method}: {seen:?}");
            }
        }
    }
}

#[test]
fn the_observer_sees_every_step_and_the_last_is_free_of_noise() {
    for method in methods() {
        let sampler = sampler(method, Some(20));
        let mut count = 0;
        let mut before = start();
        let mut last = None;
        let result = sampler
            .sample(&model, &start(), &NOISE, &mut |step| {
                assert_eq!((step.index, step.of), (count, 20));
                assert_eq!(step.t, (999 - 50 * count) as f64);
                if !sampler.is_stochastic() && !matches!(method, Method::UniPc(_)) {
                    assert_eq!(*step.x_t, before, "{method}");
                }
                assert!(numbers(step.x_0).iter().all(|x| x.abs() <= 1.0));
                before = step.x_prev.shallow_clone();
                // With one step left the image is the predicted one, nothing added.
                last = Some((step.x_0.shallow_clone(), step.x_prev.shallow_clone()));
                count += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(count, 20);
        let (x_0, x_prev) = last.unwrap();
        assert_eq!(result, x_prev);
        let worst = f64::try_from((x_0 - x_prev).abs().max()).unwrap();
        // PNDM ends with a combination of the last four eps, the others with the predicted image.
        let bound = if let Method::Pndm { .. } = method { 0.1 } else { 1e-6 };
        assert!(worst <= bound, "{method}: {worst}");
    }
}

/// What an observer keeps is not overwritten by later steps, and neither is the caller's x_T.
#[test]
fn kept_tensors_stay_as_they_were() {
    for method in methods() {
        let start = start();
        let (copy, mut kept) = (start.copy(), Vec::new());
        let _images = sampler(method, Some(5))
            .sample(&model, &start, &NOISE, &mut |step| {
                for tensor in [step.x_t, step.x_0, step.x_prev] {
                    kept.push((tensor.shallow_clone(), tensor.copy()));
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(start, copy);
        assert_eq!(kept.len(), 15);
        assert!(kept.iter().all(|(kept, copy)| kept == copy), "{method}");
    }
}

/// A network may keep what it returns; thresholds and sums do not write into it.
#[test]
fn the_networks_own_tensors_stay_as_they_were() {
    for method in methods() {
        let config =
            SamplerConfig { steps: Some(5), prediction: Prediction::X0, ..SamplerConfig::new(method) };
        let sampler = Sampler::new(&Schedule::ddpm(), &config).unwrap();
        let kept = RefCell::new(Vec::new());
        let keeping = |x_t: &Tensor, t: &Tensor| {
            let output = model(x_t, t)? * 3.0;
            kept.borrow_mut().push((output.shallow_clone(), output.copy()));
            Ok(output)
        };
        let _images = sampler.sample(&keeping, &start(), &NOISE, &mut |_| Ok(())).unwrap();
        assert!(kept.into_inner().iter().all(|(kept, copy)| kept == copy), "{method}");
    }
}

#[test]
fn only_stochastic_methods_draw_noise() {
    let other = Noise { seed: 12, ..NOISE };
    for method in methods() {
        let sampler = |steps| sampler(method, Some(steps));
        let draw = |steps, noise: &Noise| {
            numbers(&sampler(steps).sample(&model, &start(), noise, &mut |_| Ok(())).unwrap())
        };
        assert_eq!(draw(20, &NOISE), draw(20, &NOISE));
        assert_eq!(draw(20, &NOISE) != draw(20, &other), method.is_stochastic(), "{method}");
        assert_eq!(sampler(20).is_stochastic(), method.is_stochastic(), "{method}");
        // A single step is the last one.
        assert_eq!(draw(1, &NOISE), draw(1, &other), "{method}");
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    for method in methods() {
        let sampler = sampler(method, Some(25));
        let images = |first: u64, batch: i64| {
            let noise = Noise { seed: 3, first_index: 100 + first };
            let x_t = noise.start([batch, 1, 5, 3], Device::Cpu).unwrap();
            sampler.sample(&model, &x_t, &noise, &mut |_| Ok(())).unwrap()
        };
        let at_once = images(0, 7);
        for size in [1, 3] {
            for first in (0..7).step_by(size as usize) {
                let batch = images(first, size.min(7 - first as i64));
                let same = at_once.narrow(0, first as i64, batch.size()[0]);
                assert_eq!(numbers(&batch), numbers(&same), "{method}: image {first} of {size}");
            }
        }
    }
}

/// One network, asked for eps, x_0 and v in turn.
#[test]
fn predictions_of_one_network_agree() {
    let schedule = Schedule::ddpm();
    let at = |table: &[f64], t: &Tensor| -> Result<f64, BoxError> {
        Ok(table[f64::try_from(t.f_get(0)?)? as usize])
    };
    let (signals, noises) =
        (schedule.sqrt_alpha_bars().to_vec(), schedule.sqrt_one_minus_alpha_bars().to_vec());
    let x_0 = |x_t: &Tensor, t: &Tensor| Ok((x_t * at(&signals, t)?).tanh());
    let eps = |x_t: &Tensor, t: &Tensor| Ok((x_t - x_0(x_t, t)? * at(&signals, t)?) / at(&noises, t)?);
    let v = |x_t: &Tensor, t: &Tensor| Ok(eps(x_t, t)? * at(&signals, t)? - x_0(x_t, t)? * at(&noises, t)?);

    for threshold in [Threshold::Off, Threshold::Clip, Threshold::DYNAMIC] {
        for method in methods() {
            // Churned and middle levels lie between the steps that this network knows.
            if matches!(method, Method::Euler { churn } | Method::Heun { churn } if churn.amount > 0.0) {
                continue;
            }
            let draw = |prediction, model: &sampler::Model<'_>| {
                let config =
                    SamplerConfig { steps: Some(50), threshold, prediction, ..SamplerConfig::new(method) };
                let sampler = Sampler::new(&schedule, &config).unwrap();
                numbers(&sampler.sample(model, &start(), &NOISE, &mut |_| Ok(())).unwrap())
            };
            let want = draw(Prediction::X0, &x_0);
            for got in [draw(Prediction::Eps, &eps), draw(Prediction::V, &v)] {
                // eps is divided by sqrt(alpha_bar) = 0.006 at the start; f32 keeps 6e-8.
                let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-4, "{method}, {threshold:?}: {worst}");
            }
        }
    }
}

#[test]
fn no_gradients_are_recorded() {
    let weight = Tensor::from(0.5_f32).set_requires_grad(true);
    let model = |x_t: &Tensor, _: &Tensor| Ok(x_t * &weight);
    let x_t = start().set_requires_grad(true);
    let images = sampler(Method::Ddim { eta: 0.0 }, Some(3))
        .sample(&model, &x_t, &NOISE, &mut |step| {
            assert!(!step.x_0.requires_grad() && !step.x_prev.requires_grad());
            Ok(())
        })
        .unwrap();
    assert!(!images.requires_grad());
    assert!((&weight * 2.0).requires_grad(), "gradients are on again");
}

#[test]
fn errors_of_the_network_and_the_observer_come_through() {
    let sampler = sampler(Method::Ddim { eta: 0.0 }, Some(10));
    let broken = |_: &Tensor, _: &Tensor| Err("out of memory".into());
    let error = sampler.sample(&broken, &start(), &NOISE, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(&error, SamplerError::Caller(source) if source.to_string() == "out of memory"));

    let mut seen = 0;
    let mut stop = |_: &sampler::Step<'_>| {
        seen += 1;
        if seen == 4 { Err("stopped".into()) } else { Ok(()) }
    };
    let error = sampler.sample(&model, &start(), &NOISE, &mut stop).unwrap_err();
    assert_eq!((error.to_string().as_str(), seen), ("stopped", 4));

    let doubled = |x_t: &Tensor, _: &Tensor| Ok(Tensor::cat(&[x_t, x_t], 1));
    let error = sampler.sample(&doubled, &start(), &NOISE, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, SamplerError::Output { got, .. } if got == [3, 4, 3, 5]));
}

/// One image of three is lost; the others would be fine, clipped or not.
#[test]
fn nan_ends_in_an_error_after_all_steps() {
    let (off, clip) = (Threshold::Off, Threshold::Clip);
    for (bad, threshold) in [(f64::NAN, clip), (f64::NAN, off), (f64::INFINITY, off)] {
        let config =
            SamplerConfig { steps: Some(10), threshold, ..SamplerConfig::new(Method::Ddim { eta: 0.0 }) };
        let sampler = Sampler::new(&Schedule::ddpm(), &config).unwrap();
        let calls = RefCell::new(0);
        let diverged = |x_t: &Tensor, _: &Tensor| {
            *calls.borrow_mut() += 1;
            let eps = x_t * 0.5;
            let _ = eps.get(1).get(0).get(0).fill_(bad);
            Ok(eps)
        };
        let error = sampler.sample(&diverged, &start(), &NOISE, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, SamplerError::NonFinite { images: 1, of: 3 }), "{error}");
        assert_eq!(calls.into_inner(), 10);
    }
}

#[test]
fn what_is_no_batch_of_images_is_refused() {
    let sampler = sampler(Method::Ddim { eta: 0.0 }, Some(10));
    for wrong in [
        Tensor::zeros([3, 5], (Kind::Float, Device::Cpu)),
        Tensor::zeros([0, 1, 2, 2], (Kind::Float, Device::Cpu)),
        Tensor::zeros([1, 1, 2, 2], (Kind::Half, Device::Cpu)),
        Tensor::zeros([1, 1, 2, 2], (Kind::Uint8, Device::Cpu)),
    ] {
        let error = sampler.sample(&model, &wrong, &NOISE, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, SamplerError::Images { what: "x_T", .. }), "{error}");
    }
}

#[test]
fn chains_that_cannot_be_sampled_are_refused() {
    let zero_snr = Schedule::ddpm().with_zero_terminal_snr().unwrap();
    let config = SamplerConfig::new(Method::Ddim { eta: 0.0 });
    let error = Sampler::new(&zero_snr, &config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "alpha is 0 at t = 999: x_t holds no signal, so eps does not determine x_0"
    );
    // v-prediction works there, and so does eps on a chain that omits the last step.
    //
    let v = SamplerConfig { prediction: Prediction::V, ..config.clone() };
    let sampler = Sampler::new(&zero_snr, &v).unwrap();
    let images = sampler.sample(&model, &start(), &NOISE, &mut |_| Ok(())).unwrap();
    assert_eq!(images.size(), SHAPE);
    let leading = SamplerConfig { steps: Some(10), times: Times::Spaced(Spacing::Leading), ..config.clone() };
    assert_eq!(Sampler::new(&zero_snr, &leading).unwrap().timesteps().next(), Some(900.0));

    let none = SamplerConfig { steps: Some(0), ..config };
    assert!(matches!(Sampler::new(&zero_snr, &none), Err(SamplerError::Steps { timesteps: 1000, got: 0 })));
}
