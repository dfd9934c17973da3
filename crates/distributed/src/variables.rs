//! Environment variables and their values.

use std::str::FromStr;

use crate::error::DistributedError;

/// Seconds that a rank waits for the others.
pub const TIMEOUT: &str = "DDPM_RANK_TIMEOUT";
/// How tensors travel: `auto`, `gloo` or `nccl`.
pub const TRANSPORT: &str = "DDPM_TRANSPORT";
/// The type in which gradients are summed, for the program to read.
pub const REDUCE: &str = "DDPM_REDUCE";
/// Whether the ranks divide the state of the optimiser, for the program to read.
pub const SHARD_STATE: &str = "DDPM_SHARD_STATE";

/// The network interface by which the others reach this rank.
pub(crate) const INTERFACE: &str = "GLOO_SOCKET_IFNAME";

/// Reads variables; a closure, so that tests need not change those of the process.
pub(crate) struct Variables<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// The text of a variable; an empty one counts as not set.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A number in a range.
    pub(crate) fn number<T>(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, DistributedError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(DistributedError::Value { name, got: text, expected })
            }
        }
    }
}
