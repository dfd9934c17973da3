//! The `[schedule]` group: the path from data to noise. A new run stores every number ([`ScheduleConfig::settle`]).
//! Files of earlier versions may lack some; these get their defaults for 1000 steps, whatever T is.

use schedule::{BetaSchedule, Continuous, ContinuousPath, NoisePath, Schedule, ScheduleError};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Kind of noise schedule and its parameters. Parameters that the user omits get the kind's default for T.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// One of [`ScheduleConfig::KINDS`].
    pub kind: String,
    /// T: the steps of a chain, or the units in which a continuous path counts time.
    pub steps: usize,
    /// First beta; for linear, scaled-linear and sigmoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// Last beta; for the same kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_end: Option<f64>,
    /// The single beta of constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Offset of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s: Option<f64>,
    /// Largest beta of cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_beta: Option<f64>,
    /// Smallest sigma of edm, at t = 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_min: Option<f64>,
    /// Largest sigma of edm, at t = T - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_max: Option<f64>,
    /// Whether the betas of a chain are rescaled so that its last step has no signal left (Lin et al. 2024, Sec. 3.1),
    /// for networks that predict v or x_0.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zero_terminal_snr: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A path before its length is known.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Chain(BetaSchedule),
    Continuous(Continuous),
}

impl Kind {
    /// The default path of a name, for a chain of `steps` steps, or 1000 if `steps` is `None`.
    fn usual(name: &str, steps: Option<usize>) -> Result<Self, ScheduleError> {
        if let Ok(kind) = name.parse() {
            return Ok(Self::Continuous(kind));
        }
        let chain = match steps {
            Some(steps) => BetaSchedule::usual(name, steps),
            None => BetaSchedule::from_name(name),
        };
        match chain {
            Ok(kind) => Ok(Self::Chain(kind)),
            Err(ScheduleError::UnknownName { got, .. }) => Err(ScheduleError::UnknownName {
                what: "noise schedule",
                got,
                expected: ScheduleConfig::KINDS,
            }),
            Err(other) => Err(other),
        }
    }

    /// Its parameters, by their names in the configuration.
    fn parameters(&mut self) -> Vec<(&'static str, &mut f64)> {
        match self {
            Self::Chain(
                BetaSchedule::Linear { beta_start, beta_end }
                | BetaSchedule::ScaledLinear { beta_start, beta_end }
                | BetaSchedule::Sigmoid { beta_start, beta_end },
            ) => vec![("beta_start", beta_start), ("beta_end", beta_end)],
            Self::Chain(BetaSchedule::Cosine { s, max_beta }) => vec![("s", s), ("max_beta", max_beta)],
            Self::Chain(BetaSchedule::Constant { beta }) => vec![("beta", beta)],
            Self::Continuous(Continuous::Edm { sigma_min, sigma_max }) => {
                vec![("sigma_min", sigma_min), ("sigma_max", sigma_max)]
            }
            Self::Chain(_) | Self::Continuous(_) => Vec::new(),
        }
    }
}

impl ScheduleConfig {
    /// The names of all paths: chains of betas, and continuous paths.
    pub const KINDS: &[&str] =
        &["linear", "scaled-linear", "cosine", "sigmoid", "constant", "cosine-continuous", "edm", "straight"];

