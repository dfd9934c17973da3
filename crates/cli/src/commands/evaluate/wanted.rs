//! Which metrics are requested.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::config::nearest;
use crate::failure::{bail_usage, usage};

/// A group of metrics that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// Frechet distance.
    Fd,
    /// Kernel distance.
    Kd,
    /// Precision, recall, density, coverage.
    Prdc,
    /// Inception score.
    Is,
    /// Sliced Wasserstein distance.
    Swd,
    /// Whether samples repeat training images.
    Copying,
    /// The variational bound.
    Bpd,
    /// Likelihood by the probability-flow ODE.
    Ode,
}

impl Wanted {
    /// Every group with its name.
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("fd", Self::Fd),
        ("kd", Self::Kd),
        ("prdc", Self::Prdc),
        ("is", Self::Is),
        ("swd", Self::Swd),
        ("copying", Self::Copying),
        ("bpd", Self::Bpd),
        ("ode", Self::Ode),
    ];

    /// Whether it compares image features.
    pub(crate) fn needs_features(self) -> bool {
        matches!(self, Self::Fd | Self::Kd | Self::Prdc | Self::Is | Self::Swd)
    }

    /// Whether it uses the network instead of samples.
    pub(crate) fn needs_network(self) -> bool {
        matches!(self, Self::Bpd | Self::Ode)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, wanted)| *wanted == self).map_or("", |(name, _)| name)
    }
}

/// Metrics of the group `prdc`; their names select it too.
const OF_PRDC: [&str; 4] = ["precision", "recall", "density", "coverage"];

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        let names = Self::ALL.map(|(name, _)| name);
        match Self::ALL.iter().find(|(name, _)| *name == word) {
            Some((_, wanted)) => Ok(*wanted),
            None if OF_PRDC.contains(&word) => Ok(Self::Prdc),
            None if word.is_empty() => bail_usage!("--metrics: a name is missing between two commas"),
            None => {
                let near =
                    nearest(word, names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                bail_usage!(
                    "--metrics {word}: expected any of {}, separated by commas{near}",
                    names.join(", ")
                )
            }
        }
    }
}

/// The metrics of a list; those of `default` if it is empty.
pub(crate) fn parse(list: &[String], default: &[Wanted]) -> anyhow::Result<BTreeSet<Wanted>> {
    let named: BTreeSet<Wanted> = list.iter().map(|word| word.parse()).collect::<anyhow::Result<_>>()?;
    if list.is_empty() { Ok(default.iter().copied().collect()) } else { Ok(named) }
}

/// Refuses metrics that need a network, for images without one.
pub(crate) fn check_without_network(wanted: &BTreeSet<Wanted>) -> anyhow::Result<()> {
    match wanted.iter().find(|wanted| wanted.needs_network()) {
        Some(wanted) => Err(usage(anyhow::anyhow!(
            "--metrics {}: needs the network; --images has none, use --run or --model",
            wanted.name()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_slips_get_advice() {
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let got = parse(&list("kd,fd,fd"), &[]).unwrap();
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [Wanted::Fd, Wanted::Kd]);
        assert_eq!(parse(&list("recall,prdc"), &[]).unwrap().len(), 1);
        assert_eq!(parse(&[], &[Wanted::Is]).unwrap().len(), 1);
        let error = parse(&list("fd,prcd"), &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("--metrics prcd: expected any of fd, kd")
                && error.ends_with("did you mean prdc?"),
            "{error}"
        );
        for (name, wanted) in Wanted::ALL {
            assert_eq!(wanted.name(), name);
        }
    }
}
