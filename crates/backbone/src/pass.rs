//! How to run the network: precision, dropout, and the choice of operations.

use tch::utils::has_mkldnn;
use tch::{Device, Kind, Tensor};

use crate::error::BackboneError;

/// The settings of one run of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// Dropout is active.
    pub train: bool,
    /// Element type of the feature maps: [`Kind::Float`] or [`Kind::BFloat16`].
    pub kind: Kind,
    /// Use only libtorch's own operations, in its default layout: the reference for the fast ones.
    pub plain: bool,
    /// With libtorch's own operations, channels are innermost in feature maps. The fused operations always have them there.
    pub channels_last: bool,
    /// In training, each residual block keeps only its inputs and runs again in the backward pass (Chen et al. 2016): less
    /// memory, a third more work, the same bits.
    pub checkpoint: bool,
}

/// The operations to use on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ops {
    /// libtorch's operations, in its default layout unless [`Pass::channels_last`] is set.
    Plain,
    /// Normalisation, modulation and SiLU in one operation; channels innermost in feature maps.
    Fused,
}

impl Pass {
    /// A pass without dropout, in f32.
    #[must_use]
    pub fn eval() -> Self {
        Self { train: false, kind: Kind::Float, plain: false, channels_last: false, checkpoint: false }
    }

    /// A pass with dropout, in f32.
    #[must_use]
    pub fn train() -> Self {
        Self { train: true, ..Self::eval() }
    }

    /// The same pass in another precision.
    #[must_use]
    pub fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same pass with libtorch's own operations only.
    #[must_use]
    pub fn with_plain(self, plain: bool) -> Self {
        Self { plain, ..self }
    }

    /// The same pass with channels innermost, also where libtorch's own operations run: to measure this layout on a GPU.
    #[must_use]
    pub fn with_channels_last(self, channels_last: bool) -> Self {
        Self { channels_last, ..self }
    }

    /// The same pass with or without activation checkpointing, which only training uses.
    #[must_use]
    pub fn with_checkpoints(self, checkpoint: bool) -> Self {
        Self { checkpoint, ..self }
    }

    /// The fused operation is for the CPU. It belongs with the layout: libtorch's own normalisation is so slow with
    /// channels innermost that the layout would not pay off.
    #[must_use]
    pub fn ops_on(&self, device: Device) -> Ops {
        let fused = !self.plain && device == Device::Cpu && matches!(self.kind, Kind::Float | Kind::BFloat16);
        if fused { Ops::Fused } else { Ops::Plain }
    }

    /// Element type of the time vector: f64 in sampling on the CPU, where it is also computed for each image separately,
    /// so that it does not depend on the rest of the batch. Training does not need that, and GPUs are slow at it, so they
    /// use f32.
    #[must_use]
    pub fn time_kind(&self, device: Device) -> Kind {
        if !self.train && device == Device::Cpu { Kind::Double } else { Kind::Float }
    }

    /// Whether f32 convolutions and products of pixels use oneDNN, whose sums do not depend on the number of images: in
    /// sampling on the CPU, if libtorch has it. In bf16 they always do.
    #[must_use]
    pub fn is_for_any_batch(&self, device: Device) -> bool {
        !self.train && self.kind == Kind::Float && self.ops_on(device) == Ops::Fused && has_mkldnn()
    }

    /// Converts a feature map or the weight of a convolution `[.., .., h, w]` to the type and layout of this pass.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn layout(&self, x: &Tensor) -> Result<Tensor, BackboneError> {
        Ok(match self.ops_on(x.device()) {
            Ops::Plain if !self.channels_last => x.f_to_kind(self.kind)?,
            Ops::Fused | Ops::Plain => torch_ext::channels_last(x, self.kind)?,
        })
    }
}
