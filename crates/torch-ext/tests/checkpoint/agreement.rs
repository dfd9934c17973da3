//! Bitwise the same results as without checkpointing.

use tch::{Kind, Tensor};
use torch_ext::{TorchExtError, checkpoint};

use crate::piece::{Block, Way, alone_with_the_generator, everything, normals, run};

#[test]
fn results_gradients_and_random_numbers_are_the_same_bits() {
    let _turn = alone_with_the_generator();
    for kind in [Kind::Float, Kind::BFloat16] {
        for dropout in [0.0, 0.3] {
            let plain = everything(Way::Plain, kind, dropout);
            for way in [Way::Checkpointed, Way::Nested] {
                for (index, (got, expected)) in everything(way, kind, dropout).iter().zip(&plain).enumerate()
                {
                    assert_eq!(got, expected, "{way:?} {kind:?} dropout {dropout}: tensor {index}");
                }
            }
            // Make sure that there is something to compare.
            assert!(plain.iter().all(|tensor| f64::try_from(tensor.abs().max()).unwrap() > 0.0));
        }
    }
    assert_ne!(everything(Way::Plain, Kind::Float, 0.3)[0], everything(Way::Plain, Kind::Float, 0.0)[0]);
}

#[test]
fn parameters_learn_when_no_input_requires_gradients() {
    let _turn = alone_with_the_generator();
    let gradients = |way| {
        let block = Block::new(8, Kind::Float, 0.0);
        let outputs = run(way, &block, &normals(&[2, 8, 5, 5], 0), &normals(&[2, 8], 1));
        assert!(outputs.iter().all(Tensor::requires_grad));
        outputs[0].square().sum(Kind::Float).backward();
        block.parameters().map(Tensor::grad)
    };
    assert_eq!(gradients(Way::Checkpointed), gradients(Way::Plain));
}

/// Only inputs that require gradients get them, and only used outputs contribute.
#[test]
fn some_inputs_and_some_outputs_count() {
    let _turn = alone_with_the_generator();
    let x = normals(&[3], 0).set_requires_grad(true);
    let index = Tensor::from_slice(&[2_i64, 0]);
    let constant = normals(&[3], 1);
    let outputs = checkpoint(&[&index, &x, &constant], |inputs| -> Result<_, TorchExtError> {
        let [index, x, constant] = inputs else { unreachable!() };
        Ok(vec![x.exp(), x.index_select(0, index) * 2.0, (*constant).shallow_clone()])
    })
    .unwrap();
    outputs[1].sum(Kind::Float).backward();
    assert_eq!(x.grad(), Tensor::from_slice(&[2_f32, 0.0, 2.0]));
    assert!(!index.requires_grad() && !constant.grad().defined());
}

#[test]
fn inputs_may_be_returned_unchanged_and_may_be_absent() {
    let _turn = alone_with_the_generator();
    let x = normals(&[3], 0).set_requires_grad(true);
    let same = checkpoint(&[&x], |inputs| Ok::<_, TorchExtError>(vec![inputs[0].shallow_clone()])).unwrap();
    assert!(!same[0].is_leaf());
    (&same[0] * 3.0).sum(Kind::Float).backward();
    assert_eq!(x.grad(), Tensor::from_slice(&[3_f32, 3.0, 3.0]));

    let held = x.shallow_clone();
    let mut gradient = x.grad();
    let _ = gradient.zero_();
    let outputs = checkpoint(&[], move |_| Ok::<_, TorchExtError>(vec![held.square()])).unwrap();
    outputs[0].sum(Kind::Float).backward();
    assert_eq!(x.grad(), x.detach() * 2.0);
    assert!(checkpoint(&[&x], |_| Ok::<_, TorchExtError>(Vec::new())).unwrap().is_empty());
}

/// With nothing to learn, the second run has no graph to go back through, and the input gets no gradient.
#[test]
fn a_piece_that_cannot_learn_has_no_gradients() {
    let _turn = alone_with_the_generator();
    let (x, y) = (normals(&[3], 0).set_requires_grad(true), normals(&[3], 1).set_requires_grad(true));
    let outputs = checkpoint(&[&x], |inputs| Ok::<_, TorchExtError>(vec![inputs[0].detach() * 2.0])).unwrap();
    (&outputs[0] * &y).sum(Kind::Float).backward();
    assert_eq!(y.grad(), x.detach() * 2.0);
    assert!(!x.grad().defined());
}

#[test]
fn with_gradients_off_the_piece_runs_once() {
    let _turn = alone_with_the_generator();
    let x = normals(&[3], 0).set_requires_grad(true);
    let outputs = {
        let _no_grad = tch::no_grad_guard();
        checkpoint(&[&x], |inputs| Ok::<_, TorchExtError>(vec![inputs[0].exp()])).unwrap()
    };
    assert!(!outputs[0].requires_grad());
    assert_eq!(outputs[0], x.detach().exp());
    assert!((&x * 2.0).requires_grad());
}
