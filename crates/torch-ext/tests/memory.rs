//! The allocator belongs to the process, so this test has its own process and uses its first thread.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};

/// Page faults of this thread so far.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name in brackets may contain spaces; `minflt` is the eighth field after it.
    stat.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Page faults caused by one more large tensor.
fn faults_of_a_tensor() -> u64 {
    let before = page_faults();
    drop(Tensor::ones([16 << 20], (Kind::Float, Device::Cpu))); // 64 MiB
    page_faults() - before
}

/// Freed memory is reused.
fn main() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        assert!(!torch_ext::keep_freed_memory());
        return;
    }
    tch::set_num_threads(1);
    let pages = (64 << 20) / 4096;
    // By default the kernel maps every tensor of that size anew. With huge pages there are fewer faults, but as many
    // each time.
    faults_of_a_tensor();
    let default = faults_of_a_tensor();
    assert!(default > pages / 600, "{default} pages");
    // The user's settings take precedence; then there is nothing to test.
    if torch_ext::keep_freed_memory() {
        // Each aligned block leaves a small remainder until the allocator's cache for those is full.
        for _ in 0..20 {
            faults_of_a_tensor();
        }
        let kept = (0..5).map(|_| faults_of_a_tensor()).sum::<u64>();
        assert!(kept < default / 4, "{kept} pages, by default {default}");
    }
}
