//! Wrong inputs, errors that are passed on, and stopping.

use std::cell::Cell;
use std::ops::ControlFlow;

use likelihood::{
    Batch, BoundOptions, BoxError, Levels, LikelihoodError, OdeOptions, Output, Progress, Terms, bound, ode,
};
use schedule::{Prediction, ScheduleError};
use tch::{Device, Kind, Tensor};

use crate::world::{GAUSSIAN, all_levels, go_on, network, one, output, path};

type Model<'a> = denoiser::Conditional<'a>;

fn chain() -> BoundOptions {
    BoundOptions::new(Levels::chain(&*path("linear"), Some(10)).unwrap(), output(Prediction::Eps))
}

fn flow() -> OdeOptions {
    OdeOptions::new(Levels::flow(&*path("linear"), 10).unwrap(), output(Prediction::Eps))
}

fn images(kind: Kind) -> Tensor {
    Tensor::ones([4, 1, 2, 2], (kind, Device::Cpu))
}

/// The errors of both likelihoods.
fn errors(model: &Model<'_>, batch: impl Fn() -> Batch) -> [LikelihoodError; 2] {
    [
        bound(&chain(), model, [Ok(batch())], &mut *go_on()).unwrap_err(),
        ode(&flow(), model, [Ok(batch())], &mut *go_on()).unwrap_err(),
    ]
}

#[test]
fn wrong_images_are_refused() {
    let chain = path("linear");
    let model = network(&*chain, Prediction::Eps, GAUSSIAN);
    for wrong in [
        Tensor::ones([2, 2, 2], (Kind::Float, Device::Cpu)),
        Tensor::ones([0, 1, 2, 2], (Kind::Float, Device::Cpu)),
        images(Kind::Half),
    ] {
        for error in errors(&model, || Batch { images: wrong.shallow_clone(), labels: None }) {
            assert!(matches!(error, LikelihoodError::Images { .. }), "{error}");
        }
    }
    let between = images(Kind::Float) * 0.501;
    for error in errors(&model, || Batch { images: between.shallow_clone(), labels: None }) {
        assert!(matches!(error, LikelihoodError::NotGrey { image: 0, .. }), "{error}");
    }
    let labels = Tensor::zeros([3], (Kind::Int64, Device::Cpu));
    for error in
        errors(&model, || Batch { images: images(Kind::Uint8), labels: Some(labels.shallow_clone()) })
    {
        assert!(matches!(&error, LikelihoodError::Labels { expected: 4, got } if *got == [3]), "{error}");
    }
}

#[test]
fn wrong_networks_are_reported() {
    let batch = || Batch { images: images(Kind::Uint8), labels: None };
    for error in errors(&|x, _, _| Ok(x.narrow(2, 0, 1)), batch) {
        assert!(matches!(error, LikelihoodError::Output { .. }), "{error}");
    }
    for error in errors(&|_, _, _| Err("no network".into()), batch) {
        assert_eq!(error.to_string(), "no network");
    }
    for wrong in [f64::NAN, f64::INFINITY] {
        // Only one image is affected.
        let factor = Tensor::from_slice(&[1.0, 1.0, wrong, 1.0]).view([4, 1, 1, 1]).to_kind(Kind::Float);
        for error in errors(&|x, _, _| Ok(x * &factor), batch) {
            assert!(matches!(error, LikelihoodError::NonFinite { images: 1, of: 4, first: 2 }), "{error}");
        }
    }
    // The half of channels for the variance is missing.
    let learned = Output { prediction: Prediction::Eps, learned_variance: true };
    let options = BoundOptions::new(chain().levels, learned);
    let error = bound(&options, &|x, _, _| Ok(x.copy()), [Ok(batch())], &mut *go_on()).unwrap_err();
    assert!(matches!(error, LikelihoodError::Output { .. }), "{error}");
    let options = BoundOptions { output: output(Prediction::Eps), ..options };
    let error = bound(&options, &|x, _, _| Ok(x.copy()), [Ok(batch())], &mut *go_on()).unwrap_err();
    assert!(matches!(error, LikelihoodError::NoVariance), "{error}");
}

