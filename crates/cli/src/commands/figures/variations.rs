//! Figure 10: images diffused to some t and denoised from there.

use figures::Figure;
use ndarray::Axis;
use sampler::{Method, Sampler, SamplerConfig, Step};
use schedule::Variance;

use crate::commands::figures::forward::in_columns;
use crate::commands::figures::plan::{Plan, VARIATIONS};
use crate::commands::figures::sampling::chain_words;
use crate::commands::figures::subject::{Subject, originals};
use crate::commands::figures::times;
use crate::commands::sampling::{NoiseArgs, in_batches};
use crate::flags::Global;
use crate::model::Loaded;
use crate::output;

/// Share of the chain to which the originals are diffused.
const SHARES: [f64; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];

/// Originals, and their variations by starting t. Uses held-out images if the data has any.
pub(super) fn variations(
    subject: &Subject,
    loaded: &Loaded,
    plan: &Plan,
    seed: u64,
    global: &Global,
) -> anyhow::Result<Figure> {
    let (originals, whose) = originals(subject, loaded, VARIATIONS)?;
    let count = originals.len_of(Axis(0));
    let x_0 = output::to_tensor(&originals)?.to_device(loaded.device);

    let (timesteps, predictor) = (loaded.path.steps(), loaded.predictor()?);
    let method = Method::Ddpm { variance: Variance::FixedSmall };
    let config = SamplerConfig { steps: Some(plan.steps), ..loaded.sampler_config(method) };
    let noise = NoiseArgs::new(seed, count);
    let (mut starts, mut columns) = (Vec::new(), Vec::new());
    for t in times::at_shares(timesteps, &SHARES) {
        // A chain that starts at t takes t + 1 of the T steps.
        let sampler = Sampler::from_step(&*loaded.path, &config, t + 1)?;
        starts.extend(sampler.timesteps().next().map(|t| t as usize));
        columns.push(in_batches(loaded, &noise, count, sampler.steps(), global, |_, noise, bar| {
            bar.set_prefix(format!("variations from t = {t}"));
            let mut tick = |_: &Step<'_>| {
                bar.inc(1);
                Ok(())
            };
            Ok(sampler.vary(&predictor, &x_0, noise, &mut tick)?)
        })?);
    }
    let varied = in_columns(&columns)?;
    let originals = output::to_pixels(&x_0, &loaded.images)?;
    let mut figure = figures::variations(originals.view(), &starts, varied.view())?;
    let words = chain_words(plan.steps, timesteps);
    figure.caption.push_str(&format!(" {whose} {words} Every column of a row uses the same noise."));
    Ok(figure)
}
