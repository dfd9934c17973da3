//! When buckets begin, and what they find.

use tch::{Kind, Tensor};
use torch_ext::{TorchExtError, backward_in_buckets};

use crate::{back, begun, buckets, counted, gradients, leaves, product};

/// 2, 3, 4 and 5: their product is 120.
#[test]
fn a_bucket_begins_when_its_gradients_are_there() {
    let [a, b, c, d] = leaves();
    let loss = product(&[&a, &b, &c, &d]);
    // In the order in which gradients come.
    let plan = buckets(&[&[&c, &d], &[&b], &[&a]]);
    let mut at = Vec::new();
    let (params, seen) = ([&a, &b, &c, &d].map(Tensor::shallow_clone), &mut at);
    let mut begin = move |_: usize| -> Result<(), TorchExtError> {
        seen.push(gradients(&params).iter().filter(|number| number.is_finite()).count());
        Ok(())
    };
    let late = backward_in_buckets(&plan, &mut begin, || back(&loss)).unwrap();
    // Before the gradients of the later buckets exist.
    assert_eq!((at, late), (vec![2, 3, 4], 0));
    assert_eq!(gradients(&[a, b, c, d]), [60.0, 40.0, 30.0, 24.0]);
}

#[test]
fn buckets_begin_in_their_order_whatever_the_order_of_gradients() {
    for used in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let params: [Tensor; 3] = leaves();
        let loss = product(&used.map(|index| &params[index]));
        let plan = buckets(&[&[&params[2]], &[&params[1]], &[&params[0]]]);
        let expected = vec![(0, vec![6.0]), (1, vec![8.0]), (2, vec![12.0])];
        assert_eq!(begun(&plan, &loss), (expected, 0), "{used:?}");
    }
}

#[test]
fn what_the_pass_does_not_reach_never_begins() {
    let [a, b, c, unused] = leaves();
    let plan = buckets(&[&[&c], &[&b, &unused], &[&a]]);
    assert_eq!(begun(&plan, &product(&[&a, &b, &c])), (vec![(0, vec![6.0])], 0));
    assert_eq!(gradients(&[a, b, c])[..2], [12.0, 8.0]);
    // Nor does a pass that reaches nothing begin anything.
    let [other] = leaves();
    assert_eq!(begun(&plan, &product(&[&other])), (vec![], 0));
    // A plan may be empty.
    assert_eq!(begun(&[], &product(&[&other])), (vec![], 0));
}

/// libtorch adds up all uses before it stores a gradient.
#[test]
fn a_parameter_that_is_used_twice_comes_once() {
    let [a, b] = leaves();
    let loss = product(&[&a, &b, &a]) + product(&[&b, &b]);
    assert_eq!(begun(&buckets(&[&[&a], &[&b]]), &loss), (vec![(0, vec![12.0]), (1, vec![10.0])], 0));
}

#[test]
fn a_gradient_from_before_is_added_first() {
    let [a, b] = leaves();
    product(&[&a, &b]).backward();
    assert_eq!(begun(&buckets(&[&[&b, &a]]), &product(&[&a, &b])), (vec![(0, vec![4.0, 6.0])], 0));
}

/// Weights of convolutions are stored with the channels innermost, and get gradients of several threads.
#[test]
fn a_convolution_has_its_whole_gradient() {
    let normals = |size: &[i64], stream: u64| {
        let count = size.iter().product::<i64>() as usize;
        let numbers = random::Stream::new(3, random::Purpose::Figure, stream, 0).normals(count);
        Tensor::from_slice(&numbers).view(size)
    };
    let x = normals(&[4, 8, 9, 7], 0);
    let kernels = [1, 2].map(|stream| normals(&[8, 8, 3, 3], stream).set_requires_grad(true));
    let loss = || {
        let convolved = |x: &Tensor, kernel: &Tensor| x.conv2d(kernel, None::<&Tensor>, 1, 1, 1, 1).silu();
        convolved(&convolved(&x, &kernels[0]), &kernels[1]).square().mean(Kind::Float)
    };
    let forget = || kernels.iter().for_each(|kernel| torch_ext::forget_gradient(kernel).unwrap());
    loss().backward();
    let expected = kernels.each_ref().map(Tensor::grad);
    forget();
    let mut seen = Vec::new();
    let (held, told) = (kernels.each_ref().map(Tensor::shallow_clone), &mut seen);
    let mut begin = move |bucket: usize| -> Result<(), TorchExtError> {
        told.push((bucket, held[1 - bucket].grad().copy()));
        Ok(())
    };
    let plan = buckets(&[&[&kernels[1]], &[&kernels[0]]]);
    backward_in_buckets(&plan, &mut begin, || back(&loss())).unwrap();
    let [first, second] = expected;
    assert_eq!(seen, [(0, second), (1, first)]);
}

#[test]
fn the_pass_may_run_on_another_thread() {
    let [a, b] = leaves();
    let loss = product(&[&a, &b]);
    let mut threads = Vec::new();
    let mut begin = |_: usize| -> Result<(), TorchExtError> {
        threads.push(std::thread::current().id());
        Ok(())
    };
    let mut other = None;
    let on_thread = || {
        let thread = std::thread::spawn(move || {
            loss.backward();
            std::thread::current().id()
        });
        other = Some(thread.join().unwrap());
        Ok(())
    };
    backward_in_buckets(&buckets(&[&[&b], &[&a]]), &mut begin, on_thread).unwrap();
    assert_eq!(threads, [other.unwrap(); 2]);
}

/// Several passes inside of one call, as with parts of a batch: a gradient that grows after its bucket has begun is late.
#[test]
fn a_second_pass_is_late() {
    let [a, b] = leaves();
    let plan = buckets(&[&[&b], &[&a]]);
    let twice = || {
        back(&product(&[&a, &b]))?;
        back(&product(&[&a, &b]))
    };
    assert_eq!(counted(&plan, twice).unwrap(), (2, 2));
}
