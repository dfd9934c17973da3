//! Errors, panics and refusals: they always return an error, never end the process, and leave nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::{Kind, Tensor};
use torch_ext::{TorchExtError, checkpoint};

use crate::piece::{alone_with_the_generator, normals};

#[derive(Debug, PartialEq, thiserror::Error)]
enum Own {
    #[error("no luck in run {0}")]
    NoLuck(usize),
    #[error("{0}")]
    Below(String),
}

impl From<TorchExtError> for Own {
    fn from(error: TorchExtError) -> Self {
        Self::Below(error.to_string())
    }
}

fn input() -> Tensor {
    normals(&[4], 0).set_requires_grad(true)
}

/// A piece that doubles its input, but calls `second` in its second run.
fn doubled(
    x: &Tensor,
    second: impl Fn(&Tensor) -> Result<Vec<Tensor>, Own> + Send + 'static,
) -> Result<Vec<Tensor>, Own> {
    let runs = AtomicUsize::new(0);
    checkpoint(&[x], move |inputs| match runs.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(vec![inputs[0] * 2.0]),
        _ => second(inputs[0]),
    })
}

/// The error of `backward`.
fn refused(second: impl Fn(&Tensor) -> Result<Vec<Tensor>, Own> + Send + 'static) -> String {
    let x = input();
    let loss = doubled(&x, second).unwrap()[0].sum(Kind::Float);
    let text = loss.f_backward().unwrap_err().to_string();
    assert!(!x.grad().defined(), "{text}");
    // The thread's state is restored: gradients are off during a backward pass and on after it.
    assert!((&x * 2.0).requires_grad());
    (&x * 2.0).sum(Kind::Float).backward();
    assert_eq!(x.grad(), Tensor::from_slice(&[2_f32; 4]));
    text
}

#[test]
fn an_error_of_the_first_run_is_returned_unchanged() {
    let _turn = alone_with_the_generator();
    let x = input();
    let error = checkpoint(&[&x], |_| Err(Own::NoLuck(1))).unwrap_err();
    assert_eq!(error, Own::NoLuck(1));
    assert!((&x * 2.0).requires_grad());
}

#[test]
fn an_error_or_a_panic_of_the_second_run_is_an_error_of_backward() {
    let _turn = alone_with_the_generator();
    let error = refused(|_| Err(Own::NoLuck(2)));
    assert!(error.contains("no luck in run 2"), "{error}");
    let panic = refused(|_| panic!("on purpose, {}", 5));
    assert!(panic.contains("panic: on purpose, 5"), "{panic}");
    let other = refused(|_| std::panic::panic_any(7));
    assert!(other.contains("panic: no text"), "{other}");
    let nul = refused(|_| Err(Own::Below("a \0 within".to_owned())));
    assert!(nul.contains("a   within"), "{nul}");
}

#[test]
fn a_second_run_with_other_outputs_is_refused() {
    let _turn = alone_with_the_generator();
    let made = |second: &str| format!("outputs of {second}, of [([4], Float)] in the first run");
    type Second = fn(&Tensor) -> Vec<Tensor>;
    let other: [(&str, Second); 4] = [
        ("[([4], Float), ([4], Float)]", |x| vec![x * 2.0, x * 3.0]),
        ("[]", |_| Vec::new()),
        ("[([1], Float)]", |x| vec![x.narrow(0, 0, 1) * 2.0]),
        ("[([4], Double)]", |x| vec![x.to_kind(Kind::Double)]),
    ];
    for (second, outputs) in other {
        let text = refused(move |x| Ok(outputs(x)));
        assert!(text.contains(&made(second)), "{text}");
    }
    let kind = refused(|x| Ok(vec![x.to_kind(Kind::Int64)]));
    assert!(kind.contains("an output is Int64"), "{kind}");
}

#[test]
fn tensors_without_gradients_are_refused() {
    let _turn = alone_with_the_generator();
    let undefined = Tensor::new();
    let error = checkpoint(&[&input(), &undefined], |_| Ok::<_, TorchExtError>(Vec::new())).unwrap_err();
    assert!(matches!(error, TorchExtError::Undefined { what: "an input" }), "{error}");
    let error = checkpoint(&[&input()], |_| Ok::<_, TorchExtError>(vec![Tensor::new()])).unwrap_err();
    assert!(matches!(error, TorchExtError::Undefined { what: "an output" }), "{error}");
    let error = checkpoint(&[&input()], |x| Ok::<_, TorchExtError>(vec![x[0].argmax(0, false)])).unwrap_err();
    assert!(matches!(error, TorchExtError::Kind { got: Kind::Int64, .. }), "{error}");
}

