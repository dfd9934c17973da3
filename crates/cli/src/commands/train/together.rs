//! `ddpm train` as one of several ranks: what they must agree on before they start, and the ranks that do not write.

use std::time::Instant;

use anyhow::bail;
use distributed::World;
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};
use tracing::{info, warn};
use trainer::{BoxError, Follow, Observer, Outcome, StepReport, Trainer};
use unet::Pass;

use super::batch::BatchSize;
use super::feed::{self, Feed};
use super::{Plan, Train};
use crate::commands::inspect::table::bytes;
use crate::config::{Config, to_toml};
use crate::device::Precision;
use crate::exit::ExitCode;
use crate::failure::bail_usage;
use crate::signals::Signals;
use crate::{memory, networks, rank_log, ranks};

impl Train {
    /// Meets the other ranks, if there are any, checks that all have the same configuration, and chooses how their tensors travel.
    pub(super) fn meet(&self, config: &Config, device: Device) -> anyhow::Result<World> {
        let mut world = ranks::join()?;
        let (size, batch) = (world.size(), config.train.batch);
        if world.is_alone() {
            return Ok(world);
        }
        let own = Sha256::digest(to_toml(config)?);
        let all = world.gather("the configurations of all ranks", &own)?;
        if let Some(other) = all.iter().position(|hash| Some(hash) != all.first()) {
            bail!(
                "rank {other} has another configuration than rank 0; start all ranks with the same program, flags and images"
            );
        }
        if !batch.is_multiple_of(size) {
            bail_usage!(
                "train.batch = {batch}: expected a multiple of the number of ranks, which is {size}, since each takes an equal share"
            );
        }
        if self.batch == Some(BatchSize::Auto) {
            bail_usage!("--batch auto: works with a single rank only; use --set train.micro_batch=N");
        }
        ranks::choose_transport(&mut world, device)?;
        Ok(world)
    }
}

/// Logs how the batch is divided, if it is, and the state of Adam.
pub(super) fn tell(config: &Config, trainer: &Trainer) {
    let size = trainer.ranks();
    if size == 1 {
        return;
    }
    let (batch, own) = (config.train.batch, config.train.batch / size);
    let parts = match config.train.micro_batch {
        0 => String::new(),
        most => format!(", in parts of at most {most}"),
    };
    info!("{size} ranks: {own} images per step on each{parts}, {batch} together");
    if let Some((most, all)) = trainer.divided_bytes() {
        info!(
            "the state of Adam is divided: at most {} of {} on each rank",
            bytes(most as u64),
            bytes(all as u64)
        );
    }
}

/// Makes all ranks end for the same signal, after they have stopped: the largest that reached one of them.
pub(super) fn agree_on_signal(trainer: &Trainer, signals: &Signals) {
    // The run is saved, so a rank that is lost only now changes nothing.
    if let Ok(signal) = trainer.largest("the signal of the stop", signals.number()) {
        signals.adopt(signal);
    }
}

impl Plan {
    /// Trains as a rank above 0: no folder, no samples, and a log of its own.
    pub(super) fn follow(self, world: World, signals: &Signals, device: Device) -> anyhow::Result<ExitCode> {
        let config = &self.config;
        let _limit = memory::limit(device);
        if config.train.micro_batch == 0 {
            memory::keep_freed();
        }
        let (rank, size) = (world.rank(), world.size());
        let path = config.schedule.path()?;
        let net = networks::build(&config.model, path.steps(), device, config.seed)?;
        let mut trainer = Trainer::new(net.params(), &*path, &config.train, config.seed, device)?;
        ranks::connect(&mut trainer, world)?;
        // Rank 0 has opened the run folder before it sends these.
        trainer.share_state(None)?;
        rank_log::open(&self.run, rank)?;
        signals.hold();
        let first = trainer.steps_done();
        info!(
            "rank {rank} of {size} on {}, steps {first} to {}",
            crate::device::name(device),
            config.train.steps
        );

        let plan = feed::share(config, self.dataset.len(), (rank, size))?;
        let mut feed = Feed::new(&self.dataset, plan, config.model.classes.is_some(), first)?;
        let kind = Precision::settle(&config.precision, device)?.kind();
        let pass = Pass::train().with_kind(kind).with_checkpoints(config.train.checkpoint_activations);
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(net.forward(x_t, t, labels, &pass)?)
        };
        let mut lines =
            Lines { every: config.train.log_every, of: config.train.steps, begun: Instant::now() };
        let follow = Follow { stop: &signals.stop };
        let outcome = follow.run(&mut trainer, |step| feed.batch(step), &model, &mut lines)?;
        let done = trainer.steps_done();
        if outcome == Outcome::Stopped {
            agree_on_signal(&trainer, signals);
            warn!("stopped after step {done}");
            return Ok(ExitCode::from(signals.exit_code()));
        }
        info!("{done} steps done");
        Ok(ExitCode::SUCCESS)
    }
}

/// The log of a rank above 0: one line at every step that rank 0 logs.
struct Lines {
    every: u64,
    of: u64,
    begun: Instant,
}

impl Observer for Lines {
    fn on_step(&mut self, done: u64, report: &StepReport) {
        if done.is_multiple_of(self.every) || done == self.of {
            let seconds = self.begun.elapsed().as_secs_f64();
            info!("step {done}/{}  loss {:.4}  after {seconds:.1} s", self.of, report.loss);
        }
    }
}
