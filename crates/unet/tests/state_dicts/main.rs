//! The same predictions as networks of guided-diffusion and of the original DDPM, from tensors under their names. The peers are
//! written in torch by `scripts/make_state_dict_goldens.py`.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod replay;
#[path = "../unet2d/rule.rs"]
mod rule;

/// Largest error that passes, as a share of the largest number of a prediction.
const LIMIT: f64 = 2e-5;

#[test]
fn every_network_predicts_what_the_peer_does() {
    let errors: Vec<f64> = replay::cases().iter().map(replay::error).collect();
    assert!(errors.iter().all(|error| *error <= LIMIT), "{errors:?}");
    assert_eq!(errors.len(), 12);
}

/// A file does not say how its attention is laid out: what is told has to matter.
#[test]
fn heads_and_their_order_change_the_prediction() {
    for case in replay::cases().iter().filter(|case| case.is_guided() && case.heads() > 1) {
        for other in case.others() {
            let error = replay::error(&other);
            assert!(error > 1e-3, "{error:e}");
        }
    }
}
