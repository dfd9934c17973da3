//! How much memory the machine, the container and the limits of the process leave, where the system says so in files.

use std::fs;
use std::path::Path;

/// Memory that this process can take in addition: the smallest of what the machine, the container and the process limit
/// leave. Known on Linux only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvailableMemory {
    /// Bytes of RAM.
    pub bytes: u64,
    /// Bytes of RAM and swap.
    pub with_swap: u64,
}

impl AvailableMemory {
    /// Memory available now.
    #[must_use]
    pub fn now() -> Option<Self> {
        let machine = read("/proc/meminfo")?;
        let bytes = kib(&machine, "MemAvailable:")?;
        let with_swap = bytes.saturating_add(kib(&machine, "SwapFree:").unwrap_or(0));
        let limits = [of_group(), of_process()];
        let most = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        Some(Self { bytes: bytes.min(most), with_swap: with_swap.min(most) })
    }
}

/// Bytes that count against a limit on the data of this process (`ulimit -d`). Known on Linux only.
#[must_use]
pub fn data_in_use() -> Option<u64> {
    kib(&read("/proc/self/status")?, "VmData:")
}

/// Bytes that such a limit leaves.
#[cfg(unix)]
fn of_process() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Data).current?;
    Some(limit.saturating_sub(data_in_use()?))
}

#[cfg(not(unix))]
fn of_process() -> Option<u64> {
    None
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
            let now = AvailableMemory::now().unwrap();
            assert!(now.bytes > 1 << 20 && now.with_swap >= now.bytes, "{now:?}");
            assert!(data_in_use().is_some_and(|bytes| bytes > 0));
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
}
