//! A fresh network of a preset, and the two loops that are timed.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use distributed::World;
use random::{Purpose, Stream};
use sampler::{Method, Noise, Sampler, SamplerConfig};
use schedule::NoisePath;
use tch::{Device, Tensor};
use trainer::{Batch, BoxError, Trainer};
use unet::{Backbone, Pass, Predictor};

use crate::commands::bench::parts::{Part, Parts, finish};
use crate::commands::bench::{Measured, Task, Timings, canonical, timing};
use crate::commands::inspect::network;
use crate::config::Config;
use crate::device::Precision;
use crate::failure::usage;
use crate::model;
use crate::networks;
use crate::ranks;

/// Steps that measure the parts of a step, at most.
const PARTS_STEPS: usize = 5;

/// Ways to work other than the usual ones, for comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// On a GPU, each kernel is launched; no step is recorded.
    pub(super) unrecorded: bool,
    /// On a GPU, channels are innermost in feature maps.
    pub(super) channels_last: bool,
    /// Several ranks sum gradients after the backward pass.
    pub(super) summed_after: bool,
}

/// What is timed.
pub(in crate::commands) struct Subject {
    pub(in crate::commands) config: Config,
    pub(in crate::commands) net: Box<dyn Backbone>,
    pub(in crate::commands) precision: Precision,
    /// `[c, h, w]` of the images.
    pub(in crate::commands) image: [i64; 3],
    pub(in crate::commands) path: Box<dyn NoisePath>,
    ways: Ways,
}

impl Subject {
    /// The network of a preset; `precision` overrides the preset's.
    pub(in crate::commands) fn new(
        preset: &str,
        set: &[String],
        device: Device,
        precision: Option<&str>,
    ) -> anyhow::Result<Self> {
        let config = network::preset_config(canonical(preset), None, set)?;
        let precision = Precision::settle(precision.unwrap_or(&config.precision), device)?;
        let path = config.schedule.path()?;
        let net = networks::build(&config.model, path.steps(), device, config.seed)?;
        let size = config.model.image_size;
        let (height, width) =
            config.images.as_ref().map_or((size, size), |images| (images.height, images.width));
        let image = [config.model.in_channels, height, width].map(|n| n as i64);
        Ok(Self { config, net, precision, image, path, ways: Ways::default() })
    }

    /// The same, with the GPU used in another way.
    pub(super) fn with(self, ways: Ways) -> Self {
        Self { ways, ..self }
    }

    /// Times `steps` steps after `warmup` others, calling `tick` after each. A few more steps then measure the parts.
    pub(in crate::commands) fn time(
        &self,
        task: Task,
        batch: usize,
        counts: (usize, usize),
        begun: Instant,
        tick: &mut dyn FnMut(),
    ) -> anyhow::Result<Measured> {
        self.time_on(World::alone(), task, batch, counts, (begun, tick))
    }

    /// The same for this rank's share of the batch, which all ranks time together.
    pub(super) fn time_on(
        &self,
        world: World,
        task: Task,
        batch: usize,
        (warmup, steps): (usize, usize),
        (begun, tick): (Instant, &mut dyn FnMut()),
    ) -> anyhow::Result<Measured> {
        let age = timing::process_age().unwrap_or_default();
        let mut clock = Clock {
            begun,
            age_at_begin: age.saturating_sub(begun.elapsed()),
            last: begun,
            ends: Vec::with_capacity(warmup + steps),
            device: self.net.device(),
            waits: true,
        };
        let mut on_step = |clock: &mut Clock| {
            clock.step();
            tick();
        };
        let counts = (warmup + steps, steps.min(PARTS_STEPS));
        let (peak_mib, parts) = match task {
            Task::Train => self.train(world, batch, counts, &mut clock, &mut on_step)?,
            Task::Sample => self.sample(batch, counts, &mut clock, &mut on_step)?,
        };
        Ok(Measured { timings: clock.timings(warmup), peak_mib, parts })
    }

