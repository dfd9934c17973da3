//! Both likelihoods of grey levels, compared with each other and with the best code.

use likelihood::{Bound, BoundOptions, Dequantisation, Levels, Ode, OdeOptions, bound, ode};
use schedule::{NoisePath, Prediction};
use tch::Tensor;

use crate::world::{
    MIXTURE, all_levels, entropy, go_on, network, one, output, over_data, paths, predictions,
};

fn by_flow(path: &dyn NoisePath, options: &OdeOptions, times: i64) -> Ode {
    let model = network(path, options.output.prediction, MIXTURE);
    ode(options, &model, one(all_levels(times)), &mut *go_on()).unwrap()
}

fn by_bound(path: &dyn NoisePath, options: &BoundOptions, times: i64) -> Bound {
    let model = network(path, options.output.prediction, MIXTURE);
    bound(options, &model, one(all_levels(times)), &mut *go_on()).unwrap()
}

/// Enough noise at the first level that the optimal network for a density is nearly optimal for grey levels.
const LOWEST: Option<f64> = Some(0.01);

/// On every path: the best code, then the flow by either dequantisation, then the bound, which the few steps leave well above.
#[test]
fn the_flow_comes_near_the_best_code_and_the_bound_lies_above() {
    let best = entropy(MIXTURE);
    for (name, path) in paths() {
        let levels = Levels::even(&*path, 20, LOWEST).unwrap();
        let options = BoundOptions::new(levels, output(Prediction::V));
        let (above, bound_error) = over_data(MIXTURE, &by_bound(&*path, &options, 20).bits.per_image);
        for dequantisation in [Dequantisation::Uniform, Dequantisation::Noise] {
            let levels = Levels::even(&*path, 80, LOWEST).unwrap();
            let options = OdeOptions { dequantisation, ..OdeOptions::new(levels, output(Prediction::V)) };
            let (bits, error) = over_data(MIXTURE, &by_flow(&*path, &options, 2).bits.per_image);
            let place = format!("{name}, {dequantisation:?}");
            assert!(bits > best - 5.0 * error - 0.02, "{place}: {bits} +- {error} is below {best}");
            // The decoder of the paper's chain is narrower than the remaining uncertainty.
            let most = if dequantisation == Dequantisation::Noise { 0.25 } else { 0.03 };
            assert!(bits < best + 5.0 * error + most, "{place}: {bits} +- {error} is above {best}");
            let apart = 3.0 * error.hypot(bound_error);
            assert!(above > bits + apart, "{place}: {bits} +- {error}, bound {above} +- {bound_error}");
        }
    }
}

/// More steps bring the bound down to the best code.
#[test]
fn more_steps_tighten_the_bound() {
    let best = entropy(MIXTURE);
    for (name, path) in paths() {
        let [few, many] = [10, 160].map(|steps| {
            let levels = Levels::even(&*path, steps, LOWEST).unwrap();
            let options = BoundOptions::new(levels, output(Prediction::V));
            over_data(MIXTURE, &by_bound(&*path, &options, 8).bits.per_image)
        });
        assert!(few.0 > many.0 + 3.0 * few.1.hypot(many.1), "{name}: {few:?} {many:?}");
        // EDM's steps are long where little uncertainty is left, and beta is a wide variance there.
        let most = if name == "edm" { 0.6 } else { 0.25 };
        let near = many.0 > best - 4.0 * many.1 && many.0 < best + most + 4.0 * many.1;
        assert!(near, "{name}: {many:?}, at best {best}");
    }
}

/// The first term of the bound is the last step of the flow: the same noise, the same bits.
#[test]
fn both_have_the_same_last_step() {
    for (name, path) in paths() {
        for prediction in predictions() {
            // With almost no levels there is no flow in between.
            let levels =
                Levels::new(&*path, vec![path.level_at(30.0).unwrap(), path.level_at(31.0).unwrap()])
                    .unwrap();
            let chain = BoundOptions::new(levels.clone(), output(prediction));
            let decoder = by_bound(&*path, &chain, 1).decoder;
            let points = |dequantisation| {
                let options =
                    OdeOptions { dequantisation, ..OdeOptions::new(levels.clone(), output(prediction)) };
                by_flow(&*path, &options, 1)
            };
            let got = points(Dequantisation::Noise);
            assert_eq!((got.calls, points(Dequantisation::Uniform).calls), (4, 3));
            // The rest is the density of the same points.
            let noise = got.bits.mean - decoder;
            assert!(decoder > 0.0 && noise.is_finite(), "{name}, {prediction}: {decoder} {noise}");
        }
    }
}

#[test]
fn the_error_of_the_steps_is_reported() {
    for (name, path) in paths() {
        let at = |steps: usize| {
            let levels = Levels::flow(&*path, steps).unwrap();
            let options = OdeOptions { check_steps: true, ..OdeOptions::new(levels, output(Prediction::V)) };
            by_flow(&*path, &options, 1)
        };
        let (few, many) = (at(24), at(120));
        let (error, told) = ((few.bits.mean - many.bits.mean).abs(), few.step_error.unwrap());
        assert!(told > 0.3 * error && told < 4.0 * error + 1e-4, "{name}: {told} for {error}");
        assert!(many.step_error.unwrap() < told);
        let points = [few.gradients, few.calls];
        assert!(path.is_discrete() || points == [25 + 13, 49 + 25], "{name}: {points:?}");
    }
}

/// In parts of any size and from any first index.
#[test]
fn an_image_does_not_depend_on_its_batch() {
    let images = all_levels(1).narrow(0, 60, 7);
    let parts = |sizes: &[i64]| {
        let mut first = 0;
        let batches: Vec<_> = sizes
            .iter()
            .map(|&size| {
                first += size;
                let images: Tensor = images.narrow(0, first - size, size);
                Ok(likelihood::Batch { images, labels: None })
            })
            .collect();
        batches
    };
    for (name, path) in paths() {
        let model = network(&*path, Prediction::V, MIXTURE);
        let chain = Levels::chain(&*path, Some(30)).unwrap();
        for terms in [likelihood::Terms::All, likelihood::Terms::Sampled(5)] {
            let options = BoundOptions {
                terms,
                first_index: 9,
                ..BoundOptions::new(chain.clone(), output(Prediction::V))
            };
            let of = |sizes: &[i64]| bound(&options, &model, parts(sizes), &mut *go_on()).unwrap();
            assert_eq!(of(&[7]).bits.per_image, of(&[3, 1, 3]).bits.per_image, "{name}");
            let later = BoundOptions { first_index: 12, ..options.clone() };
            let later = bound(&later, &model, parts(&[3, 1, 3]).into_iter().skip(1), &mut *go_on()).unwrap();
            assert_eq!(later.bits.per_image, of(&[7]).bits.per_image[3..], "{name}");
        }
        for dequantisation in [Dequantisation::Uniform, Dequantisation::Noise] {
            let levels = Levels::flow(&*path, 20).unwrap();
            let options = OdeOptions { dequantisation, ..OdeOptions::new(levels, output(Prediction::V)) };
            let of = |sizes: &[i64]| ode(&options, &model, parts(sizes), &mut *go_on()).unwrap();
            assert_eq!(of(&[7]).bits.per_image, of(&[2, 4, 1]).bits.per_image, "{name}");
        }
    }
}
