//! The reverse process: the flags of every command that samples.

use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;

use sampler::{Method, SamplerConfig, Threshold, Times};
use schedule::Variance;
use trainer::TrainConfig;

use crate::config::{SampleConfig, alternatives};
use crate::failure::{bail_usage, usage};
use crate::model;

/// How to run the reverse process.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampler")]
pub(crate) struct SamplerArgs {
    #[arg(
        long,
        value_name = "NAME",
        help = format!("Solver: {} [default: ddpm; evaluate: dpmpp-2m; sample: the run's own]", alternatives(Method::NAMES)),
    )]
    pub(crate) sampler: Option<String>,
    /// Steps of the solver, 1 to T [default: all T for ddpm, 15 to 50 for the others]
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// Which t a shorter chain visits: leading, trailing, linspace, quadratic, karras or log-snr [default: trailing]
    #[arg(long, value_name = "NAME")]
    pub(crate) spacing: Option<String>,
    /// Visit these t instead, descending, such as 999,750.5,300
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with_all = ["steps", "spacing"])]
    pub(crate) timesteps: Vec<f64>,
    /// rho of --spacing karras [default: 7]
    #[arg(long, value_name = "X")]
    pub(crate) rho: Option<f64>,
    /// Let --spacing karras and log-snr use t between whole steps, at which the network was not trained
    #[arg(long)]
    pub(crate) between_steps: bool,
    /// Variance of ddpm's noise: fixed-small (the posterior's) or fixed-large (beta_t) [default: fixed-small]
    #[arg(long, value_name = "NAME")]
    pub(crate) sigma: Option<String>,
    /// Noise of ddim and euler-ancestral, from 0 to 1 (as much as ddpm) [default: 0 and 1]
    #[arg(long, value_name = "X")]
    pub(crate) eta: Option<f64>,
    /// Order of deis and of unipc's predictor, 1 to 3 [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) order: Option<usize>,
    /// Noise added along the chain by euler and heun, S_churn of Karras et al. 2022 [default: 0]
    #[arg(long, value_name = "X")]
    pub(crate) churn: Option<f64>,
    /// Keep the predicted x_0 in [-1, 1]: clip, dynamic (by each image's quantile) or off [default: clip]
    #[arg(long, value_name = "NAME")]
    pub(crate) threshold: Option<String>,
}

impl SamplerArgs {
    /// A solver by name, with defaults for everything else.
    pub(crate) fn named(sampler: &str, steps: usize) -> Self {
        Self {
            sampler: Some(sampler.to_owned()),
            steps: Some(steps),
            spacing: None,
            timesteps: Vec::new(),
            rho: None,
            between_steps: false,
            sigma: None,
            eta: None,
            order: None,
            churn: None,
            threshold: None,
        }
    }

    /// The solver's name.
    pub(crate) fn name(&self) -> &str {
        self.sampler.as_deref().unwrap_or("ddpm")
    }

    /// The same flags, with this solver if none was named.
    pub(crate) fn or(&self, sampler: &str, steps: usize) -> Self {
        if self.sampler.is_some() {
            return self.clone();
        }
        let steps = self.steps.or_else(|| self.timesteps.is_empty().then_some(steps));
        Self { sampler: Some(sampler.to_owned()), steps, ..self.clone() }
    }

    /// These flags with the solver and steps of the run's own sample grids, unless a solver was named or the model comes
    /// with preferred sampling settings.
    pub(crate) fn or_of_run(&self, sample: &SampleConfig) -> Self {
        // --sigma belongs to ddpm alone.
        if sample.preferred.is_some() || self.sigma.is_some() {
            return self.clone();
        }
        self.or(&sample.sampler, sample.steps)
    }