    fn train(
        &self,
        world: World,
        batch: usize,
        (steps, more): (usize, usize),
        clock: &mut Clock,
        on_step: &mut dyn FnMut(&mut Clock),
    ) -> anyhow::Result<(Option<f64>, Parts)> {
        let config = &self.config;
        let params = self.net.params();
        let mut trainer = Trainer::new(params, &*self.path, &config.train, config.seed, self.net.device())
            .map_err(usage)?;
        let pass = Pass::train()
            .with_kind(self.precision.kind())
            .with_channels_last(self.ways.channels_last)
            .with_checkpoints(config.train.checkpoint_activations);
        let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(self.net.forward(x_t, t, labels, &pass)?)
        };
        let ranks = world.size();
        let images = Batch { images: self.images(batch / ranks)?, labels: None };
        ranks::connect(&mut trainer, world)?;
        if self.ways.summed_after {
            trainer.sum_after_backward();
        }
        trainer.share_state(None)?;
        let mut batches = |_| Ok(Batch { images: images.images.shallow_clone(), labels: None });
        if self.ways.unrecorded {
            trainer.work_unrecorded()?;
        }
        let mut queued = None;
        // A queued step ends when its numbers arrive; by then the next one is running.
        clock.waits = !trainer.works_ahead();
        clock.last = Instant::now();
        for left in (0..steps).rev() {
            trainer.train_step_ahead(&mut queued, left > 0, &mut batches, &model)?;
            on_step(clock);
        }
        let peak_mib = timing::peak_mib();
        let mut parts = Parts::of_training(self.net.device(), ranks);
        for _ in 0..more {
            trainer.train_step_watched(&images, &model, &mut |phase| parts.ended(Part::of(phase)))?;
            parts.step();
        }
        Ok((peak_mib, parts))
    }

    fn sample(
        &self,
        batch: usize,
        (steps, more): (usize, usize),
        clock: &mut Clock,
        on_step: &mut dyn FnMut(&mut Clock),
    ) -> anyhow::Result<(Option<f64>, Parts)> {
        let usual = model::sampler_config(&self.config.train, Method::Ddim { eta: 0.0 });
        let config = SamplerConfig { steps: Some(steps), ..usual };
        config.validate(&*self.path).map_err(|e| usage(anyhow!("--warmup and --steps together: {e}")))?;
        let sampler = Sampler::new(&*self.path, &config)?;
        let network = self.predictor()?;
        let model =
            |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> { Ok(network.predict(x_t, t, None)?) };
        let [channels, height, width] = self.image;
        let noise = Noise { seed: self.config.seed, first_index: 0 };
        let x_start =
            sampler.start_from(noise.start([batch as i64, channels, height, width], self.net.device())?)?;
        clock.last = Instant::now();
        let _drawn = sampler.sample(&model, &x_start, &noise, &mut |_| {
            on_step(clock);
            Ok(())
        })?;
        let peak_mib = timing::peak_mib();
        let sampler = Sampler::new(&*self.path, &SamplerConfig { steps: Some(more), ..config })?;
        let parts = RefCell::new(Parts::of_sampling(self.net.device()));
        let watched = |x_t: &Tensor, t: &Tensor| -> Result<Tensor, BoxError> {
            parts.borrow_mut().ended(Part::Other);
            let output = model(x_t, t)?;
            parts.borrow_mut().ended(Part::Forward);
            Ok(output)
        };
        let _drawn = sampler.sample(&watched, &x_start, &noise, &mut |_| {
            parts.borrow_mut().step();
            Ok(())
        })?;
        Ok((peak_mib, parts.into_inner()))
    }

    fn predictor(&self) -> anyhow::Result<Predictor> {
        let Ways { unrecorded, channels_last, .. } = self.ways;
        let pass = Pass::eval().with_kind(self.precision.kind()).with_channels_last(channels_last);
        Ok(match unrecorded {
            true => Predictor::without_recording(&*self.net, &pass)?,
            false => Predictor::new(&*self.net, &pass)?,
        })
    }

    /// A batch of noise images, clamped to [-1, 1].
    fn images(&self, batch: usize) -> anyhow::Result<Tensor> {
        let [channels, height, width] = self.image;
        let shape = [batch as i64, channels, height, width];
        let mut numbers =
            Stream::new(0, Purpose::Figure, 0, 0).normals(shape.iter().product::<i64>() as usize);
        numbers.iter_mut().for_each(|value| *value = value.clamp(-1.0, 1.0));
        Ok(tensor_io::from_slice(&numbers, &shape)?)
    }
}

