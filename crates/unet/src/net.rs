//! The whole network: `eps_theta(x_t, t)` of Ho et al. 2020.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use tensor_io::Named;
use torch_ext::Modulation;

use crate::blocks::{Bottom, DownLevel, UpLevel};
use crate::error::UNetError;
use crate::labels;
use crate::layers::{Conv2d, GroupNorm, Init, Kernel, Linear};
use crate::params::{Layer, ParamStore};
use crate::pass::Pass;
use crate::time::TimeNet;
use config::{TimeInjection, UNetConfig};

/// A U-Net on one device.
pub struct UNet {
    config: UNetConfig,
    timesteps: usize,
    device: Device,
    time: TimeNet,
    conv_in: Conv2d,
    /// From the time vector to the first feature map, when the time enters there only.
    input_time: Option<Linear>,
    down: Vec<DownLevel>,
    bottom: Bottom,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    params: Vec<Named>,
}

/// Checks by its header that a file holds the weights of such a network, without building one.
///
/// # Errors
/// [`UNetError::Config`] when the configuration makes no network, [`UNetError::Weights`] naming what differs.
pub fn check_weights(config: &UNetConfig, path: &Path) -> Result<(), UNetError> {
    config.validate()?;
    Ok(tensor_io::check_header(path, &config.parameters())?)
}

impl UNet {
    /// A fresh network for a process of `timesteps` steps. The same seed gives the same network on every
    /// device.
    ///
    /// # Errors
    /// [`UNetError::Config`] when the configuration makes no network; those of libtorch (memory).
    pub fn new(config: &UNetConfig, timesteps: usize, device: Device, seed: u64) -> Result<Self, UNetError> {
        config.validate()?;
        Self::build(config, timesteps, ParamStore::new(device, seed))
    }