    /// The configuration for a network with this kind of output, not yet checked against a schedule.
    pub(crate) fn config(&self, train: &TrainConfig) -> anyhow::Result<SamplerConfig> {
        let method = self.method()?;
        let mut times = Times::from_str(self.spacing.as_deref().unwrap_or("trailing"))
            .map_err(|e| usage(anyhow!("--spacing: {e}")))?;
        match (&mut times, self.rho) {
            (Times::Karras { rho, .. }, Some(given)) => *rho = given,
            (_, Some(_)) => bail_usage!("--rho only applies to --spacing karras"),
            _ => {}
        }
        match &mut times {
            Times::Karras { whole, .. } | Times::LogSnr { whole } => *whole = !self.between_steps,
            _ if self.between_steps => {
                bail_usage!("--between-steps only applies to --spacing karras or log-snr")
            }
            _ => {}
        }
        if !self.timesteps.is_empty() {
            times = Times::Given(self.timesteps.clone());
        }
        let threshold = match self.threshold.as_deref().unwrap_or("clip") {
            "off" => Threshold::Off,
            "clip" => Threshold::Clip,
            "dynamic" => Threshold::DYNAMIC,
            other => bail_usage!("--threshold {other}: expected clip, dynamic or off"),
        };
        Ok(SamplerConfig { steps: self.steps, times, threshold, ..model::sampler_config(train, method) })
    }

    /// The settings besides the solver and its steps: `eta 1`, `threshold off`.
    pub(crate) fn settings(&self) -> Vec<String> {
        let Self {
            sampler: _,
            steps: _,
            spacing,
            timesteps,
            rho,
            between_steps,
            sigma,
            eta,
            order,
            churn,
            threshold,
        } = self;
        let words = [("spacing", spacing), ("sigma", sigma), ("threshold", threshold)];
        let numbers = [("rho", rho), ("eta", eta), ("churn", churn)];
        let mut said: Vec<String> =
            words.iter().filter_map(|(name, word)| Some(format!("{name} {}", word.as_ref()?))).collect();
        said.extend(numbers.iter().filter_map(|(name, number)| Some(format!("{name} {}", number.as_ref()?))));
        said.extend(order.map(|order| format!("order {order}")));
        said.extend(between_steps.then(|| "between steps".to_owned()));
        if !timesteps.is_empty() {
            let times: Vec<String> = timesteps.iter().map(f64::to_string).collect();
            said.push(format!("t {}", times.join(" ")));
        }
        said
    }

    /// Whether no flag is given except perhaps the number of steps. Then a network with preferred sampling settings uses
    /// those.
    pub(crate) fn leave_it_to_the_network(&self) -> bool {
        self.sampler.is_none() && self.settings().is_empty()
    }

    /// Checks that the flags fit together; the network may still refuse them.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.config(&TrainConfig::default()).map(drop)
    }

    /// The solver with its own parameters. Parameters of other solvers are refused.
    fn method(&self) -> anyhow::Result<Method> {
        let mut method = Method::from_str(self.name()).map_err(|e| usage(anyhow!("--sampler: {e}")))?;
        let mut known: &[&str] = &[];
        match &mut method {
            Method::Ddpm { variance } => {
                known = &["sigma"];
                if let Some(sigma) = &self.sigma {
                    *variance = Variance::from_str(sigma).map_err(|e| usage(anyhow!("--sigma: {e}")))?;
                }
            }
            Method::Ddim { eta } | Method::EulerAncestral { eta } => {
                known = &["eta"];
                *eta = self.eta.unwrap_or(*eta);
            }
            Method::UniPc(settings) => {
                known = &["order"];
                settings.order = self.order.unwrap_or(settings.order);
            }
            Method::Deis(settings) => {
                known = &["order"];
                settings.order = self.order.unwrap_or(settings.order);
            }
            Method::Euler { churn } | Method::Heun { churn } => {
                known = &["churn"];
                churn.amount = self.churn.unwrap_or(churn.amount);
            }
            _ => {}
        }
        let given = [
            ("sigma", self.sigma.is_some(), "ddpm"),
            ("eta", self.eta.is_some(), "ddim or euler-ancestral"),
            ("order", self.order.is_some(), "unipc or deis"),
            ("churn", self.churn.is_some(), "euler or heun"),
        ];
        for (flag, is_given, owner) in given {
            if is_given && !known.contains(&flag) {
                let own =
                    known.first().map(|flag| format!("; {} has --{flag}", self.name())).unwrap_or_default();
                bail_usage!("--{flag} only applies to --sampler {owner}{own}");
            }
        }
        Ok(method)
    }
}
