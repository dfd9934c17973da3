//! `ddpm check-device`, which the folder of `cargo xtask gpu-kit` runs: every gradient of a training step on a device against
//! the CPU, and on a GPU recorded work against the same work without recordings.

mod apart;

use clap::Args;
use random::{Purpose, Stream};
use schedule::NoisePath;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use trainer::{Batch, BoxError, Phase, TrainConfig, Trainer};
use unet::{Backbone, Pass, Predictor};

use crate::config::Config;
use crate::device;
use crate::failure::bail_usage;
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::output;
use apart::{Apart, relative};

/// Images of a step.
const IMAGES: usize = 4;
/// Steps and calls of a comparison. A recorder runs three times, records, and replays from the fifth on.
const REPEATS: u64 = 8;

/// Prints as JSON how far the device is from the CPU in f32.
#[derive(Debug, Args)]
pub(crate) struct CheckDevice {
    #[command(flatten)]
    model: ModelArgs,
}

impl CheckDevice {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        // First of all: libtorch looks for its CUDA part only once.
        let device = device::select(global)?;
        let open = |model: &ModelArgs, device| {
            let (source, run) = self.model.find()?;
            Side::new(Loaded::load(source, run, model, device)?)
        };
        let in_f32 = ModelArgs { precision: "f32".to_owned(), ..self.model.clone() };
        let expected = open(&in_f32, Device::Cpu)?.gradients()?;
        // The precision is a setting of the whole process, so this side is opened after the other one is done.
        let side = open(&self.model, device)?;
        let gradients = Apart::of(&side.gradients()?, &expected)?;
        let recordings = device.is_cuda().then(|| side.recordings()).transpose()?;
        output::print(
            &json!({
                "device": device::name(device),
                "gradients": gradients.json(),
                "recordings": recordings,
            })
            .to_string(),
        )
    }
}

/// A network on a device, and what it is trained with.
struct Side {
    net: Box<dyn Backbone>,
    config: Config,
    path: Box<dyn NoisePath>,
    kind: Kind,
    /// `[n, c, h, w]` of a batch.
    size: [i64; 4],
    /// The weights that everything starts from: see [`woken`].
    start: Vec<Named>,
}

impl Side {
    fn new(loaded: Loaded) -> anyhow::Result<Self> {
        let (kind, size) = (loaded.precision.kind(), loaded.shape(IMAGES));
        let Loaded { net, config, path, .. } = loaded;
        Self::of(net, config, path, kind, size)
    }

    fn of(
        net: Box<dyn Backbone>,
        config: Config,
        path: Box<dyn NoisePath>,
        kind: Kind,
        size: [i64; 4],
    ) -> anyhow::Result<Self> {
        let dropout = config.model.dropout;
        if dropout != 0.0 {
            bail_usage!(
                "check-device: expected a network with model.dropout = 0, found {dropout}: each device draws its own masks"
            );
        }
        let own = |(index, (name, param)): (usize, &Named)| Ok((name.clone(), woken(index, param)?));
        let start = net.params().iter().enumerate().map(own).collect::<anyhow::Result<_>>()?;
        Ok(Self { net, config, path, kind, size, start })
    }

    /// A trainer that has done nothing, of the weights at the start.
    fn trainer(&self) -> anyhow::Result<Trainer> {
        self.net.copy_weights(&self.start)?;
        let numbers = TrainConfig { batch: IMAGES, micro_batch: 0, ..self.config.train.clone() };
        Ok(Trainer::new(self.net.params(), &*self.path, &numbers, self.config.seed, self.net.device())?)
    }

