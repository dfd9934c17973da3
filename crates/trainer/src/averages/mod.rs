//! Averages besides the run's own: with other decays, and power averages, from whose snapshots any average can be made
//! afterwards (Karras et al. 2024, Sec. 3).

mod profile;
mod reconstruct;
mod snapshots;

use tch::Tensor;
use tensor_io::Named;

use config::TrainConfig;

use crate::ema::Ema;
use crate::error::TrainerError;

pub use profile::Profile;
pub use reconstruct::{Combination, Stored, combine};
pub use snapshots::{Snapshot, list_snapshots, reconstruct};
pub(crate) use snapshots::{remove_after, write_snapshot};

/// The additional averages of a run.
pub(crate) struct Averages {
    list: Vec<(Profile, Ema)>,
}

impl Averages {
    /// The averages of the configuration; frozen parameters are not updated.
    pub(crate) fn new(
        config: &TrainConfig,
        params: &[Named],
        frozen: &[Named],
    ) -> Result<Self, TrainerError> {
        let list = Profile::of_run(config).map(|profile| Ok((profile, Ema::new(params)?.without(frozen))));
        Ok(Self { list: list.collect::<Result<_, TrainerError>>()? })
    }

    /// Adds the weights after a step.
    pub(crate) fn update(&mut self, config: &TrainConfig, step: u64) -> Result<(), TrainerError> {
        self.list.iter_mut().try_for_each(|(profile, average)| average.update(profile.decay_at(config, step)))
    }

    /// `1 - decay` of each average at a step.
    pub(crate) fn weights_at(&self, config: &TrainConfig, step: u64) -> impl Iterator<Item = f32> {
        self.list.iter().map(move |(profile, _)| (1.0 - profile.decay_at(config, step)) as f32)
    }

    /// [`Averages::update`] with [`Averages::weights_at`] as a tensor on the device, each multiplied by `kept`.
    pub(crate) fn update_ahead(&self, weights: &Tensor, kept: &Tensor) -> Result<(), TrainerError> {
        for (index, (_, average)) in self.list.iter().enumerate() {
            average.update_ahead(&weights.f_select(0, index as i64)?.f_mul(kept)?)?;
        }
        Ok(())
    }

    /// All averages under the names `PROFILE.PARAMETER`, as in a file; empty if there are none.
    pub(crate) fn named(&self) -> Vec<Named> {
        named(self.list.iter().map(|(profile, average)| (*profile, average)))
    }

    /// The same for the averages that are stored as snapshots.
    pub(crate) fn snapshot(&self) -> Vec<Named> {
        let of_power = self.list.iter().filter(|(profile, _)| matches!(profile, Profile::SigmaRel(_)));
        named(of_power.map(|(profile, average)| (*profile, average)))
    }
}

fn named<'a>(averages: impl Iterator<Item = (Profile, &'a Ema)>) -> Vec<Named> {
    let all = averages.flat_map(|(profile, average)| {
        average
            .weights()
            .iter()
            .map(move |(name, tensor)| (format!("{profile}.{name}"), tensor.shallow_clone()))
    });
    all.collect()
}
