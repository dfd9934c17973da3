//! What the allocator does with freed memory.

use crate::ffi;

/// Makes glibc's allocator keep freed memory for the next allocation instead of returning it to the system.
///
/// Training and sampling allocate the same large blocks in every step. By default each of them is mapped anew, and the
/// kernel clears its pages each time, which takes a tenth of the time of a small network's training step. The cost is
/// that the process never shrinks. This applies to allocations of the first thread; in other threads, blocks of 64 MiB
/// and more are still mapped anew.
///
/// Call it before allocating much, in programs that do little else. Returns whether it took effect: it does not with
/// another C library, or if the user configured the allocator with `GLIBC_TUNABLES` or a `MALLOC_...` variable.
#[must_use]
pub fn keep_freed_memory() -> bool {
    let tuned = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.to_string_lossy();
        (name.starts_with("MALLOC_") && name.ends_with('_'))
            || (name == "GLIBC_TUNABLES" && value.to_string_lossy().contains("glibc.malloc"))
    };
    if std::env::vars_os().any(tuned) {
        return false;
    }
    // SAFETY: the function takes nothing, and glibc does its own locking.
    unsafe { ffi::torch_ext_keep_freed_memory() }
}
