//! Determines how much memory is available, where the system reports it.

use std::fs;

/// Bytes that this process may still use: those of the machine, or of its control group if fewer. `None` if the system
/// does not report it.
pub(crate) fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = of_machine(&machine)?;
    let number = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok();
    let group = number("memory.max")
        .zip(number("memory.current"))
        .map(|(most, now): (u64, u64)| most.saturating_sub(now));
    Some(group.map_or(machine, |group| machine.min(group)))
}

/// The value of the line `MemAvailable:   123 kB` in bytes.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        assert_eq!(of_machine("MemTotal: 9 kB\nMemAvailable:     12 kB\n"), Some(12 << 10));
        assert_eq!(of_machine("MemTotal: 9 kB\n"), None);
        assert_eq!(of_machine("MemAvailable: many kB\n"), None);
    }
}