#[test]
fn wrong_counts_and_levels_are_refused() {
    let model: &Model<'_> = &|x, _, _| Ok(x.copy());
    for got in [0, 1, 11] {
        let options = BoundOptions { terms: Terms::Sampled(got), ..chain() };
        let error = bound(&options, model, one(images(Kind::Uint8)), &mut *go_on()).unwrap_err();
        assert!(matches!(error, LikelihoodError::Count { what: "terms", least: 2, most: 10, .. }), "{error}");
    }
    let options = OdeOptions { probes: 0, ..flow() };
    let error = ode(&options, model, one(images(Kind::Uint8)), &mut *go_on()).unwrap_err();
    assert!(matches!(error, LikelihoodError::Count { what: "probes", .. }), "{error}");
    // On a chain that ends without signal, eps does not determine x_0 at the end, and a flow cannot end there.
    let dark = schedule::Schedule::ddpm().with_zero_terminal_snr().unwrap();
    let at_end = Levels::new(&dark, [500.0, 999.0].map(|t| dark.level_at(t).unwrap()).to_vec()).unwrap();
    let no_signal = |error| matches!(error, LikelihoodError::Schedule(ScheduleError::NoSignal { .. }));
    let options = BoundOptions { levels: at_end.clone(), ..chain() };
    assert!(no_signal(bound(&options, model, one(images(Kind::Uint8)), &mut *go_on()).unwrap_err()));
    let options = OdeOptions { levels: at_end.clone(), output: output(Prediction::V), ..flow() };
    assert!(no_signal(ode(&options, model, one(images(Kind::Uint8)), &mut *go_on()).unwrap_err()));
    // For v there is a bound.
    let options = BoundOptions { levels: at_end, output: output(Prediction::V), ..chain() };
    assert!(bound(&options, model, one(images(Kind::Uint8)), &mut *go_on()).unwrap().bits.mean > 0.0);
}

/// Labels reach the network, whose output depends on them; and t is i64 on a chain, floating elsewhere.
#[test]
fn the_network_is_called_as_in_training() {
    for (name, kind) in [("linear", Kind::Int64), ("edm", Kind::Float)] {
        let path = path(name);
        let best = network(&*path, Prediction::V, GAUSSIAN);
        let seen = Cell::new(0);
        let model = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            assert_eq!((t.kind(), t.size(), x.kind()), (kind, vec![4], Kind::Float));
            seen.set(seen.get() + 1);
            assert_eq!(Vec::<i64>::try_from(labels.unwrap())?, [3, 1, 4, 1]);
            best(x, t, labels)
        };
        let labels = || Some(Tensor::from_slice(&[3_i64, 1, 4, 1]));
        let batches = || [Ok(Batch { images: images(Kind::Uint8), labels: labels() })];
        let levels = Levels::chain(&*path, Some(10)).unwrap();
        for terms in [Terms::All, Terms::Sampled(4)] {
            let options = BoundOptions { terms, ..BoundOptions::new(levels.clone(), output(Prediction::V)) };
            let got = bound(&options, &model, batches(), &mut *go_on()).unwrap();
            assert_eq!(seen.replace(0), got.calls);
        }
        let options = OdeOptions::new(Levels::flow(&*path, 10).unwrap(), output(Prediction::V));
        let got = ode(&options, &model, batches(), &mut *go_on()).unwrap();
        assert_eq!(seen.get(), got.calls);
    }
}

/// Stopped in its third batch it returns the result of the first two; stopped in its first batch it has none.
#[test]
fn it_can_be_stopped() {
    let chain_path = path("linear");
    let model = network(&*chain_path, Prediction::Eps, GAUSSIAN);
    let batches = || (0..3).map(|i| Ok(Batch { images: all_levels(1).narrow(0, 5 * i, 5), labels: None }));
    let until = |images: usize| {
        move |progress: &Progress| {
            assert!(progress.step >= 1 && progress.step <= progress.of && progress.batch == 5);
            let at_work = progress.images + progress.batch;
            Ok(if at_work > images && progress.step == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        }
    };
    let whole = bound(&chain(), &model, batches(), &mut *go_on()).unwrap();
    let part = bound(&chain(), &model, batches(), &mut until(10)).unwrap();
    assert_eq!((whole.bits.per_image.len(), part.bits.per_image[..].len()), (15, 10));
    assert_eq!(part.bits.per_image, whole.bits.per_image[..10]);
    let part = ode(&flow(), &model, batches(), &mut until(10)).unwrap();
    assert_eq!(part.bits.per_image.len(), 10);
    for error in [
        bound(&chain(), &model, batches(), &mut until(0)).unwrap_err(),
        ode(&flow(), &model, batches(), &mut until(0)).unwrap_err(),
        bound(&chain(), &model, [], &mut *go_on()).unwrap_err(),
        ode(&flow(), &model, [], &mut *go_on()).unwrap_err(),
    ] {
        assert!(matches!(error, LikelihoodError::NoImages), "{error}");
    }
    let fails = |_: &Progress| Err("interrupted".into());
    assert_eq!(bound(&chain(), &model, batches(), &mut { fails }).unwrap_err().to_string(), "interrupted");
    let broken = || [Err::<Batch, BoxError>("no file".into())];
    assert_eq!(ode(&flow(), &model, broken(), &mut *go_on()).unwrap_err().to_string(), "no file");
}
