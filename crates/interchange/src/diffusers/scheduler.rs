//! Reads a scheduler configuration: the noise schedule the network was trained on, its output, and the preferred way of
//! sampling.

use std::path::Path;

use config::{Preferred, ScheduleConfig};
use schedule::Prediction;
use serde_json::Value;

use crate::error::InterchangeError;
use crate::keys::Keys;
use crate::parts::chain;

/// The settings of a scheduler.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler {
    /// The noise schedule.
    pub schedule: ScheduleConfig,
    /// What the network predicts.
    pub prediction: Prediction,
    /// Whether the network also predicts the variance.
    pub learned_variance: bool,
    /// The preferred way of sampling.
    pub preferred: Preferred,
}

/// Default sampling steps of pipelines whose scheduler needs few.
const FEW: usize = 50;

const SPACINGS: [(&str, &str); 3] =
    [("leading", "leading"), ("trailing", "trailing"), ("linspace", "linspace")];
const ENDS: [(&str, bool); 2] = [("zero", false), ("sigma_min", true)];

/// The supported schedulers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ddpm,
    Ddim,
    Pndm,
    DpmSolver,
    UniPc,
    Euler,
    EulerAncestral,
    Heun,
    Deis,
}

const KINDS: [(&str, Kind); 9] = [
    ("DDPMScheduler", Kind::Ddpm),
    ("DDIMScheduler", Kind::Ddim),
    ("PNDMScheduler", Kind::Pndm),
    ("DPMSolverMultistepScheduler", Kind::DpmSolver),
    ("UniPCMultistepScheduler", Kind::UniPc),
    ("EulerDiscreteScheduler", Kind::Euler),
    ("EulerAncestralDiscreteScheduler", Kind::EulerAncestral),
    ("HeunDiscreteScheduler", Kind::Heun),
    ("DEISMultistepScheduler", Kind::Deis),
];

impl Kind {
    /// Multistep solvers in half the log signal-to-noise ratio.
    fn is_multistep(self) -> bool {
        matches!(self, Self::DpmSolver | Self::UniPc | Self::Deis)
    }

    /// Solvers in sigma / alpha.
    fn is_on_sigmas(self) -> bool {
        matches!(self, Self::Euler | Self::EulerAncestral | Self::Heun)
    }
}

/// Parses the bytes of a `scheduler_config.json` at `path`.
///
/// # Errors
/// An error that names the file and, if there is one, the key and its value.
pub fn parse_scheduler(path: &Path, bytes: &[u8]) -> Result<Scheduler, InterchangeError> {
    scheduler(Keys::parse(path, bytes.to_vec())?)
}

/// The scheduler that `scheduler_config.json` describes.
pub(crate) fn scheduler(mut read: Keys) -> Result<Scheduler, InterchangeError> {
    let keys = &mut read;
    let kind = keys.choice("_class_name", "DDPMScheduler", &KINDS)?;
    let schedule = schedule(keys, kind)?;
    let prediction = prediction(keys, kind)?;
    let spacing = spacing(keys, kind)?;
    let mut preferred = Preferred {
        sampler: String::new(),
        steps: if kind == Kind::Ddpm { schedule.steps } else { FEW.min(schedule.steps) },
        spacing: spacing.to_owned(),
        warp: warp(keys, kind, spacing)?,
        steps_offset: steps_offset(keys, spacing)?,
        ends_at_first_step: false,
        threshold: threshold(keys, kind)?.to_owned(),
        keeps_eps: kind == Kind::Ddim,
        // With `leading` the library starts from N(0, 1), signal and noise together.
        scales_start: kind.is_on_sigmas() && spacing != "leading",
        sigma: None,
        eta: None,
        order: None,
    };
    let learned_variance = solver(keys, kind, &mut preferred)?;
    read.finish()?;
    Ok(Scheduler { schedule, prediction, learned_variance, preferred })
}

