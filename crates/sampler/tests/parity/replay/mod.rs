//! Replays every run of the peer with our sampler: the same network, start and noise, all tensors f32.

mod chain;
mod differences;
mod goldens;
mod method;
mod model;
mod noise;
mod settings;
mod table;

use std::cell::RefCell;

use anyhow::{Context, Result};
use sampler::Sampler;
use tch::{Kind, Tensor};

use self::goldens::{Goldens, Run};
use self::model::Network;
use self::noise::Recorded;
pub(crate) use self::table::Table;
use self::table::{Row, Way};

/// Reads the goldens and replays all of them.
pub(crate) fn all() -> Result<Table> {
    let goldens = Goldens::read()?;
    let rows = goldens
        .runs
        .iter()
        .map(|run| one(&goldens, run).with_context(|| run.record.name.clone()))
        .collect::<Result<_>>()?;
    Ok(Table { peer: goldens.peer, rows })
}

fn one(goldens: &Goldens, run: &Run) -> Result<Row> {
    let Run { record, settings, sample } = run;
    let schedule = settings.schedule()?;
    let sampler = chain::sampler(run, &schedule)?;
    let network = Network {
        mixture: goldens.mixture,
        schedule: &schedule,
        prediction: settings.prediction(),
        learns_variance: settings.learns_variance(),
    };
    let norms = RefCell::new(Vec::new());
    let model = |x: &Tensor, t: &Tensor| {
        norms.borrow_mut().push(norm(x)?);
        network.predict(x, t)
    };
    let noise = Recorded::new(goldens, run);
    let start = goldens.x_t.f_mul_scalar(record.start_scale)?;
    let mut ours = sampler.sample(&model, &start, &noise, &mut |_| Ok(()))?;
    if record.variance_exploding {
        // The peer returns x_0 + sigma eps.
        ours = ours.f_div_scalar(sampler.grid().level(sampler.steps()).alpha)?;
    }
    Ok(Row {
        name: record.name.clone(),
        steps: sampler.steps(),
        calls: sampler.calls(),
        error: norm(&(ours.f_to_kind(Kind::Double)? - sample))? / norm(sample)?,
        rounding: record.rounding,
        reason: differences::reason(run),
        way: way(&sampler, run, &norms.into_inner()),
    })
}

fn norm(x: &Tensor) -> Result<f64, tch::TchError> {
    x.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])
}

fn way(sampler: &Sampler, run: &Run, norms: &[f64]) -> Way {
    let record = &run.record;
    let largest =
        |differences: &mut dyn Iterator<Item = f64>| differences.fold(0.0_f64, |a, b| a.max(b.abs()));
    let times = sampler.stages().map(|stage| stage.at.t).zip(&record.timesteps);
    let end = sampler.grid().level(sampler.steps());
    let sigmas = sampler.stages().map(|stage| stage.at.ratio()).chain([end.ratio()]).zip(&record.sigmas);
    Way {
        calls: record.calls,
        t: largest(&mut times.map(|(ours, &peers)| f64::from(ours as f32 - peers))),
        sigma: largest(&mut sigmas.map(|(ours, &peers)| {
            let peers = f64::from(peers);
            if ours == peers { 0.0 } else { ours / peers - 1.0 }
        })),
        input: largest(&mut norms.iter().zip(&record.input_norms).map(|(ours, peers)| ours / peers - 1.0)),
    }
}
