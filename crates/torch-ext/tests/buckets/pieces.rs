//! Pieces that are recomputed go backward on their own, within the pass.

use std::sync::{Mutex, PoisonError};

use tch::Tensor;
use torch_ext::{TorchExtError, checkpoint};

use crate::{begun, buckets, gradients, leaves, product};

/// Checkpoints share libtorch's generator, so these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// `x` times a parameter, recomputed in the backward pass.
fn piece(x: &Tensor, param: &Tensor) -> Tensor {
    let param = param.shallow_clone();
    checkpoint(&[x], move |inputs| Ok::<_, TorchExtError>(vec![inputs[0] * &param])).unwrap().remove(0)
}

/// The same in a piece within a piece.
fn nested(x: &Tensor, param: &Tensor) -> Tensor {
    let param = param.shallow_clone();
    checkpoint(&[x], move |inputs| Ok::<_, TorchExtError>(vec![piece(inputs[0], &param)])).unwrap().remove(0)
}

#[test]
fn parameters_of_pieces_come_like_others() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for run in [piece, nested] {
        let [a, b, c, d] = leaves();
        let x = run(&product(&[&a]), &b);
        let loss = product(&[&run(&x, &c), &d]);
        let plan = buckets(&[&[&d], &[&c], &[&b], &[&a]]);
        let expected = [24.0, 30.0, 40.0, 60.0].iter().enumerate().map(|(at, number)| (at, vec![*number]));
        assert_eq!(begun(&plan, &loss), (expected.collect(), 0));
    }
}

/// The first piece to go back completes the bucket, and the second adds to it.
#[test]
fn a_parameter_that_pieces_share_is_late() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let [a, b] = leaves();
    let loss = product(&[&piece(&piece(&a, &b), &b)]);
    assert_eq!(begun(&buckets(&[&[&b], &[&a]]), &loss), (vec![(0, vec![6.0]), (1, vec![9.0])], 1));
    assert_eq!(gradients(&[a, b]), [9.0, 12.0]);

    // Not if its bucket waits for a parameter that comes later.
    let [a, b] = leaves();
    let loss = product(&[&piece(&piece(&a, &b), &b)]);
    assert_eq!(begun(&buckets(&[&[&b, &a]]), &loss), (vec![(0, vec![12.0, 9.0])], 0));
}
