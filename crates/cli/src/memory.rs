//! A limit on the memory of this process.
//!
//! The operating system overcommits memory and kills processes that exhaust it. With a limit the allocation fails
//! instead, so the program can say what it was for, or try with less.

use files::AvailableMemory;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tch::Device;
use tracing::debug;

/// Makes the allocator keep freed memory, since every step of training and sampling allocates the same large blocks.
/// Not for use when memory is short: what is kept cannot be used for everything.
pub(crate) fn keep_freed() {
    let kept = torch_ext::keep_freed_memory();
    debug!(kept, "freed memory is kept by the allocator");
}

/// Limits a training run to the memory available now, so that too large a run fails with an error instead of being
/// killed. A GPU enforces its own limit.
pub(crate) fn limit(device: Device) -> Option<Limit> {
    let now = AvailableMemory::now().filter(|_| device == Device::Cpu)?;
    Some(Limit::to(now.with_swap))
}

/// A limit on the memory of this process, removed on drop.
pub(crate) struct Limit {
    before: Option<Rlimit>,
}

impl Limit {
    /// Allows `more` bytes on top of the current use. Sets no limit if the use is unknown, and never a higher one than
    /// before.
    pub(crate) fn to(more: u64) -> Self {
        let Some(now) = files::data_in_use() else { return Self { before: None } };
        let before = getrlimit(Resource::Data);
        let limit = now.saturating_add(more).min(before.current.unwrap_or(u64::MAX));
        let set = setrlimit(Resource::Data, Rlimit { current: Some(limit), maximum: before.maximum });
        debug!(limit, ?set, "limit of memory");
        Self { before: set.is_ok().then_some(before) }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            // Restoring the earlier limit cannot fail.
            let _ = setrlimit(Resource::Data, before);
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_with_its_guard() {
        let before = getrlimit(Resource::Data);
        let limit = Limit::to(1 << 40);
        let within = getrlimit(Resource::Data).current.unwrap();
        assert!(within > 1 << 40 && within < 1 << 42, "{within}");
        // A second limit cannot be higher.
        drop(Limit::to(u64::MAX));
        assert_eq!(getrlimit(Resource::Data).current, Some(within));
        drop(limit);
        assert_eq!(getrlimit(Resource::Data), before);
    }
}
