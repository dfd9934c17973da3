//! Errors, panics and refusals: they are returned, and leave no hook behind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;
use torch_ext::{TorchExtError, backward_in_buckets};

use crate::{back, begun, buckets, counted, gradients, leaves, product};

fn own(text: &str) -> TorchExtError {
    TorchExtError::Torch { call: "a test", text: text.to_owned() }
}

/// A pass over a product of 2, 3 and 4 whose second bucket does not begin. Returns the error and how often it was tried.
fn failing(mut second: impl FnMut() -> Result<(), TorchExtError> + Send) -> (TorchExtError, usize) {
    let [a, b, c] = leaves();
    let plan = buckets(&[&[&c], &[&b], &[&a]]);
    let mut calls = 0;
    let mut begin = |bucket: usize| {
        calls += 1;
        if bucket == 1 { second() } else { Ok(()) }
    };
    let error = backward_in_buckets(&plan, &mut begin, || back(&product(&[&a, &b, &c]))).unwrap_err();
    // The pass itself went on to its end.
    assert_eq!(gradients(&[a, b, c]), [12.0, 8.0, 6.0]);
    (error, calls)
}

#[test]
fn an_error_of_begin_is_returned_after_the_pass() {
    let (error, calls) = failing(|| Err(own("no luck")));
    assert_eq!((error.to_string().as_str(), calls), ("a test: no luck", 2));
}

#[test]
fn an_error_of_libtorch_is_one_too() {
    let (error, calls) = failing(|| {
        let wrong = Tensor::from_slice(&[1.0, 2.0]).f_add(&Tensor::from_slice(&[1.0, 2.0, 3.0]));
        wrong.map(drop).map_err(|error| own(&error.to_string()))
    });
    assert!(error.to_string().contains("must match the size"), "{error}");
    assert_eq!(calls, 2);
}

#[test]
fn a_panic_of_begin_becomes_an_error() {
    let (error, calls) = failing(|| panic!("on purpose, {}", 5));
    assert_eq!(error.to_string(), "backward_in_buckets: panic: on purpose, 5");
    assert_eq!(calls, 2);
}

/// What the pass says is first, whatever happened in a hook.
#[test]
fn an_error_of_the_pass_is_returned() {
    let [a, b] = leaves();
    let plan = buckets(&[&[&b], &[&a]]);
    for own_fails in [false, true] {
        let mut calls = 0;
        let mut begin = |_: usize| {
            calls += 1;
            if own_fails { Err(own("of begin")) } else { Ok(()) }
        };
        let pass = || {
            back(&product(&[&b]))?;
            Err(own("of the pass"))
        };
        let error = backward_in_buckets(&plan, &mut begin, pass).unwrap_err();
        assert_eq!((error.to_string().as_str(), calls), ("a test: of the pass", 1));
    }
    // A graph that is used up.
    let loss = product(&[&a, &b]);
    loss.backward();
    let error = backward_in_buckets(&plan, &mut |_| Ok(()), || back(&loss)).unwrap_err();
    assert!(error.to_string().contains("second time"), "{error}");
    usable(&[a, b]);
}

/// The parameters have no hooks: they can be in a pass, and a pass without buckets calls nothing.
fn usable(params: &[Tensor]) {
    for param in params {
        torch_ext::forget_gradient(param).unwrap();
    }
    let plan: Vec<Vec<Tensor>> = params.iter().map(|param| vec![param.shallow_clone()]).collect();
    let all: Vec<&Tensor> = params.iter().collect();
    let (order, late) = begun(&plan, &product(&all));
    assert_eq!((order.len(), late), (params.len(), 0));
}

#[test]
fn hooks_end_with_the_pass() {
    let [a, b] = leaves();
    let plan = buckets(&[&[&b], &[&a]]);
    let mut calls = 0;
    let mut begin = |_: usize| -> Result<(), TorchExtError> {
        calls += 1;
        Ok(())
    };
    backward_in_buckets(&plan, &mut begin, || back(&product(&[&a, &b]))).unwrap();
    product(&[&a, &b]).backward();
    assert_eq!(calls, 2);
    usable(&[a, b]);
}

#[test]
fn a_panic_of_the_pass_leaves_no_hook() {
    let [a, b] = leaves();
    let plan = buckets(&[&[&b], &[&a]]);
    let pass = || -> Result<(), TorchExtError> { panic!("on purpose") };
    let unwound = catch_unwind(AssertUnwindSafe(|| backward_in_buckets(&plan, &mut |_| Ok(()), pass)));
    assert!(unwound.is_err());
    usable(&[a, b]);
}

#[test]
fn parameters_that_cannot_have_a_hook_are_refused() {
    let [a, b] = leaves();
    let refused = |plan: &[&[&Tensor]]| {
        let pass = || -> Result<(), TorchExtError> { panic!("the pass ran") };
        backward_in_buckets(&buckets(plan), &mut |_| Ok(()), pass).unwrap_err().to_string()
    };
    let leaf = "is not a leaf that requires a gradient";
    assert_eq!(refused(&[&[&a], &[&Tensor::new()]]), "a parameter is undefined");
    assert!(refused(&[&[&a], &[&(&a * 2.0)]]).contains(&format!("parameter 1 {leaf}")));
    assert!(refused(&[&[&a, &b], &[&Tensor::from_slice(&[1.0])]]).contains(&format!("parameter 2 {leaf}")));
    assert!(refused(&[&[&a, &b], &[&a]]).contains("parameter 2 has a hook already"));
    usable(&[a, b]);
}

/// A pass within a pass is refused and does not disturb the outer one.
#[test]
fn parameters_are_in_one_pass_only() {
    let [a, b] = leaves();
    let plan = buckets(&[&[&b], &[&a]]);
    let pass = || {
        let inner = backward_in_buckets(&plan, &mut |_| Ok(()), || back(&product(&[&a])));
        assert!(inner.unwrap_err().to_string().contains("has a hook already"));
        back(&product(&[&a, &b]))
    };
    assert_eq!(counted(&plan, pass).unwrap(), (2, 0));
}
