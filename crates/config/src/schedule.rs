//! The `[schedule]` group.

use schedule::{BetaSchedule, Schedule};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Kind of noise schedule and its parameters; absent ones are the kind's usual values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// linear, scaled-linear, cosine, sigmoid or constant.
    pub kind: String,
    /// T.
    pub steps: usize,
    /// First beta, of linear, scaled-linear and sigmoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// Last beta, of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_end: Option<f64>,
    /// The one beta of constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Offset of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s: Option<f64>,
    /// Largest beta of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_beta: Option<f64>,
}

impl ScheduleConfig {
    /// The kind with its parameters.
    ///
    /// # Errors
    /// [`ConfigError::ScheduleKind`] for an unknown one, [`ConfigError::StrayParameter`] for a parameter that
    /// it does not have.
    pub fn kind(&self) -> Result<BetaSchedule, ConfigError> {
        let kind = BetaSchedule::from_name(&self.kind);
        let mut kind = kind.map_err(|error| ConfigError::ScheduleKind { error })?;
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
            other => return Err(ConfigError::UnsupportedSchedule { kind: other.name().to_owned() }),
        }
        match unused.into_iter().find_map(|(field, value)| Some((field, value?))) {
            Some((field, got)) => {
                Err(ConfigError::StrayParameter { field, got, kind: kind.name().to_owned() })
            }
            None => Ok(kind),
        }
    }

    /// The tables.
    ///
    /// # Errors
    /// Those of [`ScheduleConfig::kind`], [`ConfigError::Schedule`].
    pub fn build(&self) -> Result<Schedule, ConfigError> {
        Schedule::new(&self.kind()?, self.steps).map_err(|error| ConfigError::Schedule { error })
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
