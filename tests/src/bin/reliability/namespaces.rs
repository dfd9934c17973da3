//! Two hosts on one machine: network namespaces joined by a cable that can be cut.

use std::path::Path;
use std::process::Command;

use ::tests::Place;
use anyhow::{Context as _, ensure};

/// Begins the names of the namespaces. The process id of the harness follows.
const PREFIX: &str = "ddpm-hosts-";

/// A network namespace. Dropping it removes it.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    /// `what` tells it from others of this process.
    fn new(what: &str) -> anyhow::Result<Self> {
        // Made first, so that whatever exists is removed if something fails.
        let namespace = Self { name: format!("{PREFIX}{}-{what}", std::process::id()) };
        ip(&["netns", "add", &namespace.name])?;
        // Entering one may be forbidden, too.
        ip(&["netns", "exec", &namespace.name, "true"])?;
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It does not exist if its making failed.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// Fails where this machine lacks `ip`, or this user may not make a network namespace or enter one.
pub(crate) fn probe() -> anyhow::Result<()> {
    Namespace::new("probe").map(drop)
}

/// Two hosts. Dropping them removes them.
#[derive(Debug)]
pub(crate) struct Hosts {
    both: [Namespace; 2],
}

impl Hosts {
    /// Their addresses.
    pub(crate) const ADDRESSES: [&'static str; 2] = ["10.0.0.1", "10.0.0.2"];
    /// The network interface of each.
    pub(crate) const INTERFACE: &'static str = "eth0";

    /// Two connected hosts. `number` tells them from others of this process.
    pub(crate) fn new(number: u64) -> anyhow::Result<Self> {
        let host = |side: &str| Namespace::new(&format!("{number}-{side}"));
        let hosts = Self { both: [host("a")?, host("b")?] };
        let ([a, b], end) = (&hosts.both, Self::INTERFACE);
        ip(&["link", "add", end, "netns", &a.name, "type", "veth", "peer", "name", end, "netns", &b.name])?;
        for (Namespace { name }, address) in hosts.both.iter().zip(Self::ADDRESSES) {
            ip(&["-netns", name, "addr", "add", &format!("{address}/30"), "dev", end])?;
            for device in ["lo", end] {
                ip(&["-netns", name, "link", "set", "dev", device, "up"])?;
            }
        }
        Ok(hosts)
    }

    /// Pulls the cable out of a host, or puts it back.
    pub(crate) fn connect(&self, host: usize, connected: bool) -> anyhow::Result<()> {
        let state = if connected { "up" } else { "down" };
        ip(&["-netns", &self.both[host].name, "link", "set", "dev", Self::INTERFACE, state]).map(drop)
    }

    /// A command that runs on a host what is appended to it, in the folder of a place.
    pub(crate) fn command(&self, host: usize, place: &Place) -> Command {
        place.command_of(Path::new("ip"), &format!("netns exec {}", self.both[host].name))
    }
}

/// Removes what a harness that was killed has left.
pub(crate) fn remove_leftovers() {
    let listed = ip(&["netns", "list"]).unwrap_or_default();
    for (name, pid) in listed.lines().filter_map(of_harness) {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            // Another harness may be removing it now.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Name and process id in a line of `ip netns list`, which may have the number of the namespace behind the name.
fn of_harness(line: &str) -> Option<(&str, u32)> {
    let name = line.split_whitespace().next()?;
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some((name, pid.parse().ok()?))
}

/// What a call of `ip` that succeeds prints.
fn ip(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("ip").args(words).output().context("cannot start `ip`")?;
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.lines().next().unwrap_or("no message");
    ensure!(output.status.success(), "`ip {}`: {message}", words.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::of_harness;

    #[test]
    fn only_namespaces_of_a_harness_are_removed() {
        assert_eq!(of_harness("ddpm-hosts-71-0-a (id: 3)"), Some(("ddpm-hosts-71-0-a", 71)));
        assert_eq!(of_harness("ddpm-hosts-71-probe"), Some(("ddpm-hosts-71-probe", 71)));
        assert_eq!(of_harness("ddpm-hosts-4194304-12-b"), Some(("ddpm-hosts-4194304-12-b", 4_194_304)));
        for other in
            ["", "71-0-a", "ddpm-hosts-", "ddpm-hosts-x-0-a", "ddpm-hosts-71", "my-ddpm-hosts-71-0-a"]
        {
            assert_eq!(of_harness(other), None, "{other}");
        }
    }
}
