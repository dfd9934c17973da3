//! Available memory, and a limit on the memory of this process.
//!
//! The operating system overcommits memory and kills processes that exhaust it. With a limit the allocation fails
//! instead, so the program can say what it was for, or try with less.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tch::Device;
use tracing::debug;

/// Memory that this process can take in addition: the smallest of what the machine, the container and the process limit
/// leave. Known on Linux only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Available {
    /// Bytes of RAM.
    pub(crate) bytes: u64,
    /// Bytes of RAM and swap.
    pub(crate) with_swap: u64,
}

impl Available {
    /// Memory available now.
    pub(crate) fn now() -> Option<Self> {
        let machine = read("/proc/meminfo")?;
        let bytes = kib(&machine, "MemAvailable:")?;
        let with_swap = bytes.saturating_add(kib(&machine, "SwapFree:").unwrap_or(0));
        let limits = [of_group(), of_process()];
        let most = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        Some(Self { bytes: bytes.min(most), with_swap: with_swap.min(most) })
    }
}

/// Makes the allocator keep freed memory, since every step of training and sampling allocates the same large blocks.
/// Not for use when memory is short: what is kept cannot be used for everything.
pub(crate) fn keep_freed() {
    let kept = torch_ext::keep_freed_memory();
    debug!(kept, "freed memory is kept by the allocator");
}

/// Limits a training run to the memory available now, so that too large a run fails with an error instead of being
/// killed. A GPU enforces its own limit.
pub(crate) fn limit(device: Device) -> Option<Limit> {
    let now = Available::now().filter(|_| device == Device::Cpu)?;
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
        let Some(now) = taken() else { return Self { before: None } };
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

/// Bytes that count against the limit of this process.
fn taken() -> Option<u64> {
    kib(&read("/proc/self/status")?, "VmData:")
}

/// Bytes that an earlier limit leaves.
fn of_process() -> Option<u64> {
    Some(getrlimit(Resource::Data).current?.saturating_sub(taken()?))
}

/// Bytes that the container leaves: its limit minus what cannot be reclaimed. Cached files can be.
fn of_group() -> Option<u64> {
    let folder = Path::new("/sys/fs/cgroup");
    let own = read("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A container sees its own group as the root.
    let folders = [folder.join(own), folder.to_owned()];
    folders.iter().filter_map(|folder| left_in(folder)).min()
}

fn left_in(folder: &Path) -> Option<u64> {
    let number = |name: &str| read(folder.join(name))?.trim().parse::<u64>().ok();
    let (most, used) = (number("memory.max")?, number("memory.current")?);
    let files = read(folder.join("memory.stat")).and_then(|stat| {
        stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok())
    });
    Some(most.saturating_sub(used.saturating_sub(files.unwrap_or(0))))
}

/// The number in a line such as `VmData:   1234 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_are_read() {
        assert_eq!(kib("A: 1 kB\nVmData:\t  12 kB\n", "VmData:"), Some(12 * 1024));
        assert_eq!((kib("VmData: much", "VmData:"), kib("", "VmData:")), (None, None));
        if cfg!(target_os = "linux") {
            let now = Available::now().unwrap();
            assert!(now.bytes > 1 << 20 && now.with_swap >= now.bytes, "{now:?}");
        }
    }

    #[test]
    fn a_group_counts_what_it_cannot_reclaim() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(left_in(folder.path()), None);
        write("memory.current", "600\n");
        write("memory.max", "max\n");
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in(folder.path()), Some(400));
        write("memory.stat", "anon 300\ninactive_file 250\n");
        assert_eq!(left_in(folder.path()), Some(650));
        write("memory.current", "2000\n");
        assert_eq!(left_in(folder.path()), Some(0));
    }

    #[test]
    #[cfg(target_os = "linux")]
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
