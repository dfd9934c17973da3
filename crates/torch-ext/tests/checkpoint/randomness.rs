//! libtorch's random numbers: states, and the state after a failed second run.

use std::sync::atomic::{AtomicUsize, Ordering};

use tch::{Device, Kind, Tensor};
use torch_ext::{TorchExtError, checkpoint, generator_state, set_generator_state};

use crate::piece::{alone_with_the_generator, normals};

fn draw() -> Tensor {
    Tensor::randn([5], (Kind::Float, Device::Cpu))
}

#[test]
fn a_state_gives_the_same_numbers_again() {
    let _turn = alone_with_the_generator();
    tch::manual_seed(1);
    let _ = draw();
    let state = generator_state(Device::Cpu).unwrap();
    let (first, second) = (draw(), draw());
    set_generator_state(Device::Cpu, &state).unwrap();
    assert_eq!((draw(), draw()), (first.shallow_clone(), second));
    // The state is a copy, so drawing does not change it.
    set_generator_state(Device::Cpu, &state).unwrap();
    assert_eq!(draw(), first);
}

#[test]
fn an_invalid_state_is_refused_and_changes_nothing() {
    let _turn = alone_with_the_generator();
    tch::manual_seed(2);
    let before = generator_state(Device::Cpu).unwrap();
    for wrong in
        [Tensor::new(), normals(&[4], 0), Tensor::zeros([16], (Kind::Uint8, Device::Cpu)), before.get(0)]
    {
        assert!(set_generator_state(Device::Cpu, &wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(generator_state(Device::Cpu).unwrap(), before);
    for device in [Device::Mps, Device::Vulkan, Device::Cuda(1000)] {
        let error = generator_state(device).unwrap_err();
        assert!(matches!(error, TorchExtError::UnknownDevice { .. }), "{error}");
    }
    if !tch::Cuda::is_available() {
        assert!(matches!(generator_state(Device::Cuda(0)), Err(TorchExtError::Torch { .. })));
    }
}

/// The second run draws the same numbers as the first, whatever the state of the generator. A failed second run moves
/// the generator no more than a successful one.
#[test]
fn the_generator_continues_as_if_there_were_one_run() {
    let _turn = alone_with_the_generator();
    let x = normals(&[5], 0).set_requires_grad(true);
    for fails in [false, true] {
        let runs = AtomicUsize::new(0);
        let piece = move |inputs: &[&Tensor]| {
            let noise = draw();
            if fails && runs.fetch_add(1, Ordering::Relaxed) == 1 {
                return Err(TorchExtError::Undefined { what: "the luck" });
            }
            Ok(vec![inputs[0] * noise])
        };
        tch::manual_seed(3);
        let expected = (draw(), draw(), draw());
        tch::manual_seed(3);
        let loss = checkpoint(&[&x], piece).unwrap()[0].sum(Kind::Float);
        let between = draw();
        assert_eq!(loss.f_backward().is_err(), fails);
        assert_eq!((between, draw()), (expected.1, expected.2));
        if !fails {
            assert_eq!(x.grad(), expected.0);
        }
    }
}