/// Durations between calls of [`Clock::step`].
struct Clock {
    begun: Instant,
    /// Age of the process when the command began.
    age_at_begin: Duration,
    last: Instant,
    /// Duration of each step, and when it ended.
    ends: Vec<(f64, Instant)>,
    device: Device,
    /// Whether to wait for the kernels of a GPU at the end of a step.
    waits: bool,
}

impl Clock {
    fn step(&mut self) {
        if self.waits {
            finish(self.device);
        }
        let now = Instant::now();
        self.ends.push(((now - self.last).as_secs_f64(), now));
        self.last = now;
    }

    fn timings(&self, warmup: usize) -> Timings {
        let first_after = self.ends.first().map_or(f64::NAN, |(_, end)| (*end - self.begun).as_secs_f64());
        let before = self.age_at_begin.as_secs_f64();
        Timings {
            first_after: before + first_after,
            seconds: self.ends.iter().skip(warmup).map(|(seconds, _)| *seconds).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet::UNetConfig;

    /// The warm-up counts as steps but is left out of the durations.
    #[test]
    fn every_step_is_timed_once() {
        let set = ["model.base_channels=8".to_owned()];
        let subject = Subject::new("tiny-16", &set, Device::Cpu, Some("f32")).unwrap();
        assert_eq!(subject.image, [1, 16, 16]);
        for task in [Task::Train, Task::Sample] {
            let mut ticks = 0;
            let measured = subject.time(task, 2, (1, 2), Instant::now(), &mut || ticks += 1).unwrap();
            let timings = &measured.timings;
            assert_eq!((timings.seconds.len(), ticks), (2, 3), "{task:?}");
            assert!(timings.seconds.iter().all(|seconds| *seconds > 0.0) && timings.first_after > 0.0);
            let parts = measured.parts.means();
            assert!(parts.iter().all(|(_, seconds)| *seconds > 0.0), "{task:?}: {parts:?}");
        }
        let too_long = subject.time(Task::Sample, 2, (1, 1000), Instant::now(), &mut || ());
        assert!(too_long.err().unwrap().to_string().contains("expected 1 to 1000"));
    }

    /// The CPU records nothing and has one layout, so these ways change nothing; but they do run.
    #[test]
    fn the_other_ways_of_a_gpu_take_the_same_steps() {
        let set = ["model.base_channels=8".to_owned()];
        for (unrecorded, channels_last) in [(true, false), (false, true)] {
            let subject = Subject::new("tiny-16", &set, Device::Cpu, Some("f32")).unwrap();
            let subject = subject.with(Ways { unrecorded, channels_last, ..Ways::default() });
            for task in [Task::Train, Task::Sample] {
                let measured = subject.time(task, 2, (1, 2), Instant::now(), &mut || ()).unwrap();
                assert_eq!(measured.timings.seconds.len(), 2, "{task:?}");
            }
        }
    }

    /// The names that the peer benchmarks use.
    #[test]
    fn the_networks_of_the_peers_have_names() {
        let config = |name| network::preset_config(canonical(name), None, &[]).unwrap();
        assert_eq!(config("cifar10").model, UNetConfig::preset("ddpm-cifar10").unwrap());
        let small = Subject::new("small32", &[], Device::Cpu, Some("f32")).unwrap();
        // The same number as UNet2DModel of diffusers. A test of `unet` has the other network's 35,746,307.
        assert_eq!(small.net.param_count(), 1_623_169);
        let gflop = small.config.model.work(32, 32).training(64).layers / 1e9;
        assert!((gflop - 138.0).abs() <= 0.05, "{gflop}");
    }
}
