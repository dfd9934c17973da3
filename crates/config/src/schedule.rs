//! The `[schedule]` group. A new run writes down every number ([`ScheduleConfig::settle`]); files of earlier versions may
//! lack some, which then are the usual ones of 1000 steps, whatever T is.

use schedule::{BetaSchedule, Schedule};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Kind of noise schedule and its parameters. What a user leaves out gets the kind's usual value for T.
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
    /// The kind with its parameters; absent ones are those of [`BetaSchedule::from_name`].
    ///
    /// # Errors
    /// [`ConfigError::ScheduleKind`] for an unknown one, [`ConfigError::StrayParameter`] for a parameter that
    /// it does not have.
    pub fn kind(&self) -> Result<BetaSchedule, ConfigError> {
        let kind = BetaSchedule::from_name(&self.kind);
        self.over(kind.map_err(|error| ConfigError::ScheduleKind { error })?)
    }

    /// Writes down the numbers that the user left out: the kind's usual ones for a chain of this length.
    ///
    /// # Errors
    /// Those of [`ScheduleConfig::kind`]; [`ConfigError::Schedule`] for a length that no chain has.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        self.kind()?;
        let usual = BetaSchedule::usual(&self.kind, self.steps);
        let kind = self.over(usual.map_err(|error| ConfigError::Schedule { error })?)?;
        self.write_down(&kind);
        Ok(())
    }

    /// Writes down the numbers that a file of an earlier version left out. A kind that there is not is left to
    /// [`ScheduleConfig::kind`].
    pub(crate) fn settle_as_read(&mut self) {
        if let Ok(kind) = self.kind() {
            self.write_down(&kind);
        }
    }

    fn write_down(&mut self, kind: &BetaSchedule) {
        match *kind {
            BetaSchedule::Linear { beta_start, beta_end }
            | BetaSchedule::ScaledLinear { beta_start, beta_end }
            | BetaSchedule::Sigmoid { beta_start, beta_end } => {
                (self.beta_start, self.beta_end) = (Some(beta_start), Some(beta_end));
            }
            BetaSchedule::Cosine { s, max_beta } => (self.s, self.max_beta) = (Some(s), Some(max_beta)),
            BetaSchedule::Constant { beta } => self.beta = Some(beta),
            // Refused by `over`.
            _ => {}
        }
    }

    /// A kind with the numbers that are given in place of its own.
    fn over(&self, mut kind: BetaSchedule) -> Result<BetaSchedule, ConfigError> {
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

    #[test]
    fn what_is_left_out_follows_the_length_and_what_is_given_stays() {
        let settled = |text: &str| {
            let mut config = toml::from_str::<ScheduleConfig>(text).unwrap();
            config.settle().map(|()| config)
        };
        let long = settled("kind = 'linear'\nsteps = 1000").unwrap();
        assert_eq!((long.beta_start, long.beta_end), (Some(1e-4), Some(0.02)));
        for kind in BetaSchedule::NAMES {
            for steps in [2, 10, 100, 1000, 4000] {
                let config = settled(&format!("kind = '{kind}'\nsteps = {steps}")).unwrap();
                let schedule = config.build().unwrap();
                assert!(schedule.ends_in_noise(), "{kind}, T = {steps}: {}", schedule.terminal_signal());
                // Every number is written down, so that reading it back needs no rule.
                let text = toml::to_string(&config).unwrap();
                assert_eq!(toml::from_str::<ScheduleConfig>(&text).unwrap().build().unwrap(), schedule);
            }
        }
        let given = settled("kind = 'linear'\nsteps = 100\nbeta_start = 1e-4\nbeta_end = 0.02").unwrap();
        assert!((given.build().unwrap().terminal_signal() - 0.364).abs() < 1e-3);
        assert!(settled("kind = 'cosine'\nsteps = 100\nbeta = 0.1").is_err());
        assert!(settled("kind = 'linear'\nsteps = 1").is_err());
    }

    #[test]
    fn files_that_left_numbers_out_mean_what_they_meant() {
        let mut config =
            toml::from_str::<ScheduleConfig>("kind = 'sigmoid'\nsteps = 100\nbeta_end = 0.03").unwrap();
        let before = config.build().unwrap();
        config.settle_as_read();
        assert_eq!((config.beta_start, config.beta_end), (Some(1e-4), Some(0.03)));
        assert_eq!(config.build().unwrap(), before);
    }
}