    /// Fills in the numbers that the user omitted, with the kind's defaults for a chain of this length.
    ///
    /// # Errors
    /// [`ConfigError::ScheduleKind`] for an unknown kind; [`ConfigError::StrayParameter`] for a parameter of another
    /// kind; [`ConfigError::Schedule`] for an impossible chain length.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        self.kind()?;
        let usual = Kind::usual(&self.kind, Some(self.steps));
        let kind = self.over(usual.map_err(|error| ConfigError::Schedule { error })?)?;
        self.write_down(kind);
        Ok(())
    }

    /// Fills in the numbers that a file of an earlier version omits. An unknown kind is left for
    /// [`ScheduleConfig::path`] to report.
    pub(crate) fn settle_as_read(&mut self) {
        if let Ok(kind) = self.kind() {
            self.write_down(kind);
        }
    }

    fn kind(&self) -> Result<Kind, ConfigError> {
        self.over(Kind::usual(&self.kind, None).map_err(|error| ConfigError::ScheduleKind { error })?)
    }

    fn write_down(&mut self, mut kind: Kind) {
        for (name, value) in kind.parameters() {
            if let Some((_, slot)) = self.slots().into_iter().find(|slot| slot.0 == name) {
                *slot = Some(*value);
            }
        }
    }

    /// The parameters of all kinds.
    fn slots(&mut self) -> [(&'static str, &mut Option<f64>); 7] {
        [
            ("beta_start", &mut self.beta_start),
            ("beta_end", &mut self.beta_end),
            ("beta", &mut self.beta),
            ("s", &mut self.s),
            ("max_beta", &mut self.max_beta),
            ("sigma_min", &mut self.sigma_min),
            ("sigma_max", &mut self.sigma_max),
        ]
    }

    /// Replaces a kind's parameters with those that are given.
    fn over(&self, mut kind: Kind) -> Result<Kind, ConfigError> {
        let stray = |field, got| Err(ConfigError::StrayParameter { field, got, kind: self.kind.clone() });
        for (field, given) in self.clone().slots() {
            let Some(got) = *given else { continue };
            match kind.parameters().into_iter().find(|parameter| parameter.0 == field) {
                Some((_, slot)) => *slot = got,
                None => return stray(field, got.to_string()),
            }
        }
        if self.zero_terminal_snr && matches!(kind, Kind::Continuous(_)) {
            return stray("zero_terminal_snr", "true".to_owned());
        }
        Ok(kind)
    }

    /// Builds the path.
    ///
    /// # Errors
    /// As for [`ScheduleConfig::settle`]; [`ConfigError::Schedule`] for invalid parameters.
    pub fn path(&self) -> Result<Box<dyn NoisePath>, ConfigError> {
        match self.kind()? {
            Kind::Chain(kind) => Ok(Box::new(self.chain_of(kind)?)),
            Kind::Continuous(kind) => match ContinuousPath::new(kind, self.steps) {
                Ok(path) => Ok(Box::new(path)),
                Err(error) => Err(ConfigError::Schedule { error }),
            },
        }
    }

    /// The tables of the chain, or of a continuous path at whole t.
    ///
    /// # Errors
    /// As for [`ScheduleConfig::path`].
    pub fn tables(&self) -> Result<Schedule, ConfigError> {
        match self.kind()? {
            Kind::Chain(kind) => self.chain_of(kind),
            Kind::Continuous(_) => {
                Schedule::of_path(&*self.path()?).map_err(|error| ConfigError::Schedule { error })
            }
        }
    }

    fn chain_of(&self, kind: BetaSchedule) -> Result<Schedule, ConfigError> {
        let chain = Schedule::new(&kind, self.steps);
        let chain =
            chain.and_then(
                |chain| if self.zero_terminal_snr { chain.with_zero_terminal_snr() } else { Ok(chain) },
            );
        chain.map_err(|error| ConfigError::Schedule { error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_apply_to_their_kind_only() {
        let config = |text: &str| toml::from_str::<ScheduleConfig>(text).unwrap();
        let linear = config("kind = 'linear'\nsteps = 10\nbeta_end = 0.5").tables().unwrap();
        assert_eq!((linear.betas()[0], linear.betas()[9]), (1e-4, 0.5));
        let cosine = config("kind = 'cosine'\nsteps = 10\nmax_beta = 0.9").tables().unwrap();
        assert!((cosine.betas()[9] - 0.9).abs() < 1e-12);
        let stray = config("kind = 'cosine'\nsteps = 10\nbeta_end = 0.9").path().unwrap_err();
        assert!(stray.to_string().contains("schedule.beta_end"), "{stray}");
        assert!(config("kind = 'lineal'\nsteps = 10").path().is_err());
        assert!(config("kind = 'linear'\nsteps = 1").path().is_err());
    }

    #[test]
    fn defaults_follow_the_length_and_given_values_stay() {
        let settled = |text: &str| {
            let mut config = toml::from_str::<ScheduleConfig>(text).unwrap();
            config.settle().map(|()| config)
        };
        let long = settled("kind = 'linear'\nsteps = 1000").unwrap();
        assert_eq!((long.beta_start, long.beta_end), (Some(1e-4), Some(0.02)));
        let known: Vec<&str> = BetaSchedule::NAMES.iter().chain(Continuous::NAMES).copied().collect();
        assert_eq!(known, ScheduleConfig::KINDS);
        for kind in BetaSchedule::NAMES {
            for steps in [2, 10, 100, 1000, 4000] {
                let config = settled(&format!("kind = '{kind}'\nsteps = {steps}")).unwrap();
                let schedule = config.tables().unwrap();
                assert!(schedule.ends_in_noise(), "{kind}, T = {steps}: {}", schedule.terminal_signal());
                // Every number is stored, so that reading it back needs no defaults.
                let text = toml::to_string(&config).unwrap();
                assert_eq!(toml::from_str::<ScheduleConfig>(&text).unwrap().tables().unwrap(), schedule);
            }
        }
        let given = settled("kind = 'linear'\nsteps = 100\nbeta_start = 1e-4\nbeta_end = 0.02").unwrap();
        assert!((given.tables().unwrap().terminal_signal() - 0.364).abs() < 1e-3);
        assert!(settled("kind = 'cosine'\nsteps = 100\nbeta = 0.1").is_err());
        assert!(settled("kind = 'linear'\nsteps = 1").is_err());
    }

    #[test]
    fn old_files_without_numbers_keep_their_meaning() {
        let mut config =
            toml::from_str::<ScheduleConfig>("kind = 'sigmoid'\nsteps = 100\nbeta_end = 0.03").unwrap();
        let before = config.tables().unwrap();
        config.settle_as_read();
        assert_eq!((config.beta_start, config.beta_end), (Some(1e-4), Some(0.03)));
        assert_eq!(config.tables().unwrap(), before);
    }
}
