//! Reading what `scripts/make_sampler_goldens.py` wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use tch::Tensor;

use super::model::Mixture;
use super::settings::Settings;

/// All runs of the peer.
pub(crate) struct Goldens {
    /// The peer's packages and their versions.
    pub(crate) peer: BTreeMap<String, String>,
    pub(crate) mixture: Mixture,
    /// `[b, c, h, w]` f32, the start of every run before its `start_scale`.
    pub(crate) x_t: Tensor,
    /// `[draws, b, c, h, w]` f32.
    pub(crate) noise: Tensor,
    pub(crate) runs: Vec<Run>,
}

/// One run of the peer.
pub(crate) struct Run {
    pub(crate) record: Record,
    pub(crate) settings: Settings,
    /// `[b, c, h, w]` f32, what the peer returned.
    pub(crate) sample: Tensor,
}

/// The peer's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Scheduler {
    #[serde(rename = "DDPMScheduler")]
    Ddpm,
    #[serde(rename = "DDIMScheduler")]
    Ddim,
    #[serde(rename = "DPMSolverMultistepScheduler")]
    DpmSolver,
    #[serde(rename = "UniPCMultistepScheduler")]
    UniPc,
    #[serde(rename = "PNDMScheduler")]
    Pndm,
    #[serde(rename = "DEISMultistepScheduler")]
    Deis,
    #[serde(rename = "EulerDiscreteScheduler")]
    Euler,
    #[serde(rename = "EulerAncestralDiscreteScheduler")]
    EulerAncestral,
    #[serde(rename = "HeunDiscreteScheduler")]
    Heun,
}

/// The script's record of a run.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) scheduler: Scheduler,
    pub(crate) steps: usize,
    arguments: Map<String, Value>,
    step_arguments: Map<String, Value>,
    /// The factor on `x_t` with which the run starts.
    pub(crate) start_scale: f64,
    pub(crate) calls: usize,
    /// For each draw of noise, the call after which it was made.
    pub(crate) draws: Vec<usize>,
    /// Whether the sample is `x_0 + sigma eps`, not `alpha x_0 + sigma eps`.
    pub(crate) variance_exploding: bool,
    /// The t of each call.
    pub(crate) timesteps: Vec<f32>,
    /// `sigma / alpha` of each call and of the end; empty where the scheduler has no such list.
    pub(crate) sigmas: Vec<f32>,
    /// The L2 norm of the network's input in each call.
    pub(crate) input_norms: Vec<f64>,
    /// How far the peer's result in f32 is from its result in f64.
    pub(crate) rounding: f64,
}

#[derive(Deserialize)]
struct File {
    peer: BTreeMap<String, String>,
    model: Mixture,
    defaults: BTreeMap<Scheduler, Map<String, Value>>,
    configurations: Vec<Record>,
}

impl Goldens {
    /// Reads the goldens of this crate.
    pub(crate) fn read() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/goldens");
        let path = folder.join("configurations.json");
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file: File = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let [x_t, noise, samples] = ["x_t.npy", "noise.npy", "samples.npy"].map(|name| array(&folder, name));
        let (x_t, noise, samples) = (x_t?, noise?, samples?);
        let (expected, found) = (file.configurations.len(), samples.size()[0]);
        ensure!(
            usize::try_from(found)? == expected,
            "samples.npy: expected {expected} samples, one a configuration, found {found}"
        );
        let runs = file
            .configurations
            .into_iter()
            .zip(0..)
            .map(|(record, index)| {
                let defaults = file.defaults.get(&record.scheduler);
                let mut settings =
                    defaults.with_context(|| format!("no defaults for {}", record.name))?.clone();
                settings.extend(record.arguments.clone());
                settings.extend(record.step_arguments.clone());
                let settings = Settings::new(settings).with_context(|| record.name.clone())?;
                Ok(Run { record, settings, sample: samples.get(index) })
            })
            .collect::<Result<_>>()?;
        Ok(Self { peer: file.peer, mixture: file.model, x_t, noise, runs })
    }
}

fn array(folder: &Path, name: &str) -> Result<Tensor> {
    match dataset::read_npy(&folder.join(name))? {
        dataset::AnyArray::F32(array) => Ok(tensor_io::from_array(&array.view())?),
        other => anyhow::bail!("{name}: expected f32, found {}", other.type_name()),
    }
}
