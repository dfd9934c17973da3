//! From the peer's settings to our sampler: which solver, which levels.
//!
//! Levels and times are ours, from f64 tables, wherever they mean the same in the peer.

use anyhow::{Result, ensure};
use sampler::{End, Grid, Level, Sampler, SamplerConfig, Threshold, Times};
use schedule::{Schedule, Spacing, timesteps};

use super::goldens::{Record, Run, Scheduler};
use super::method::method;
use super::settings::{FinalSigma, Settings};

/// Our sampler for a run of the peer.
pub(crate) fn sampler(run: &Run, schedule: &Schedule) -> Result<Sampler> {
    let Run { record, settings, .. } = run;
    let mut config = SamplerConfig {
        steps: Some(record.steps),
        end: end(record.scheduler, settings),
        threshold: threshold(settings),
        keeps_eps: record.scheduler == Scheduler::Ddim && !settings.use_clipped_model_output,
        prediction: settings.prediction(),
        ..SamplerConfig::new(method(run)?)
    };
    match levels(run, schedule)? {
        Levels::Times(times) => {
            config.times = times;
            Ok(Sampler::new(schedule, &config)?)
        }
        Levels::Each(levels) => {
            let end = match config.end {
                End::Data => Level::DATA,
                End::FirstStep => schedule.level_at(0.0)?,
            };
            Ok(Sampler::on_grid(schedule, &config, Grid::new(levels, end)?)?)
        }
    }
}

fn threshold(settings: &Settings) -> Threshold {
    if settings.thresholding {
        Threshold::Dynamic { quantile: settings.dynamic_thresholding_ratio, max: settings.sample_max_value }
    } else if settings.clip_sample {
        Threshold::Clip
    } else {
        Threshold::Off
    }
}

fn end(scheduler: Scheduler, settings: &Settings) -> End {
    let above = scheduler == Scheduler::Deis
        || settings.set_alpha_to_one == Some(false)
        || settings.final_sigmas_type == Some(FinalSigma::SigmaMin);
    if above { End::FirstStep } else { End::Data }
}

/// How a grid is specified.
enum Levels {
    /// Our own choice of levels.
    Times(Times),
    /// Level by level, without the end.
    Each(Vec<Level>),
}

fn levels(run: &Run, schedule: &Schedule) -> Result<Levels> {
    let Run { record, settings, .. } = run;
    let spacing = settings.spacing();
    let warped = warped(settings);
    match record.scheduler {
        Scheduler::Ddpm | Scheduler::Ddim | Scheduler::Pndm => spaced(run),
        Scheduler::DpmSolver | Scheduler::UniPc | Scheduler::Deis => match warped {
            Some(times) => rounded(run, &times, schedule),
            None if spacing == Spacing::Trailing => spaced(run),
            None => one_more(run),
        },
        Scheduler::Euler | Scheduler::EulerAncestral | Scheduler::Heun => match warped {
            // The peer warps between the ends of the spaced list, we between those of the whole chain.
            Some(_) if spacing != Spacing::Linspace => Ok(Levels::Each(recorded(record))),
            Some(times) => {
                ensure!(
                    settings.final_sigmas_type != Some(FinalSigma::SigmaMin),
                    "this combination is not replayed"
                );
                Ok(Levels::Times(times))
            }
            None if spacing == Spacing::Linspace => between(run, schedule),
            None => spaced(run),
        },
    }
}

fn warped(settings: &Settings) -> Option<Times> {
    if settings.use_karras_sigmas {
        Some(Times::Karras { rho: 7.0, whole: false })
    } else if settings.use_exponential_sigmas || settings.use_lu_lambdas {
        Some(Times::LogSnr { whole: false })
    } else {
        None
    }
}

/// Whole steps that are the same in both libraries.
fn spaced(run: &Run) -> Result<Levels> {
    let Run { record, settings, .. } = run;
    if settings.steps_offset == 0 {
        return Ok(Levels::Times(Times::Spaced(settings.spacing())));
    }
    let times = timesteps(settings.spacing(), settings.num_train_timesteps, record.steps)?;
    Ok(given(times.into_iter(), settings))
}

/// Whole steps of a list with one more entry, without its last, 0.
fn one_more(run: &Run) -> Result<Levels> {
    let Run { record, settings, .. } = run;
    let times = timesteps(settings.spacing(), settings.num_train_timesteps, record.steps + 1)?;
    Ok(given(times.into_iter().skip(1), settings))
}

fn given(ascending: impl DoubleEndedIterator<Item = usize>, settings: &Settings) -> Levels {
    Levels::Times(Times::Given(ascending.rev().map(|t| (t + settings.steps_offset) as f64).collect()))
}

/// Our warped levels, at whole times: the peer passes a rounded t to the network but computes with the level itself.
fn rounded(run: &Run, times: &Times, schedule: &Schedule) -> Result<Levels> {
    let Run { record, settings, .. } = run;
    let grid = times.grid(schedule, schedule.steps(), record.steps, End::Data)?;
    let level = |i| {
        let level = grid.level(i);
        let nearest = level.t.round_ties_even();
        // A step that is whole up to rounding is not truncated to the one below.
        let whole = (level.t - nearest).abs() < 1e-6;
        let t = if settings.use_exponential_sigmas && !whole { level.t.trunc() } else { nearest };
        Level { t, ..level }
    };
    Ok(Levels::Each((0..record.steps).map(level).collect()))
}

/// Evenly spaced times between whole steps. The peer interpolates `sigma / alpha` there, we its logarithm.
fn between(run: &Run, schedule: &Schedule) -> Result<Levels> {
    let last = (schedule.steps() - 1) as f64;
    let gaps = (run.record.steps - 1) as f64;
    let level = |i: usize| {
        // The peer's times are f32.
        let t = f64::from((i as f64 * last / gaps) as f32);
        let (below, above) = (schedule.level_at(t.floor())?, schedule.level_at(t.ceil())?);
        let ratio = below.ratio() + t.fract() * (above.ratio() - below.ratio());
        Ok(if t.fract() == 0.0 { below } else { Level::of_ratio(t, ratio) })
    };
    Ok(Levels::Each((0..run.record.steps).rev().map(level).collect::<Result<_>>()?))
}

/// The peer's own list, in f32.
fn recorded(record: &Record) -> Vec<Level> {
    let pairs = record.timesteps.iter().zip(&record.sigmas);
    pairs.map(|(&t, &sigma)| Level::of_ratio(f64::from(t), f64::from(sigma))).collect()
}
