//! How the network is run: precision, dropout, and which operations do the work.

use tch::utils::has_mkldnn;
use tch::{Device, Kind, Tensor};

use crate::error::BackboneError;

/// How the network is run this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// Dropout is active.
    pub train: bool,
    /// Element type of the feature maps: [`Kind::Float`] or [`Kind::BFloat16`].
    pub kind: Kind,
    /// Only libtorch's own operations, in its default layout: the reference that the fast ones are compared with.
    pub plain: bool,
    /// In training, each residual block keeps its inputs only and runs again in the backward pass (Chen et al. 2016): less
    /// memory, a third more work, the same bits.
    pub checkpoint: bool,
}

/// What does the work on some device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ops {
    /// libtorch's operations, in its default layout.
    Plain,
    /// Normalisation, modulation and SiLU in one operation, feature maps with their channels innermost.
    Fused,
}

impl Pass {
    /// Without dropout, in f32.
    #[must_use]
    pub fn eval() -> Self {
        Self { train: false, kind: Kind::Float, plain: false, checkpoint: false }
    }

    /// With dropout, in f32.
    #[must_use]
    pub fn train() -> Self {
        Self { train: true, ..Self::eval() }
    }

    /// The same pass in another precision.
    #[must_use]
    pub fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same pass through libtorch's own operations alone.
    #[must_use]
    pub fn with_plain(self, plain: bool) -> Self {
        Self { plain, ..self }
    }

    /// The same pass with or without activation checkpointing, which only training takes.
    #[must_use]
    pub fn with_checkpoints(self, checkpoint: bool) -> Self {
        Self { checkpoint, ..self }
    }

    /// The fused operation is for the CPU. The two belong together: libtorch's own normalisation is slow on channels
    /// that are innermost, so slow that the layout loses.
    #[must_use]
    pub fn ops_on(&self, device: Device) -> Ops {
        let fused = !self.plain && device == Device::Cpu && matches!(self.kind, Kind::Float | Kind::BFloat16);
        if fused { Ops::Fused } else { Ops::Plain }
    }

    /// Element type of the time vector: f64 in sampling on the CPU, where it is also computed for each image by itself, so
    /// that it does not depend on the others of its batch. Training, which has no use for that, and GPUs, which are slow
    /// at it, do with f32.
    #[must_use]
    pub fn time_kind(&self, device: Device) -> Kind {
        if !self.train && device == Device::Cpu { Kind::Double } else { Kind::Float }
    }

    /// Whether f32 convolutions and products of pixels go to the one library whose sums do not depend on the number of
    /// images: in sampling on the CPU, where libtorch has it. In bf16 they do anyway.
    #[must_use]
    pub fn is_for_any_batch(&self, device: Device) -> bool {
        !self.train && self.kind == Kind::Float && self.ops_on(device) == Ops::Fused && has_mkldnn()
    }

    /// A feature map or the weight of a convolution `[.., .., h, w]` in type and layout of this pass.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    pub fn layout(&self, x: &Tensor) -> Result<Tensor, BackboneError> {
        Ok(match self.ops_on(x.device()) {
            Ops::Fused => torch_ext::channels_last(x, self.kind)?,
            Ops::Plain => x.f_to_kind(self.kind)?,
        })
    }
}
