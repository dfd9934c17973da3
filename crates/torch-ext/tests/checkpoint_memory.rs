//! Peak memory is measured per process, so this test has its own process, with an allocator that returns every tensor
//! to the system. Otherwise the peak would include holes between blocks.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::process::Command;

use tch::{Device, Kind, Tensor};
use torch_ext::{TorchExtError, checkpoint};

/// glibc's setting: blocks of at least this many bytes are mapped one by one.
const MAPPED: &str = "MALLOC_MMAP_THRESHOLD_";

/// Peak memory of the process in MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Keeps eight tensors of the input's size for the backward pass.
fn piece(inputs: &[&Tensor]) -> Result<Vec<Tensor>, TorchExtError> {
    let mut x = inputs[0].shallow_clone();
    for _ in 0..8 {
        x = x.sin();
    }
    Ok(vec![x])
}

/// The rise of the peak in MiB during a forward and backward pass through twelve pieces in a row, and the gradient.
fn rise(numbers: i64, run: impl Fn(&[&Tensor]) -> Result<Vec<Tensor>, TorchExtError>) -> (f64, Tensor) {
    let before = peak_mib();
    let x = Tensor::ones([numbers], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut y = x.shallow_clone();
    for _ in 0..12 {
        y = run(&[&y]).unwrap().remove(0);
    }
    y.sum(Kind::Float).backward();
    (peak_mib() - before, x.grad())
}

#[test]
fn twelve_pieces_of_eight_tensors_keep_twelve_tensors() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        return;
    }
    if std::env::var_os(MAPPED).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        assert!(again.env(MAPPED, "1000000").arg("--nocapture").status().unwrap().success());
        return;
    }
    tch::set_num_threads(1);
    // libtorch's code is loaded into memory on first use.
    let checkpointed = |inputs: &[&Tensor]| checkpoint(inputs, piece);
    let _ = (rise(100, checkpointed), rise(100, piece));
    // Tensors of 4 MiB. The peak only rises, so measure the smaller one first.
    let (with, gradient) = rise(1 << 20, checkpointed);
    let (more, expected) = rise(1 << 20, piece);
    assert_eq!(gradient, expected);
    // 12 x 4 MiB, plus 8 x 4 MiB of the running piece; 12 x 8 x 4 MiB without checkpoints.
    assert!(with < 140.0, "{with} MiB");
    assert!(with + more > 370.0, "{} MiB without checkpoints", with + more);
}
