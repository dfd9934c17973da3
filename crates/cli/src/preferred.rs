//! The preferred sampling settings of an imported network. The t and levels are those that the library `diffusers` chooses for
//! these settings; they differ from this program's own spacings.

use std::str::FromStr;

use anyhow::{Context, bail};
use config::{Preferred, TrainConfig};
use sampler::{Correction, End, Level, Method, SamplerConfig, Threshold, Times};
use schedule::{NoisePath, Spacing, Variance, timesteps};

use crate::model::sampler_config;

/// The sampler of `steps` steps.
pub(crate) fn config(
    preferred: &Preferred,
    steps: usize,
    path: &dyn NoisePath,
    train: &TrainConfig,
) -> anyhow::Result<SamplerConfig> {
    let method = method(preferred).context("sample.preferred.sampler")?;
    let threshold = match preferred.threshold.as_str() {
        "off" => Threshold::Off,
        "clip" => Threshold::Clip,
        "dynamic" => Threshold::DYNAMIC,
        other => bail!("sample.preferred.threshold = {other}: expected off, clip or dynamic"),
    };
    let end = if preferred.ends_at_first_step { End::FirstStep } else { End::Data };
    let times = Choice { preferred, steps, path }.times(&method)?;
    let (keeps_eps, scales_start) = (preferred.keeps_eps, preferred.scales_start);
    Ok(SamplerConfig {
        steps: Some(steps),
        times,
        threshold,
        keeps_eps,
        scales_start,
        end,
        ..sampler_config(train, method)
    })
}

fn method(preferred: &Preferred) -> anyhow::Result<Method> {
    let mut method = Method::from_str(&preferred.sampler)?;
    match &mut method {
        Method::Ddpm { variance } => {
            if let Some(sigma) = &preferred.sigma {
                *variance = Variance::from_str(sigma)?;
            }
        }
        Method::Ddim { eta } | Method::EulerAncestral { eta } => *eta = preferred.eta.unwrap_or(*eta),
        Method::DpmPp(settings) => {
            // The library's third order has this factor.
            (settings.correction, settings.half_third) = (Correction::Midpoint, true);
        }
        Method::UniPc(settings) => settings.order = preferred.order.unwrap_or(settings.order),
        Method::Deis(settings) => settings.order = preferred.order.unwrap_or(settings.order),
        _ => {}
    }
    Ok(method)
}

/// What the levels depend on.
struct Choice<'a> {
    preferred: &'a Preferred,
    steps: usize,
    path: &'a dyn NoisePath,
}

impl Choice<'_> {
    fn times(&self, method: &Method) -> anyhow::Result<Times> {
        let spacing = Spacing::from_str(&self.preferred.spacing).context("sample.preferred.spacing")?;
        let multistep = matches!(method, Method::DpmPp(_) | Method::UniPc(_) | Method::Deis(_));
        let on_sigmas =
            matches!(method, Method::Euler { .. } | Method::EulerAncestral { .. } | Method::Heun { .. });
        match self.warp()? {
            Some(warp) if multistep => self.rounded(&warp),
            Some(warp) => Ok(warp),
            None if multistep && spacing != Spacing::Trailing => {
                // Take the times for one step more, without the lowest.
                self.whole(timesteps(spacing, self.path.steps(), self.steps + 1)?.into_iter().skip(1))
            }
            None if on_sigmas && spacing == Spacing::Linspace => self.between(),
            None => self.whole(timesteps(spacing, self.path.steps(), self.steps)?.into_iter()),
        }
    }

    fn warp(&self) -> anyhow::Result<Option<Times>> {
        Ok(match self.preferred.warp.as_deref() {
            None => None,
            Some("karras") => Some(Times::Karras { rho: 7.0, whole: false }),
            Some("exponential" | "lu") => Some(Times::LogSnr { whole: false }),
            Some(other) => bail!("sample.preferred.warp = {other}: expected karras, exponential or lu"),
        })
    }

    /// Ascending integer times, reversed and shifted.
    fn whole(&self, rising: impl DoubleEndedIterator<Item = usize>) -> anyhow::Result<Times> {
        let moved = rising.rev().map(|t| t.saturating_add(self.preferred.steps_offset) as f64);
        Ok(Times::Given(moved.collect()))
    }

    /// The levels of a spacing by noise; the network gets integer t.
    fn rounded(&self, warp: &Times) -> anyhow::Result<Times> {
        let grid = warp.grid(self.path, self.path.steps(), self.steps, End::Data)?;
        let truncates = self.preferred.warp.as_deref() == Some("exponential");
        let level = |i| {
            let level: Level = grid.level(i);
            let nearest = level.t.round_ties_even();
            // A level that is an integer up to rounding is not truncated to the one below.
            let whole = (level.t - nearest).abs() < 1e-6;
            Level { t: if truncates && !whole { level.t.trunc() } else { nearest }, ..level }
        };
        Ok(Times::Levels((0..self.steps).map(level).collect()))
    }

    /// Evenly spaced t between the integers, with `sigma / alpha` interpolated.
    fn between(&self) -> anyhow::Result<Times> {
        let last = (self.path.steps() - 1) as f64;
        let gaps = self.steps.saturating_sub(1).max(1) as f64;
        let level = |i: usize| -> anyhow::Result<Level> {
            // The library's t are f32.
            let t = f64::from((i as f64 * last / gaps) as f32);
            let (below, above) = (self.path.level_at(t.floor())?, self.path.level_at(t.ceil())?);
            let ratio = below.ratio() + t.fract() * (above.ratio() - below.ratio());
            Ok(if t.fract() == 0.0 { below } else { Level::of_ratio(t, ratio) })
        };
        Ok(Times::Levels((0..self.steps).rev().map(level).collect::<anyhow::Result<_>>()?))
    }
}
