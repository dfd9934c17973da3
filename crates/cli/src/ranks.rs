//! The processes that `train` and `sample` run on: their places, the cores of a machine they share, and their connection.

use std::env;
use std::sync::Arc;

use distributed::{Place, REDUCE, SHARD_STATE, World};
use tch::{Device, Tensor};
use tracing::info;
use trainer::{Begun, BoxError, Reduce, Reduction, Trainer};

use crate::failure::bail_usage;

/// Set by `ddpm launch` in the ranks it starts: its process id.
pub(crate) const LAUNCHER: &str = "DDPM_LAUNCHER";

/// Whether `ddpm launch` started this process. It reports why the ranks have ended.
pub(crate) fn is_launched() -> bool {
    env::var_os(LAUNCHER).is_some()
}

/// Refuses variables that do not make a place or have an unknown value. [`join`] and [`connect`] do the same, but may come
/// minutes later.
pub(crate) fn check() -> anyhow::Result<()> {
    let _ = (Place::from_env()?, reduction()?, divides_state()?);
    Ok(())
}

/// Refuses several ranks, which would all do the same work.
pub(crate) fn refuse(command: &str) -> anyhow::Result<()> {
    if let Some(place) = Place::from_env()? {
        bail_usage!("{command}: expected a single process, found {} ranks", place.size);
    }
    Ok(())
}

/// The place of this process; variables that make none are for [`check`] to report, where a command uses ranks.
fn place() -> Option<Place> {
    Place::from_env().ok().flatten()
}

/// Whether this process writes and reports.
pub(crate) fn is_first() -> bool {
    place().is_none_or(|place| place.rank == 0)
}

/// The number of this process among the ranks of its machine, which is also that of its GPU.
pub(crate) fn local_rank() -> usize {
    place().map_or(0, |place| place.local_rank)
}

/// Divides the cores among the ranks of this machine, unless a variable already limits them.
pub(crate) fn share_cores() {
    let Some(place) = place().filter(|place| place.local_size > 1) else { return };
    if env::var_os("OMP_NUM_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        tch::set_num_threads(threads_of(cores, place.local_size) as i32);
    }
}

fn threads_of(cores: usize, ranks: usize) -> usize {
    (cores / ranks).max(1)
}

/// Meets the other ranks, if there are any. If their launcher ends, this process is asked to stop.
pub(crate) fn join() -> anyhow::Result<World> {
    follow_launcher();
    Ok(World::from_env()?)
}

/// Asks the system for a SIGHUP when the launcher dies, however it does: the ranks then save and end. The system sends the
/// signal once for every thread of the launcher, and this is the one whose repetition does no harm.
#[cfg(target_os = "linux")]
fn follow_launcher() {
    use rustix::process::{Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
    let Some(launcher) = env::var(LAUNCHER).ok().and_then(|pid| pid.parse().ok()) else { return };
    let asked = set_parent_process_death_signal(Some(Signal::HUP));
    // It may have died before.
    if asked.is_ok() && getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(launcher) {
        let _ = kill_process(getpid(), Signal::HUP);
    }
}

#[cfg(not(target_os = "linux"))]
fn follow_launcher() {}

/// Chooses with the other ranks how tensors of the device travel that this one computes on; rank 0 logs what they have chosen.
pub(crate) fn choose_transport(world: &mut World, device: Device) -> anyhow::Result<()> {
    world.choose_transport(device)?;
    if world.is_first() && !world.is_alone() {
        info!("sums over the ranks: {}", world.transport());
    }
    Ok(())
}

/// Lets a trainer train with the other ranks.
pub(crate) fn connect(trainer: &mut Trainer, world: World) -> anyhow::Result<()> {
    trainer.join(Arc::new(Ranks(world)), reduction()?)?;
    if divides_state()? {
        trainer.divide_state()?;
    }
    Ok(())
}

fn divides_state() -> anyhow::Result<bool> {
    is_on(env::var(SHARD_STATE).ok().as_deref())
}

/// Whether the state of Adam is divided over the ranks, by the value of [`SHARD_STATE`].
fn is_on(value: Option<&str>) -> anyhow::Result<bool> {
    match value {
        None | Some("" | "0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => {
            bail_usage!("environment variable {SHARD_STATE}={}: expected 0 or 1", other.escape_debug())
        }
    }
}

/// How gradients are summed, by [`REDUCE`].
pub(crate) fn reduction() -> anyhow::Result<Reduction> {
    reduction_of(env::var(REDUCE).ok().as_deref())
}

fn reduction_of(kind: Option<&str>) -> anyhow::Result<Reduction> {
    match kind {
        None | Some("" | "f32") => Ok(Reduction::default()),
        Some("bf16") => Ok(Reduction { bf16: true, ..Reduction::default() }),
        Some(other) => {
            bail_usage!("environment variable {REDUCE}={}: expected f32 or bf16", other.escape_debug())
        }
    }
}

/// The connection as the trainer uses it.
struct Ranks(World);

impl Reduce for Ranks {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn sum(&self, what: &'static str, x: &mut Tensor) -> Result<(), BoxError> {
        Ok(self.0.sum(what, x)?)
    }

    fn begin_sum(&self, what: &'static str, x: Tensor) -> Result<Begun<'_>, BoxError> {
        let begun = self.0.begin_sum(what, x)?;
        Ok(Box::new(move || begun.finish().map_err(BoxError::from)))
    }

    fn broadcast(&self, what: &'static str, from: usize, x: &mut Tensor) -> Result<(), BoxError> {
        Ok(self.0.broadcast(what, from, x)?)
    }

    fn gather(&self, what: &'static str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BoxError> {
        Ok(self.0.gather(what, bytes)?)
    }

    fn wait(&self, what: &'static str) -> Result<(), BoxError> {
        Ok(self.0.wait(what)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_and_nobody_goes_without() {
        assert_eq!(
            [(8, 1), (8, 3), (2, 2), (2, 4)].map(|(cores, ranks)| threads_of(cores, ranks)),
            [8, 2, 1, 1]
        );
    }

    #[test]
    fn the_kind_of_reduction_is_checked() {
        let bf16 = |kind| reduction_of(kind).map(|reduction| reduction.bf16).ok();
        assert_eq!(
            [None, Some(""), Some("f32"), Some("bf16")].map(bf16),
            [false, false, false, true].map(Some)
        );
        let error = reduction_of(Some("f16")).unwrap_err().to_string();
        assert!(error.contains("DDPM_REDUCE=f16: expected f32 or bf16"), "{error}");
    }

    #[test]
    fn the_switch_of_a_divided_state_is_checked() {
        let values = [None, Some(""), Some("0"), Some("1")];
        assert_eq!(values.map(|value| is_on(value).ok()), [false, false, false, true].map(Some));
        for wrong in ["true", "2", " 1", "on"] {
            let error = is_on(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains(&format!("DDPM_SHARD_STATE={wrong}: expected 0 or 1")), "{error}");
        }
    }
}
