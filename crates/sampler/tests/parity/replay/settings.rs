//! The arguments of the peer's schedulers, and their equivalents in this project.

use anyhow::{Result, ensure};
use schedule::{BetaSchedule, Prediction, Schedule, Spacing};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Every argument that a scheduler has, under the peer's names. Unknown arguments are refused, so none is overlooked;
/// those that a scheduler lacks count as off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    // The chain that the network was trained on.
    pub(crate) num_train_timesteps: usize,
    beta_start: f64,
    beta_end: f64,
    beta_schedule: Betas,
    #[serde(default)]
    rescale_betas_zero_snr: bool,
    prediction_type: Predicted,

    // The levels of the shorter chain.
    timestep_spacing: Spaced,
    pub(crate) steps_offset: usize,
    #[serde(default)]
    pub(crate) use_karras_sigmas: bool,
    #[serde(default)]
    pub(crate) use_exponential_sigmas: bool,
    #[serde(default)]
    pub(crate) use_lu_lambdas: bool,
    pub(crate) final_sigmas_type: Option<FinalSigma>,
    pub(crate) set_alpha_to_one: Option<bool>,
    interpolation_type: Option<String>,
    timestep_type: Option<String>,

    // The predicted image.
    #[serde(default)]
    pub(crate) clip_sample: bool,
    clip_sample_range: Option<f64>,
    #[serde(default)]
    pub(crate) thresholding: bool,
    #[serde(default)]
    pub(crate) dynamic_thresholding_ratio: f64,
    #[serde(default)]
    pub(crate) sample_max_value: f64,
    #[serde(default)]
    pub(crate) use_clipped_model_output: bool,

    // The solver.
    pub(crate) variance_type: Option<VarianceType>,
    #[serde(default)]
    pub(crate) eta: f64,
    #[serde(default)]
    pub(crate) solver_order: usize,
    pub(crate) algorithm_type: Option<Algorithm>,
    pub(crate) solver_type: Option<SolverType>,
    #[serde(default)]
    pub(crate) lower_order_final: bool,
    #[serde(default)]
    pub(crate) euler_at_final: bool,
    predict_x0: Option<bool>,
    #[serde(default)]
    pub(crate) disable_corrector: Vec<usize>,
    #[serde(default)]
    pub(crate) skip_prk_steps: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Betas {
    Linear,
    ScaledLinear,
    #[serde(rename = "squaredcos_cap_v2")]
    Cosine,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Predicted {
    Epsilon,
    Sample,
    VPrediction,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spaced {
    Leading,
    Trailing,
    Linspace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinalSigma {
    Zero,
    SigmaMin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VarianceType {
    FixedSmall,
    FixedLarge,
    LearnedRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "dpmsolver++")]
    DpmSolver,
    #[serde(rename = "sde-dpmsolver++")]
    SdeDpmSolver,
    #[serde(rename = "deis")]
    Deis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SolverType {
    Midpoint,
    Heun,
    Bh1,
    Bh2,
    Logrho,
}

impl Settings {
    /// Reads all arguments, including the defaults.
    pub(crate) fn new(arguments: Map<String, Value>) -> Result<Self> {
        let settings: Self = serde_json::from_value(Value::Object(arguments))?;
        let only = |what: &str, found: &Option<String>, expected: &str| {
            let found = found.as_deref().unwrap_or(expected);
            ensure!(found == expected, "{what}: expected {expected}, the only one replayed, found {found}");
            Ok(())
        };
        only("interpolation_type", &settings.interpolation_type, "linear")?;
        only("timestep_type", &settings.timestep_type, "discrete")?;
        let range = settings.clip_sample_range.unwrap_or(1.0);
        ensure!(range == 1.0, "clip_sample_range: expected 1, the range of images, found {range}");
        ensure!(settings.predict_x0 != Some(false), "predict_x0: expected true, found false");
        Ok(settings)
    }

    /// The chain, in f64.
    pub(crate) fn schedule(&self) -> Result<Schedule> {
        let Self { beta_start, beta_end, .. } = *self;
        let kind = match self.beta_schedule {
            Betas::Linear => BetaSchedule::Linear { beta_start, beta_end },
            Betas::ScaledLinear => BetaSchedule::ScaledLinear { beta_start, beta_end },
            Betas::Cosine => BetaSchedule::from_name("cosine")?,
        };
        let schedule = Schedule::new(&kind, self.num_train_timesteps)?;
        Ok(if self.rescale_betas_zero_snr { schedule.with_zero_terminal_snr()? } else { schedule })
    }

    pub(crate) fn prediction(&self) -> Prediction {
        match self.prediction_type {
            Predicted::Epsilon => Prediction::Eps,
            Predicted::Sample => Prediction::X0,
            Predicted::VPrediction => Prediction::V,
        }
    }

    pub(crate) fn spacing(&self) -> Spacing {
        match self.timestep_spacing {
            Spaced::Leading => Spacing::Leading,
            Spaced::Trailing => Spacing::Trailing,
            Spaced::Linspace => Spacing::Linspace,
        }
    }

    /// Whether the network's output has a second half of channels, for the variances.
    pub(crate) fn learns_variance(&self) -> bool {
        self.variance_type == Some(VarianceType::LearnedRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(changes: &str) -> Result<Settings> {
        let all = r#"{"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear",
            "prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 0}"#;
        let mut arguments: Map<String, Value> = serde_json::from_str(all)?;
        arguments.extend(serde_json::from_str::<Map<_, _>>(changes)?);
        Settings::new(arguments)
    }

    #[test]
    fn what_is_not_replayed_is_refused() {
        let known =
            [r#"{}"#, r#"{"clip_sample_range": 1.0, "predict_x0": true, "timestep_type": "discrete"}"#];
        for changes in known {
            of(changes).unwrap();
        }
        for changes in [
            r#"{"use_beta_sigmas": true}"#,
            r#"{"beta_schedule": "sigmoid"}"#,
            r#"{"prediction_type": "flow_prediction"}"#,
            r#"{"clip_sample_range": 2.0}"#,
            r#"{"predict_x0": false}"#,
            r#"{"interpolation_type": "log_linear"}"#,
            r#"{"timestep_type": "continuous"}"#,
        ] {
            assert!(of(changes).is_err(), "{changes}");
        }
    }
}
