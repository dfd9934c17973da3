//! The allocator is the process's, so it has a test process of its own, and the first thread of it.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::{Device, Kind, Tensor};

/// Pages that the kernel has given this thread so far.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name in brackets may hold spaces; `minflt` is the eighth field after it.
    stat.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Pages that one more large tensor takes.
fn faults_of_a_tensor() -> u64 {
    let before = page_faults();
    drop(Tensor::ones([16 << 20], (Kind::Float, Device::Cpu))); // 64 MiB
    page_faults() - before
}

/// Freed memory is used again.
fn main() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        assert!(!torch_ext::keep_freed_memory());
        return;
    }
    tch::set_num_threads(1);
    let pages = (64 << 20) / 4096;
    // By default every tensor of that size is new to the kernel. Huge pages are fewer, but as many each time.
    faults_of_a_tensor();
    let default = faults_of_a_tensor();
    assert!(default > pages / 600, "{default} pages");
    // The user's settings go first; then there is nothing to see.
    if torch_ext::keep_freed_memory() {
        // Each aligned block leaves a crumb behind until the allocator's cache of crumbs is full.
        for _ in 0..20 {
            faults_of_a_tensor();
        }
        let kept = (0..5).map(|_| faults_of_a_tensor()).sum::<u64>();
        assert!(kept < default / 4, "{kept} pages, by default {default}");
    }
}
