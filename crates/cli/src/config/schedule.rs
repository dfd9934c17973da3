//! The `[schedule]` group.

use anyhow::anyhow;
use schedule::{BetaSchedule, Schedule};
use serde::{Deserialize, Serialize};

use crate::failure::{bail_usage, usage};

/// Kind of noise schedule and its parameters; absent ones are the kind's usual values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleConfig {
    /// linear, scaled-linear, cosine, sigmoid or constant.
    pub(crate) kind: String,
    /// T.
    pub(crate) steps: usize,
    /// First beta, of linear, scaled-linear and sigmoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beta_start: Option<f64>,
    /// Last beta, of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beta_end: Option<f64>,
    /// The one beta of constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beta: Option<f64>,
    /// Offset of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) s: Option<f64>,
    /// Largest beta of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_beta: Option<f64>,
}

impl ScheduleConfig {
    /// The kind with its parameters.
    pub(crate) fn kind(&self) -> anyhow::Result<BetaSchedule> {
        let mut kind =
            BetaSchedule::from_name(&self.kind).map_err(|e| usage(anyhow!("schedule.kind: {e}")))?;
        let mut unused = [
            ("beta_start", self.beta_start),
            ("beta_end", self.beta_end),
            ("beta", self.beta),
            ("s", self.s),
            ("max_beta", self.max_beta),
        ];
        let mut take = |name: &str, slot: &mut f64| {
            if let Some(entry) = unused.iter_mut().find(|entry| entry.0 == name)
                && let Some(value) = entry.1.take()
            {
                *slot = value;
            }
        };
        match &mut kind {
            BetaSchedule::Linear { beta_start, beta_end }
            | BetaSchedule::ScaledLinear { beta_start, beta_end }
            | BetaSchedule::Sigmoid { beta_start, beta_end } => {
                take("beta_start", beta_start);
                take("beta_end", beta_end);
            }
            BetaSchedule::Cosine { s, max_beta } => {
                take("s", s);
                take("max_beta", max_beta);
            }
            BetaSchedule::Constant { beta } => take("beta", beta),
            other => bail_usage!("schedule.kind {}: not supported by this program yet", other.name()),
        }
        if let Some((name, Some(value))) = unused.iter().find(|entry| entry.1.is_some()) {
            bail_usage!("schedule.{name} = {value}: a {} schedule has no such parameter", self.kind);
        }
        Ok(kind)
    }

    /// The tables.
    pub(crate) fn build(&self) -> anyhow::Result<Schedule> {
        Schedule::new(&self.kind()?, self.steps).map_err(|e| usage(anyhow!("schedule: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_reach_their_kind_and_no_other() {
        let config = |text: &str| toml::from_str::<ScheduleConfig>(text).unwrap();
        let linear = config("kind = 'linear'\nsteps = 10\nbeta_end = 0.5").build().unwrap();
        assert_eq!((linear.betas()[0], linear.betas()[9]), (1e-4, 0.5));
        let cosine = config("kind = 'cosine'\nsteps = 10\nmax_beta = 0.9").build().unwrap();
        assert!((cosine.betas()[9] - 0.9).abs() < 1e-12);
        let stray = config("kind = 'cosine'\nsteps = 10\nbeta_end = 0.9").build().unwrap_err();
        assert!(stray.to_string().contains("schedule.beta_end"), "{stray}");
        assert!(config("kind = 'lineal'\nsteps = 10").build().is_err());
        assert!(config("kind = 'linear'\nsteps = 1").build().is_err());
    }
}