fn prediction(keys: &mut Keys, kind: Kind) -> Result<Prediction, InterchangeError> {
    let all = [("epsilon", Prediction::Eps), ("sample", Prediction::X0), ("v_prediction", Prediction::V)];
    // PNDM extrapolates the network's output, which has to be eps.
    let known = if kind == Kind::Pndm { &all[..1] } else { &all[..] };
    keys.choice("prediction_type", "epsilon", known)
}

fn spacing(keys: &mut Keys, kind: Kind) -> Result<&'static str, InterchangeError> {
    let default = if kind.is_multistep() || kind.is_on_sigmas() { "linspace" } else { "leading" };
    // Where the gaps are uneven, the library's DDIM and PNDM step to other t than those at which they call the network.
    let known = if matches!(kind, Kind::Ddim | Kind::Pndm) { &SPACINGS[..2] } else { &SPACINGS[..] };
    keys.choice("timestep_spacing", default, known)
}

/// Added to t for `leading` only; the other spacings end at the last step as they are.
fn steps_offset(keys: &mut Keys, spacing: &str) -> Result<usize, InterchangeError> {
    let offset = keys.count_or("steps_offset", 0)?;
    Ok(if spacing == "leading" { offset } else { 0 })
}

fn schedule(keys: &mut Keys, kind: Kind) -> Result<ScheduleConfig, InterchangeError> {
    let heun = kind == Kind::Heun;
    let steps = keys.count_or("num_train_timesteps", 1000)?;
    let start = keys.number_or("beta_start", if heun { 0.00085 } else { 0.0001 })?;
    let end = keys.number_or("beta_end", if heun { 0.012 } else { 0.02 })?;
    let kinds = [
        ("linear", "linear"),
        ("scaled_linear", "scaled-linear"),
        ("squaredcos_cap_v2", "cosine"),
        ("sigmoid", "sigmoid"),
    ];
    let name = keys.choice("beta_schedule", "linear", &kinds)?;
    if let Some(betas) = keys.take("trained_betas") {
        return keys.refuse("trained_betas", &betas, "null: only the betas of beta_schedule are supported");
    }
    let ends = (name != "cosine").then_some((start, end));
    let zero_terminal_snr = keys.bool_or("rescale_betas_zero_snr", false)?;
    chain(keys.path(), name, steps, ends, zero_terminal_snr)
}

/// The spacing by noise level, if there is one instead of spacing by t.
fn warp(keys: &mut Keys, kind: Kind, spacing: &str) -> Result<Option<String>, InterchangeError> {
    keys.only("use_beta_sigmas", false)?;
    keys.only("use_flow_sigmas", false)?;
    keys.only("use_dynamic_shifting", false)?;
    keys.ignore("flow_shift");
    keys.ignore("time_shift_type");
    let mut found = None;
    for (key, warp) in
        [("use_karras_sigmas", "karras"), ("use_exponential_sigmas", "exponential"), ("use_lu_lambdas", "lu")]
    {
        if !keys.bool_or(key, false)? {
            continue;
        }
        // Their end points belong to a list of t that this program does not produce.
        if !kind.is_multistep() && spacing != "linspace" {
            return keys.refuse(key, &Value::from(true), "false, or timestep_spacing = linspace");
        }
        found = Some(warp.to_owned());
    }
    Ok(found)
}

fn threshold(keys: &mut Keys, kind: Kind) -> Result<&'static str, InterchangeError> {
    let clips = matches!(kind, Kind::Ddpm | Kind::Ddim);
    let clip = keys.bool_or("clip_sample", clips)?;
    let dynamic = keys.bool_or("thresholding", false)?;
    if clip && !dynamic {
        keys.only("clip_sample_range", 1.0)?;
    } else {
        keys.ignore("clip_sample_range");
    }
    if dynamic {
        keys.only("dynamic_thresholding_ratio", 0.995)?;
        return match keys.take("sample_max_value") {
            None => keys.refuse(
                "sample_max_value",
                &Value::from(1.0),
                "a number above any pixel value, such as 1e9",
            ),
            Some(value) if value.as_f64().is_some_and(|most| most >= 1e3) => Ok("dynamic"),
            Some(value) if value.as_f64() == Some(1.0) => Ok("clip"),
            Some(value) => keys.refuse("sample_max_value", &value, "1, or at least 1000"),
        };
    }
    keys.ignore("dynamic_thresholding_ratio");
    keys.ignore("sample_max_value");
    Ok(if clip { "clip" } else { "off" })
}

