//! The whole network: `eps_theta(x_t, t)` of Ho et al. 2020.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use torch_ext::Modulation;

use crate::blocks::{Bottom, DownLevel, UpLevel};
use backbone::BackboneError;
use backbone::Pass;
use backbone::TimeNet;
use backbone::layers::{Conv2d, GroupNorm, Init, Kernel, Linear};
use backbone::{Backbone, Facts, ParamStore, Params, Role};
use config::{TimeInjection, UNetConfig};

/// A U-Net on one device.
pub struct UNet {
    config: UNetConfig,
    timesteps: usize,
    time: TimeNet,
    conv_in: Conv2d,
    /// From the time vector to the first feature map, if the time enters only there.
    input_time: Option<Linear>,
    down: Vec<DownLevel>,
    bottom: Option<Bottom>,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    params: Params,
}

/// Checks by its header, without building a network, that a file holds the weights of such a network.
///
/// # Errors
/// [`BackboneError::Config`] for an invalid configuration, [`BackboneError::Weights`], which lists the differences.
pub fn check_weights(config: &UNetConfig, path: &Path) -> Result<(), BackboneError> {
    config.validate()?;
    Ok(tensor_io::check_header(path, &config.parameters())?)
}

impl UNet {
    /// A fresh network for a path of `timesteps` steps. The same seed gives the same network on every device.
    ///
    /// # Errors
    /// [`BackboneError::Config`] for an invalid configuration; errors from libtorch, such as lack of memory.
    pub fn new(
        config: &UNetConfig,
        timesteps: usize,
        device: Device,
        seed: u64,
    ) -> Result<Self, BackboneError> {
        config.validate()?;
        let store = ParamStore::new(device, seed).with_adapters(config.adapter_rank);
        Self::build(config, timesteps, store)
    }

    fn build(config: &UNetConfig, timesteps: usize, mut params: ParamStore) -> Result<Self, BackboneError> {
        let store = &mut params;
        let vector = (timesteps, config.time_width());
        let time = TimeNet::new(store, &config.embedding, vector, (config.classes, config.augmented))?;
        let base = config.base_channels;
        let conv_in =
            Conv2d::new(store, "conv_in", (config.in_channels, base), Kernel::THREE, Init::FanAverage)?;
        let input_time = match config.time_injection {
            TimeInjection::PerBlock => None,
            TimeInjection::Input => {
                let features = (config.time_width(), base);
                Some(Linear::new(store, "time_in", features, Init::FanAverage, Role::Time)?)
            }
        };

        let levels = config.levels();
        let mut skips = vec![base];
        let mut channels = base;
        let mut down = Vec::with_capacity(levels);
        for level in 0..levels {
            down.push(DownLevel::new(store, level, channels, &mut skips, config)?);
            channels = config.level_channels(level);
        }
        let has_middle = !config.layout.middle.absent;
        let bottom = has_middle.then(|| Bottom::new(store, channels, config)).transpose()?;
        let mut up = Vec::with_capacity(levels);
        for level in (0..levels).rev() {
            up.push(UpLevel::new(store, level, channels, &mut skips, config)?);
            channels = config.level_channels(level);
        }

        let norm_out = GroupNorm::new(store, "conv_norm_out", channels, config.groups, config.norm_eps)?;
        let conv_out =
            Conv2d::new(store, "conv_out", (channels, config.out_channels), Kernel::THREE, Init::Zero)?;
        Ok(Self {
            config: config.clone(),
            timesteps,
            time,
            conv_in,
            input_time,
            down,
            bottom,
            up,
            norm_out,
            conv_out,
            params: params.into_params(),
        })
    }

    /// The network's configuration.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }
}

impl Backbone for UNet {
    fn facts(&self) -> Facts {
        Facts {
            in_channels: self.config.in_channels,
            out_channels: self.config.out_channels,
            multiple: self.config.downsampling_factor(),
            classes: self.config.classes,
            augmented: self.config.augmented,
            timesteps: self.timesteps,
        }
    }

    fn parameters(&self) -> &Params {
        &self.params
    }

    fn with_parameters(&self, params: Vec<Named>) -> Result<Box<dyn Backbone>, BackboneError> {
        // Those of a network whose adapters are merged have none.
        let adapter_rank =
            self.config.adapter_rank.filter(|_| params.iter().any(|(name, _)| config::is_adapter(name)));
        let config = UNetConfig { adapter_rank, ..self.config.clone() };
        let store = ParamStore::given(self.device(), params).with_adapters(adapter_rank);
        Ok(Box::new(Self::build(&config, self.timesteps, store)?))
    }

    fn forward(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        class: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        self.check(x_t, t, class)?;
        let x_t = x_t.f_to_device(self.device())?;
        let x_t =
            if self.config.layout.center_input { x_t.f_mul_scalar(2.0)?.f_sub_scalar(1.0)? } else { x_t };
        let x = pass.layout(&x_t)?;
        let t = t.f_to_device(self.device())?;
        let class = class.map(|labels| labels.f_to_device(self.device())).transpose()?;

        // The SiLU before every block's projection is the same, so apply it once.
        let temb = self.time.forward(&t, class.as_ref(), self.config.layout.activation, pass)?; // [b, d]
        let mut h = self.conv_in.forward(&x, pass)?; // [b, base, h, w]
        if let Some(linear) = &self.input_time {
            let of_time = linear.of_images(&temb, pass)?.f_to_kind(pass.kind)?;
            h = h.f_add_(&of_time.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?;
        }
        let mut skips = vec![h.shallow_clone()];
        for level in &self.down {
            h = level.forward(h, &temb, &mut skips, pass)?;
        }
        if let Some(bottom) = &self.bottom {
            h = bottom.forward(&h, &temb, pass)?;
        }
        for level in &self.up {
            h = level.forward(h, &temb, &mut skips, pass)?;
        }
        let h = self.norm_out.forward(&h, Modulation::None, true, pass)?;
        Ok(self.conv_out.forward(&h, pass)?.f_to_kind(Kind::Float)?.f_contiguous()?)
    }
}
