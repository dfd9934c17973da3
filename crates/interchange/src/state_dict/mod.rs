//! Reads state dicts of PyTorch codebases from safetensors files. The network follows from tensor names and shapes; the
//! user supplies the rest.

mod naming;
mod plan;
mod tensors;

pub use plan::{Origin, Weight};
pub use tensors::Tensors;

#[cfg(test)]
pub(crate) use naming::tensors_of;
pub(crate) use naming::{Naming, Part, Place, Side};
pub(crate) use plan::plan;

use config::{Config, Preferred, ScheduleConfig, UNetConfig};
use schedule::Prediction;

use crate::InterchangeError;
use crate::diffusers::{Network, Scheduler};

/// A model read from a state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The configuration for all commands.
    pub config: Config,
    /// Where each weight of the network comes from, in the order of [`UNetConfig::parameters`].
    pub weights: Vec<Weight>,
}

impl Model {
    /// A network that predicts eps, and the variance too if it has twice the output channels (Nichol & Dhariwal 2021,
    /// Eq. 15). It is sampled with all steps of its chain. `sigma` is the variance for networks that do not predict it.
    pub(crate) fn new(
        tensors: &Tensors,
        (network, weights): (UNetConfig, Vec<Weight>),
        schedule: ScheduleConfig,
        sigma: &str,
    ) -> Result<Self, InterchangeError> {
        let refuse = |error| InterchangeError::Network { path: tensors.path().to_owned(), error };
        let learned_variance = network.out_channels == 2 * network.in_channels;
        let preferred = Preferred {
            sampler: if learned_variance { "ddpm-learned" } else { "ddpm" }.to_owned(),
            steps: schedule.steps,
            spacing: "linspace".to_owned(),
            warp: None,
            steps_offset: 0,
            ends_at_first_step: false,
            threshold: "clip".to_owned(),
            keeps_eps: false,
            scales_start: false,
            sigma: (!learned_variance).then(|| sigma.to_owned()),
            eta: None,
            order: None,
        };
        let side = network.image_size;
        let network = Network { config: network, height: side, width: side };
        let scheduler = Scheduler { schedule, prediction: Prediction::Eps, learned_variance, preferred };
        let config = crate::run::config(&network, &scheduler);
        config.validate().map_err(refuse)?;
        Ok(Self { config, weights })
    }
}