/// Reads the solver's own keys. Returns whether the network also predicts the variance.
fn solver(keys: &mut Keys, kind: Kind, preferred: &mut Preferred) -> Result<bool, InterchangeError> {
    let mut learned = false;
    preferred.sampler = match kind {
        Kind::Ddpm => {
            let variances = [
                ("fixed_small", Some("fixed-small")),
                ("fixed_large", Some("fixed-large")),
                ("learned_range", None),
            ];
            let sigma = keys.choice("variance_type", "fixed_small", &variances)?;
            learned = sigma.is_none();
            preferred.sigma = sigma.map(str::to_owned);
            if learned { "ddpm-learned" } else { "ddpm" }
        }
        Kind::Ddim => {
            preferred.eta = Some(0.0);
            preferred.ends_at_first_step = !keys.bool_or("set_alpha_to_one", true)?;
            "ddim"
        }
        Kind::Pndm => {
            preferred.ends_at_first_step = !keys.bool_or("set_alpha_to_one", false)?;
            if keys.bool_or("skip_prk_steps", false)? { "plms" } else { "pndm" }
        }
        Kind::DpmSolver => dpm_solver(keys, preferred)?,
        Kind::UniPc => {
            preferred.order = Some(keys.count_or("solver_order", 2)?);
            preferred.ends_at_first_step = keys.choice("final_sigmas_type", "zero", &ENDS)?;
            keys.only("predict_x0", true)?;
            keys.only("solver_type", "bh2")?;
            keys.only("lower_order_final", true)?;
            keys.only("disable_corrector", Vec::<Value>::new())?;
            "unipc"
        }
        Kind::Deis => {
            preferred.order = Some(keys.count_or("solver_order", 2)?);
            preferred.ends_at_first_step = true;
            keys.only("algorithm_type", "deis")?;
            keys.only("solver_type", "logrho")?;
            keys.only("lower_order_final", true)?;
            "deis"
        }
        Kind::Euler => {
            keys.only("interpolation_type", "linear")?;
            keys.only("timestep_type", "discrete")?;
            keys.only("final_sigmas_type", "zero")?;
            "euler"
        }
        Kind::EulerAncestral => {
            preferred.eta = Some(1.0);
            "euler-ancestral"
        }
        Kind::Heun => "heun",
    }
    .to_owned();
    Ok(learned)
}

fn dpm_solver(keys: &mut Keys, preferred: &mut Preferred) -> Result<&'static str, InterchangeError> {
    let algorithms = [("dpmsolver++", false), ("sde-dpmsolver++", true)];
    let noisy = keys.choice("algorithm_type", "dpmsolver++", &algorithms)?;
    let order = keys.count_or("solver_order", 2)?;
    keys.only("solver_type", "midpoint")?;
    keys.only("lower_order_final", true)?;
    keys.only("euler_at_final", false)?;
    keys.only("lambda_min_clipped", "-Infinity")?;
    let variances = [("", ()), ("fixed_small", ()), ("fixed_large", ())];
    keys.choice("variance_type", "", &variances)?;
    preferred.ends_at_first_step = keys.choice("final_sigmas_type", "zero", &ENDS)?;
    match (noisy, order) {
        (false, 1) => Ok("dpmpp-1"),
        (false, 2) => Ok("dpmpp-2m"),
        (false, 3) => Ok("dpmpp-3m"),
        (true, 2) => Ok("dpmpp-2m-sde"),
        _ => keys.refuse("solver_order", &Value::from(order), if noisy { "2" } else { "1, 2 or 3" }),
    }
}
