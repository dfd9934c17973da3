//! The settings belong to the process, so this test has its own process.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};
use torch_ext::{deterministic, set_deterministic};

/// An operation without a deterministic form on the CPU: `put_` without accumulation, with a repeated index.
fn put() -> Result<Tensor, tch::TchError> {
    let mut target = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    let index = Tensor::from_slice(&[1_i64, 1]);
    target.f_put_(&index, &Tensor::from_slice(&[1_f32, 2.0]), false)
}

#[test]
fn nondeterministic_operations_fail_while_the_setting_is_on() {
    assert!(!deterministic().unwrap());
    assert!(put().is_ok());

    set_deterministic(true).unwrap();
    assert!(deterministic().unwrap());
    let refused = put().unwrap_err().to_string();
    assert!(refused.contains("deterministic"), "{refused}");
    assert_eq!(std::env::var("CUBLAS_WORKSPACE_CONFIG").unwrap(), ":4096:8");

    set_deterministic(false).unwrap();
    assert!(!deterministic().unwrap());
    assert!(put().is_ok());
}