    /// A copy for many passes like this one that learn nothing: its weights are in the type and layout in which the pass
    /// computes, where [`UNet::forward`] would convert them in every call. What it predicts is the same.
    ///
    /// Its parameters are its own and need no gradients. They are of several types, so such a copy is not for saving,
    /// training or passes of another type.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    pub fn prepared(&self, pass: &Pass) -> Result<Self, UNetError> {
        let _no_grad = tch::no_grad_guard();
        let copy = |(name, param): &Named| {
            let layer = Layer::of(name, param);
            let param = param.f_detach()?;
            let param = match layer {
                Layer::Convolution => pass.layout(&param)?,
                Layer::Time => param.f_to_kind(pass.time_kind(self.device))?,
                Layer::Attention => param.f_to_kind(pass.kind)?,
                Layer::Other => param,
            };
            // The conversion may have been none.
            let mut own = param.f_empty_like()?;
            own.f_copy_(&param)?;
            Ok((name.clone(), own))
        };
        let params = self.params.iter().map(copy).collect::<Result<_, UNetError>>()?;
        Self::build(&self.config, self.timesteps, ParamStore::given(self.device, params))
    }

    fn build(config: &UNetConfig, timesteps: usize, mut params: ParamStore) -> Result<Self, UNetError> {
        let device = params.device();
        let store = &mut params;
        let time = TimeNet::new(store, config, timesteps)?;
        let base = config.base_channels;
        let conv_in =
            Conv2d::new(store, "conv_in", (config.in_channels, base), Kernel::THREE, Init::FanAverage)?;
        let input_time = match config.time_injection {
            TimeInjection::PerBlock => None,
            TimeInjection::Input => {
                Some(Linear::new(store, "time_in", (config.time_width(), base), Init::FanAverage)?)
            }
        };

        let levels = config.channel_mults.len();
        let mut skips = vec![base];
        let mut channels = base;
        let mut down = Vec::with_capacity(levels);
        for level in 0..levels {
            down.push(DownLevel::new(store, level, channels, &mut skips, config)?);
            channels = config.level_channels(level);
        }
        let bottom = Bottom::new(store, channels, config)?;
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
            device,
            time,
            conv_in,
            input_time,
            down,
            bottom,
            up,
            norm_out,
            conv_out,
            params: params.into_named(),
        })
    }

    /// `x_t` `[b, c, h, w]` and `t` `[b]` in `0..T` (i64, or floating for steps between) to the prediction
    /// `[b, c, h, w]` in f32: eps, or whatever the network was trained for. `class` `[b]` i64 holds the
    /// labels of a conditional network; [`crate::NO_LABEL`] is the label of an image without, and no labels
    /// at all are as many of it.
    ///
    /// Labels in the host's memory are checked here. Those on a GPU are not, since the host would wait for
    /// it: make them by [`UNet::labels`], once before the steps, or check them otherwise. An unchecked wrong
    /// label on a GPU ends the work of the whole process there.
    ///
    /// # Errors
    /// [`UNetError::Shape`] when the inputs do not fit the network or each other;
    /// [`UNetError::Unconditional`], [`UNetError::Label`] and [`UNetError::LabelKind`] for labels; those of libtorch
    /// (memory).
    pub fn forward(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        class: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, UNetError> {
        self.check(x_t, t, class)?;
        let x = pass.layout(&x_t.f_to_device(self.device)?)?;
        let t = t.f_to_device(self.device)?;
        let class = class.map(|labels| labels.f_to_device(self.device)).transpose()?;

        // The SiLU in front of every block's projection is the same one: taken once.
        let temb = self.time.forward(&t, class.as_ref(), pass)?; // [b, d]
        let mut h = self.conv_in.forward(&x, pass)?; // [b, base, h, w]
        if let Some(linear) = &self.input_time {
            let of_time = linear.of_images(&temb, pass)?.f_to_kind(pass.kind)?;
            h = h.f_add_(&of_time.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?;
        }
        let mut skips = vec![h.shallow_clone()];
        for level in &self.down {
            h = level.forward(h, &temb, &mut skips, pass)?;
        }
        h = self.bottom.forward(&h, &temb, pass)?;
        for level in &self.up {
            h = level.forward(h, &temb, &mut skips, pass)?;
        }
        let h = self.norm_out.forward(&h, Modulation::None, true, pass)?;
        Ok(self.conv_out.forward(&h, pass)?.f_to_kind(Kind::Float)?.f_contiguous()?)
    }

    pub(crate) fn check(&self, x_t: &Tensor, t: &Tensor, class: Option<&Tensor>) -> Result<(), UNetError> {
        let size = x_t.size();
        let channels = self.config.in_channels as i64;
        let factor = self.config.downsampling_factor() as i64;
        let fits = matches!(size[..], [b, c, h, w] if b > 0 && c == channels && h > 0 && w > 0 && h % factor == 0 && w % factor == 0);
        if !fits {
            let expected = format!("[b, {channels}, h, w] with h and w multiples of {factor}");
            return Err(UNetError::Shape { what: "x_t", got: size, expected });
        }
        let vectors = [("t", Some(t)), ("class", class)];
        for (what, vector) in vectors {
            if let Some(vector) = vector.filter(|vector| vector.size() != [size[0]]) {
                let expected = format!("[{}], one for each image", size[0]);
                return Err(UNetError::Shape { what, got: vector.size(), expected });
            }
        }
        match (class, self.config.classes) {
            (None, _) => Ok(()),
            (Some(labels), Some(classes)) => labels::check(labels, classes),
            (Some(_), None) => Err(UNetError::Unconditional),
        }
    }

    /// Labels, [`crate::NO_LABEL`] or a class each, as the tensor `[b]` that [`UNet::forward`] takes, on the
    /// network's device.
    ///
    /// # Errors
    /// [`UNetError::Unconditional`] for a network without classes; [`UNetError::Label`] for a label out of
    /// range; those of libtorch (memory).
    pub fn labels(&self, labels: &[i64]) -> Result<Tensor, UNetError> {
        labels::on_device(labels, self.config.classes.ok_or(UNetError::Unconditional)?, self.device)
    }

    /// What the network looks like.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// The parameters, in a fixed order; training changes these very tensors.
    pub fn params(&self) -> &[Named] {
        &self.params
    }

    /// How many numbers are learned.
    #[must_use]
    pub fn param_count(&self) -> usize {
        self.params.iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// Copies weights of the same names, shapes and types in, for example an average of training's.
    ///
    /// # Errors
    /// [`UNetError::Weights`] naming every difference; the network is then as it was.
    pub fn copy_weights(&self, weights: &[Named]) -> Result<(), UNetError> {
        Ok(tensor_io::copy_into(Path::new("(memory)"), weights, &self.params)?)
    }

    /// Writes the weights as safetensors, atomically.
    ///
    /// # Errors
    /// [`UNetError::Weights`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), UNetError> {
        Ok(tensor_io::save(path, &self.params)?)
    }

    /// Reads weights that [`UNet::save`] wrote.
    ///
    /// # Errors
    /// [`UNetError::Weights`] naming every name, shape or type that differs; the network is then as it was.
    pub fn load(&self, path: &Path) -> Result<(), UNetError> {
        Ok(tensor_io::load_into(path, &self.params)?)
    }
}