#[test]
fn gradients_of_chosen_inputs_and_second_gradients_are_refused() {
    let _turn = alone_with_the_generator();
    let x = input();
    let loss = || doubled(&x, |x| Ok(vec![x * 2.0])).unwrap()[0].square().sum(Kind::Float);
    let chosen = Tensor::f_run_backward(&[loss()], &[&x], false, false).unwrap_err().to_string();
    assert!(chosen.contains("all parameters at once"), "{chosen}");
    let second = Tensor::f_run_backward(&[loss()], &[&x], false, true).unwrap_err().to_string();
    assert!(second.contains("gradient of a gradient"), "{second}");
}

#[test]
fn a_graph_is_used_once_and_its_inputs_stay() {
    let _turn = alone_with_the_generator();
    let x = input();
    let twice = || doubled(&x, |x| Ok(vec![x * 2.0])).unwrap();
    let loss = twice()[0].sum(Kind::Float);
    loss.backward();
    let again = loss.f_backward().unwrap_err().to_string();
    assert!(again.contains("second time"), "{again}");

    // If it changed between the runs, the input would give the gradients of another function.
    let y = &x * 1.0;
    let mut same = y.shallow_clone();
    let loss = doubled(&y, |y| Ok(vec![y * 2.0])).unwrap()[0].sum(Kind::Float);
    {
        let _no_grad = tch::no_grad_guard();
        let _ = same.f_add_scalar_(1.0).unwrap();
    }
    let changed = loss.f_backward().unwrap_err().to_string();
    assert!(changed.contains("modified by an inplace operation"), "{changed}");
}

/// A retained graph can go backward twice, which doubles the gradient.
#[test]
fn a_kept_graph_goes_back_again() {
    let _turn = alone_with_the_generator();
    let x = input();
    let mut loss = doubled(&x, |x| Ok(vec![x * 2.0])).unwrap()[0].sum(Kind::Float);
    for times in 1..=2 {
        // SAFETY: the pointer belongs to a live tensor. tch has no `backward` that retains the graph.
        unsafe { torch_sys::at_backward(loss.as_mut_ptr(), 1, 0) };
        assert_eq!(x.grad(), Tensor::from_slice(&[2.0 * times as f32; 4]));
    }
}

/// However a piece ends, its tensors are freed: with the graph, in the backward pass, after an error, and immediately if
/// gradients are off.
#[test]
fn pieces_are_dropped() {
    let _turn = alone_with_the_generator();
    let held = Arc::new(());
    let x = input();
    let make = |fails: bool| {
        let mine = Arc::clone(&held);
        doubled(&x, move |x| {
            let _mine = &mine;
            if fails { Err(Own::NoLuck(2)) } else { Ok(vec![x * 2.0]) }
        })
        .unwrap()
    };
    let alive = || Arc::strong_count(&held) - 1;
    let outputs = make(false);
    assert_eq!(alive(), 1);
    drop(outputs);
    assert_eq!(alive(), 0, "with the graph");
    let loss = make(false)[0].sum(Kind::Float);
    loss.backward();
    assert_eq!(alive(), 0, "in the backward pass");
    let loss = make(true)[0].sum(Kind::Float);
    assert!(loss.f_backward().is_err());
    drop(loss);
    assert_eq!(alive(), 0, "after an error");
    let no_grad = tch::no_grad_guard();
    let outputs = make(false);
    drop(no_grad);
    assert_eq!(alive(), 0, "where gradients are off");
    drop(outputs);
}

/// A backward pass may run on another thread.
#[test]
fn a_graph_may_go_to_another_thread() {
    let _turn = alone_with_the_generator();
    let x = input();
    let loss = doubled(&x, |x| Ok(vec![x * 2.0])).unwrap()[0].sum(Kind::Float);
    std::thread::spawn(move || loss.backward()).join().unwrap();
    assert_eq!(x.grad(), Tensor::from_slice(&[2_f32; 4]));
}