    fn model(&self) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, BoxError> + '_ {
        let again = self.config.train.checkpoint_activations;
        let pass = Pass::train().with_kind(self.kind).with_checkpoints(again);
        move |x_t, t, labels| Ok(self.net.forward(x_t, t, labels, &pass)?)
    }

    /// Noise in place of images, in host memory.
    fn noise(&self, call: u64) -> anyhow::Result<Tensor> {
        let count = self.size.iter().product::<i64>() as usize;
        let numbers = Stream::new(0, Purpose::Figure, call, 0).normals(count);
        Ok(tensor_io::from_slice(&numbers, &self.size)?)
    }

    /// A class for each image, if the network has classes.
    fn classes(&self) -> Option<Vec<i64>> {
        let classes = self.net.facts().classes?;
        Some((0..IMAGES).map(|image| (image % classes) as i64).collect())
    }

    fn batch(&self) -> anyhow::Result<Batch> {
        let labels = self.classes().map(|classes| Tensor::f_from_slice(&classes)).transpose()?;
        Ok(Batch { images: self.noise(0)?.f_clamp(-1.0, 1.0)?, labels })
    }

    /// Every gradient of the first step, in host memory.
    fn gradients(&self) -> anyhow::Result<Vec<Named>> {
        let (mut trainer, batch, model) = (self.trainer()?, self.batch()?, self.model());
        let mut found = Ok(Vec::new());
        let _report = trainer.train_step_watched(&batch, &model, &mut |phase| {
            if phase == Phase::Backward {
                found = gradients_of(self.net.params());
            }
        })?;
        found
    }

    /// Steps and calls with a recording, and their largest differences from those without.
    fn recordings(&self) -> anyhow::Result<Value> {
        let ((losses, steps), (plain_losses, _)) = (self.steps(true)?, self.steps(false)?);
        self.net.copy_weights(&self.start)?;
        let ((outputs, calls), (plain_outputs, _)) = (self.outputs(true)?, self.outputs(false)?);
        Ok(json!({
            "steps": steps, "losses": relative(&losses, &plain_losses)?,
            "calls": calls, "outputs": relative(&outputs, &plain_outputs)?,
        }))
    }

    /// The losses of queued steps, and whether they were recorded in the end.
    fn steps(&self, recorded: bool) -> anyhow::Result<(Tensor, bool)> {
        let (mut trainer, batch, model) = (self.trainer()?, self.batch()?, self.model());
        if !recorded {
            trainer.work_unrecorded()?;
        }
        let mut losses = Vec::new();
        for step in 0..REPEATS {
            let queued = trainer.queue_step(step, &batch, &model)?;
            losses.push(trainer.finish_step(queued)?.loss);
        }
        Ok((Tensor::f_from_slice(&losses)?, trainer.is_recorded()))
    }

    /// Predictions for several inputs, in host memory, and whether they were recorded in the end.
    fn outputs(&self, recorded: bool) -> anyhow::Result<(Tensor, bool)> {
        let (net, pass) = (&*self.net, Pass::eval().with_kind(self.kind));
        let predictor = match recorded {
            true => Predictor::new(net, &pass)?,
            false => Predictor::without_recording(net, &pass)?,
        };
        let labels = self.classes().map(|classes| net.labels(&classes)).transpose()?;
        let mut outputs = Vec::new();
        for call in 0..REPEATS {
            let x_t = self.noise(call)?.f_to_device(net.device())?;
            let t = Tensor::f_from_slice(&[call as i64; IMAGES])?.f_to_device(net.device())?;
            outputs.push(predictor.predict(&x_t, &t, labels.as_ref())?.f_to_device(Device::Cpu)?);
        }
        Ok((Tensor::f_cat(&outputs, 0)?, predictor.is_recorded()))
    }
}

/// A parameter with noise of about half its usual size. In a network that has hardly been trained, every branch ends in weights
/// near zero, so the gradients before them say nothing.
fn woken(index: usize, param: &Tensor) -> anyhow::Result<Tensor> {
    let (count, size) = (param.numel(), param.size());
    let scale = match size[..] {
        [outputs, _, ..] => 0.5 * (outputs as f64 / count as f64).sqrt(),
        _ => 0.05,
    };
    let numbers = Stream::new(1, Purpose::Figure, index as u64, 0).normals(count);
    let noise = tensor_io::from_slice(&numbers, &size)?.f_mul_scalar(scale)?;
    Ok(param.f_detach()?.f_add(&noise.f_to_device(param.device())?)?)
}

/// The gradients of parameters as f64 in host memory; what is not trained has none.
fn gradients_of(params: &[Named]) -> anyhow::Result<Vec<Named>> {
    let mut found = Vec::new();
    for (name, param) in params {
        let gradient = param.f_grad()?;
        if gradient.defined() {
            found.push((name.clone(), gradient.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::apart::norm;
    use super::*;
    use crate::commands::inspect::network;
    use crate::networks;

    fn side(set: &[&str]) -> anyhow::Result<Side> {
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        let config = network::preset_config("tiny-16", None, &set)?;
        let path = config.schedule.path()?;
        let net = networks::build(&config.model, path.steps(), Device::Cpu, 0)?;
        Side::of(net, config, path, Kind::Float, [IMAGES as i64, 1, 16, 16])
    }

    #[test]
    fn every_tensor_has_a_gradient_and_no_measurement_changes_the_next() {
        for set in [&[][..], &["model.classes=10"]] {
            let side = side(set).unwrap();
            let first = side.gradients().unwrap();
            assert_eq!(first.len(), side.net.params().len());
            for (name, gradient) in &first {
                let norm = norm(gradient).unwrap();
                // The bias of the keys moves all scores of a pixel alike, so its gradient is zero but for rounding.
                assert!(norm.is_finite() && (norm > 0.0 || name.ends_with("to_k.bias")), "{name}: {norm}");
            }
            // The CPU records nothing, so both ways do the same.
            let said = side.recordings().unwrap();
            assert_eq!((&said["steps"], &said["calls"]), (&json!(false), &json!(false)));
            assert!(said["losses"].as_f64().unwrap() < 1e-3, "{said}");
            assert!(said["outputs"].as_f64().unwrap() < 1e-5, "{said}");
            let apart = Apart::of(&side.gradients().unwrap(), &first).unwrap();
            assert!(apart.relative < 1e-4 && apart.worst < 1e-3, "{apart:?}");
        }
    }

    #[test]
    fn dropout_is_refused() {
        let error = side(&["model.dropout=0.1"]).err().unwrap().to_string();
        assert!(error.contains("expected a network with model.dropout = 0, found 0.1"), "{error}");
    }
}
