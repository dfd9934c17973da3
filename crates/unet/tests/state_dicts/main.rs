//! The same predictions as networks of guided-diffusion and of the original DDPM, from tensors with their names. The peers are
//! written in torch by `scripts/make_state_dict_goldens.py`.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod replay;
#[path = "../unet2d/rule.rs"]
mod rule;

/// Largest allowed error, relative to the largest value of a prediction.
const LIMIT: f64 = 2e-5;

#[test]
fn every_network_predicts_the_same_as_the_peer() {
    let errors: Vec<f64> = replay::cases().iter().map(replay::error).collect();
    assert!(errors.iter().all(|error| *error <= LIMIT), "{errors:?}");
    assert_eq!(errors.len(), 12);
}

/// A file does not record the layout of its attention, so the given settings must matter.
#[test]
fn heads_and_their_order_change_the_prediction() {
    for case in replay::cases().iter().filter(|case| case.is_guided() && case.heads() > 1) {
        for other in case.others() {
            let error = replay::error(&other);
            assert!(error > 1e-3, "{error:e}");
        }
    }
}
