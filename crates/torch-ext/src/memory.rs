//! What the process does with memory that is freed.

use crate::ffi;

/// Tells glibc's allocator to keep freed memory for the next allocation instead of giving it back to the system.
///
/// Training and sampling allocate the same large blocks in every step. By default each of them is mapped anew, and
/// the kernel clears its pages each time: a tenth of the time of a small network's training step. The price is that
/// the process stays as large as it ever was. It holds for allocations of the first thread; blocks of 64 MiB and more
/// of other threads are mapped as before.
///
/// It is for programs that do little else, before they allocate much. Returns whether it was done: not with another C
/// library, and not where the user has set the allocator up by `GLIBC_TUNABLES` or a `MALLOC_...` variable.
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
    // SAFETY: the function takes nothing, and glibc locks its settings itself.
    unsafe { ffi::torch_ext_keep_freed_memory() }
}
