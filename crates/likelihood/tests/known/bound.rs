//! The bound against its expectation under the optimal network of Gaussian data.

use likelihood::{Bound, BoundOptions, Levels, ReverseVariance, Terms, bound};
use schedule::{NoisePath, Prediction};
use tch::{Device, Kind, Tensor};

use crate::world::{
    GAUSSIAN, all_levels, entropy, go_on, network, one, output, over_data, path, paths, predictions,
};

/// Written by `scripts/make_likelihood_goldens.py`: without clipping, for one grey level.
#[derive(serde::Deserialize)]
struct Case {
    path: String,
    variance: String,
    grey: i64,
    t: Vec<f64>,
    terms: Vec<f64>,
    prior: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("expected.json")).unwrap()
}

fn options(path: &dyn NoisePath, variance: &str, prediction: Prediction) -> BoundOptions {
    let levels = Levels::chain(path, Some(50)).unwrap();
    let variance = ReverseVariance::Fixed(variance.parse().unwrap());
    BoundOptions { variance, clip: false, seed: 6, ..BoundOptions::new(levels, output(prediction)) }
}

fn run(path: &dyn NoisePath, options: &BoundOptions, images: &Tensor) -> Bound {
    let model = network(path, options.output.prediction, GAUSSIAN);
    bound(options, &model, one(images.shallow_clone()), &mut *go_on()).unwrap()
}

fn grey(level: i64, images: i64) -> Tensor {
    Tensor::full([images, 1, 1, 1], level, (Kind::Uint8, Device::Cpu))
}

/// Each term within 5 standard errors, and their sum.
#[test]
fn every_term_has_its_expectation() {
    for case in cases() {
        let path = path(&case.path);
        let images = 1500;
        let got = run(&*path, &options(&*path, &case.variance, Prediction::V), &grey(case.grey, images));
        let place = format!("{}, {}", case.path, case.variance);
        assert_eq!((got.calls, got.by_t.len()), (50, 50), "{place}");
        assert!((got.prior - case.prior).abs() < 1e-9, "{place}: {} is not {}", got.prior, case.prior);
        assert_eq!(got.decoder, got.by_t[0].bits);
        let want = case.prior + case.terms.iter().sum::<f64>();
        let error = got.bits.standard_error.unwrap();
        assert!(
            (got.bits.mean - want).abs() < 5.0 * error,
            "{place}: {} is not {want} +- {error}",
            got.bits.mean
        );
        // With fifty steps the one to grey levels is long, and the posterior's variance too small for it.
        assert!(error < 0.1 * want, "{place}: {error}");
        for ((term, want), t) in got.by_t.iter().zip(&case.terms).zip(&case.t) {
            assert!((term.t - t).abs() < 1e-6 && term.images == 1500, "{place}: {term:?} at {t}");
            // A squared Gaussian error deviates by no more than the root of 2 of its mean; the decoder's by less.
            let error = want * 2_f64.sqrt() / f64::from(images as u32).sqrt();
            assert!(
                (term.bits - want).abs() < 5.0 * error,
                "{place}, t = {t}: {} is not {want} +- {error}",
                term.bits
            );
        }
    }
}

/// The same noise, so the same numbers up to rounding.
#[test]
fn all_outputs_cost_the_same() {
    for (name, path) in paths() {
        let mut first: Option<Bound> = None;
        for prediction in predictions() {
            let images = Tensor::arange(256, (Kind::Double, Device::Cpu)).view([256, 1, 1, 1]) / 127.5 - 1.0;
            let got = run(&*path, &options(&*path, "fixed-small", prediction), &images);
            let Some(first) = &first else {
                first = Some(got);
                continue;
            };
            for (a, b) in got.bits.per_image.iter().zip(&first.bits.per_image) {
                assert!((a - b).abs() < 1e-6 * b, "{name}, {prediction}: {a} is not {b}");
            }
        }
    }
}

/// Over many images, a few terms per image give the same sum as all of them, at a fraction of the calls.
#[test]
fn drawn_terms_are_unbiased() {
    for case in cases() {
        let path = path(&case.path);
        let options =
            BoundOptions { terms: Terms::Sampled(8), ..options(&*path, &case.variance, Prediction::Eps) };
        let got = run(&*path, &options, &grey(case.grey, 2000));
        let want = case.prior + case.terms.iter().sum::<f64>();
        let error = got.bits.standard_error.unwrap();
        let place = format!("{}, {}", case.path, case.variance);
        assert_eq!(got.calls, 8);
        assert!(
            (got.bits.mean - want).abs() < 5.0 * error,
            "{place}: {} is not {want} +- {error}",
            got.bits.mean
        );
        assert!(error < 0.1 * want, "{place}: {error}");
        let (low, high) = got.bits.interval.unwrap();
        assert!(low < got.bits.mean && got.bits.mean < high);
        // The first level for each image, any other for some.
        assert_eq!((got.by_t[0].images, got.by_t[0].t), (2000, options.levels.get(0).t));
        assert_eq!(got.by_t.iter().map(|term| term.images).sum::<usize>(), 8 * 2000);
        assert!(got.by_t.windows(2).all(|pair| pair[0].t < pair[1].t));
    }
}

/// The paper's chain with all its steps comes near the best code, which takes 7.181 bits: the script's formulas give 0.186 bits
/// more.
#[test]
fn the_whole_chain_is_nearly_tight() {
    let chain = path("linear");
    let levels = Levels::chain(&*chain, None).unwrap();
    let options = BoundOptions { clip: false, seed: 2, ..BoundOptions::new(levels, output(Prediction::Eps)) };
    let got = run(&*chain, &options, &all_levels(4));
    let (mean, error) = over_data(GAUSSIAN, &got.bits.per_image);
    let want = entropy(GAUSSIAN) + 0.1863;
    assert_eq!(got.calls, 1000);
    assert!((mean - want).abs() < 5.0 * error, "{mean} +- {error} is not {want}");
    assert!(error < 0.15, "{error}");
}
