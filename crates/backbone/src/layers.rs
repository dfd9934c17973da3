//! Convolution, linear layer and group normalisation, each computing in the precision of the pass.
//!
//! Parameters stay f32. In a bf16 pass the convolutions and linear layers cast them for the product, and their
//! gradients come back as f32.

use tch::{Kind, Tensor};
use torch_ext::Modulation;

use crate::adapters::Adapter;
use crate::error::BackboneError;
use crate::params::{ParamStore, Role};
use crate::pass::{Ops, Pass};

/// The initialisation of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Uniform with variance 2 / (fan_in + fan_out), as in Ho et al.'s code.
    FanAverage,
    /// Zero, for the last layer of a residual branch: a fresh block is its skip path.
    Zero,
}

/// A convolution with a square kernel.
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    adapter: Option<Adapter>,
    size: i64,
    stride: i64,
    padding: i64,
}

/// Shape of a convolution: square kernel, stride, padding on all sides.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Height and width.
    pub size: i64,
    /// The stride in both directions.
    pub stride: i64,
    /// The padding on all four sides.
    pub padding: i64,
}

impl Kernel {
    /// 1x1: one pixel at a time.
    pub const ONE: Self = Self { size: 1, stride: 1, padding: 0 };
    /// 3x3, padded to keep the size.
    pub const THREE: Self = Self { size: 3, stride: 1, padding: 1 };
}

impl Conv2d {
    /// Creates the layer with a bias of 0.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(
        store: &mut ParamStore,
        name: &str,
        channels: (usize, usize),
        kernel: Kernel,
        init: Init,
    ) -> Result<Self, BackboneError> {
        let (c_in, c_out) = (channels.0 as i64, channels.1 as i64);
        let area = kernel.size * kernel.size;
        let bound = bound(init, c_in * area, c_out * area);
        let shape = [c_out, c_in, kernel.size, kernel.size];
        Ok(Self {
            weight: store.uniform(format!("{name}.weight"), &shape, bound, Role::Convolution)?,
            bias: store.constant(format!("{name}.bias"), &[c_out], 0.0, Role::Other)?,
            adapter: Adapter::new(store, name, &shape, Role::Convolution)?,
            size: kernel.size,
            stride: kernel.stride,
            padding: kernel.padding,
        })
    }

    /// `[b, c_in, h, w]` to `[b, c_out, h / stride, w / stride]`.
    ///
    /// The only place that chooses between libtorch's gradient of the weight and that of `torch-ext`.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        let weight = adapted(&self.weight, self.adapter.as_ref())?;
        if self.has_fast_gradient(x, pass)? {
            return Ok(torch_ext::conv2d(x, &weight, &self.bias)?);
        }
        let bias = cast(&self.bias, pass.kind)?;
        // libtorch takes the layout of the result from input and weight.
        let weight = pass.layout(&weight)?;
        if pass.is_for_any_batch(x.device()) {
            return any_batch(x, &weight, &bias, self.stride, self.padding);
        }
        Ok(x.f_conv2d(&weight, Some(&bias), self.stride, self.padding, 1, 1)?)
    }

    /// Whether this is a bf16 pass with f32 weights. A network prepared for sampling has bf16 weights.
    fn has_fast_gradient(&self, x: &Tensor, pass: &Pass) -> Result<bool, BackboneError> {
        let mixed = pass.kind == Kind::BFloat16 && self.weight.f_kind()? == Kind::Float;
        let keeps_size = self.stride == 1 && matches!((self.size, self.padding), (1, 0) | (3, 1));
        Ok(mixed && keeps_size && pass.ops_on(x.device()) == Ops::Fused && torch_ext::conv2d_is_fast())
    }
}

/// A convolution in f32 with oneDNN, whose sums do not depend on the number of images. By default libtorch uses another
/// library for one image, or for few images with a 1x1 kernel, which gives other last bits.
///
/// The strides of dimensions of size 1 are arbitrary, and libtorch's choice of kernel depends on them, so they are set.
fn any_batch(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    stride: i64,
    padding: i64,
) -> Result<Tensor, BackboneError> {
    let innermost = |x: &Tensor| -> Result<Tensor, BackboneError> {
        let x = torch_ext::channels_last(x, Kind::Float)?;
        let size = x.size();
        let (c, h, w) = (size[1], size[2], size[3]);
        Ok(x.f_as_strided(&size, [c * h * w, 1, w * c, c], None)?)
    };
    let (x, weight) = (innermost(x)?, innermost(weight)?);
    Ok(x.f_mkldnn_convolution(&weight, Some(bias), [padding; 2], [stride; 2], [1, 1], 1)?)
}

/// A linear layer.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
    /// Of a layer on pixels or tokens.
    adapter: Option<Adapter>,
}

impl Linear {
    /// Creates the layer with a bias of 0.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(
        store: &mut ParamStore,
        name: &str,
        features: (usize, usize),
        init: Init,
        role: Role,
    ) -> Result<Self, BackboneError> {
        let (from, to) = (features.0 as i64, features.1 as i64);
        Ok(Self {
            weight: store.uniform(format!("{name}.weight"), &[to, from], bound(init, from, to), role)?,
            bias: store.constant(format!("{name}.bias"), &[to], 0.0, role)?,
            adapter: match role {
                Role::Tokens => Adapter::new(store, name, &[to, from], role)?,
                _ => None,
            },
        })
    }

    /// `[.., from]` to `[.., to]`, in the element type of `x`.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, BackboneError> {
        let kind = x.f_kind()?;
        let weight = adapted(&self.weight, self.adapter.as_ref())?;
        Ok(x.f_linear(&cast(&weight, kind)?, Some(&cast(&self.bias, kind)?))?)
    }

    /// [`Linear::forward`] for vectors `[b, from]` that belong to one image each. In sampling they are processed one by
    /// one, since the last bits of a matrix product depend on its number of rows.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn of_images(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        image_by_image(&[x], pass, |rows| self.forward(rows[0]))
    }

    /// [`Linear::forward`] for the pixels `[b, pixels, from]` of images.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn of_pixels(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        Self::side_by_side(&[self], x, pass)
    }

    /// Applies several layers to one input `[b, pixels, from]`, with outputs side by side, `[b, pixels, to of all]`. This
    /// takes one matrix product and one gradient of the input instead of one per layer.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn side_by_side(layers: &[&Self], x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        let kind = x.f_kind()?;
        let joined = |part: fn(&Self) -> Result<Tensor, BackboneError>| -> Result<Tensor, BackboneError> {
            let parts = layers.iter().map(|layer| part(layer)).collect::<Result<Vec<_>, _>>()?;
            cast(&Tensor::f_cat(&parts, 0)?, kind)
        };
        let weight = joined(|layer| adapted(&layer.weight, layer.adapter.as_ref()))?;
        let bias = joined(|layer| Ok(layer.bias.shallow_clone()))?;
        if !pass.is_for_any_batch(x.device()) {
            return Ok(x.f_linear(&weight, Some(&bias))?);
        }
        // Computed as a convolution of a map that is one pixel wide.
        let map = x.f_transpose(1, 2)?.f_unsqueeze(-1)?; // [b, from, pixels, 1]
        let weight = weight.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        Ok(any_batch(&map, &weight, &bias, 1, 0)?.f_squeeze_dim(-1)?.f_transpose(1, 2)?.f_contiguous()?)
    }
}

/// Applies `body` to tensors with one row per image. In sampling on the CPU each row is processed on its own, so that it
/// does not depend on the rest of its batch; otherwise all are processed at once.
///
/// # Errors
/// Errors from libtorch.
pub fn image_by_image(
    rows: &[&Tensor],
    pass: &Pass,
    body: impl Fn(&[&Tensor]) -> Result<Tensor, BackboneError>,
) -> Result<Tensor, BackboneError> {
    if pass.time_kind(rows[0].device()) != Kind::Double {
        return body(rows);
    }
    let of_image = |image| -> Result<Tensor, BackboneError> {
        let own = rows.iter().map(|whole| whole.f_narrow(0, image, 1)).collect::<Result<Vec<_>, _>>()?;
        body(&own.iter().collect::<Vec<_>>())
    };
    let each = (0..rows[0].size()[0]).map(of_image).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&each, 0)?)
}

/// A group normalisation, and in one operation what may follow it.
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    /// Creates the layer with weights of 1 and a bias of 0.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(
        store: &mut ParamStore,
        name: &str,
        channels: usize,
        groups: usize,
        eps: f64,
    ) -> Result<Self, BackboneError> {
        Ok(Self {
            weight: store.constant(format!("{name}.weight"), &[channels as i64], 1.0, Role::Other)?,
            bias: store.constant(format!("{name}.bias"), &[channels as i64], 0.0, Role::Other)?,
            groups: groups as i64,
            eps,
        })
    }

    /// The norm of `x` `[b, c, h, w]`, modulated by the time, followed by SiLU if `silu`; in the type of `x`.
    ///
    /// This and [`GroupNorm::branch`] choose between the fused operation of `torch-ext` and libtorch's own.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn forward(
        &self,
        x: &Tensor,
        time: Modulation<'_>,
        silu: bool,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        match pass.ops_on(x.device()) {
            Ops::Fused => Ok(torch_ext::group_norm(x, &self.fused(), time, silu)?),
            Ops::Plain => self.plain(x, time, silu),
        }
    }

    /// [`GroupNorm::forward`] without a time, and `x` for the branch around it: with the fused operation, the gradient
    /// of that branch needs no separate pass.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn branch(&self, x: &Tensor, silu: bool, pass: &Pass) -> Result<(Tensor, Tensor), BackboneError> {
        match pass.ops_on(x.device()) {
            Ops::Fused => Ok(torch_ext::group_norm_branch(x, &self.fused(), Modulation::None, silu)?),
            Ops::Plain => Ok((self.plain(x, Modulation::None, silu)?, x.shallow_clone())),
        }
    }

    fn fused(&self) -> torch_ext::GroupNorm<'_> {
        let Self { weight, bias, groups, eps } = self;
        torch_ext::GroupNorm { weight, bias, groups: *groups, eps: *eps }
    }

    fn plain(&self, x: &Tensor, time: Modulation<'_>, silu: bool) -> Result<Tensor, BackboneError> {
        let kind = x.f_kind()?;
        let (weight, bias) = (cast(&self.weight, kind)?, cast(&self.bias, kind)?);
        let norm = |x: &Tensor| x.f_group_norm(self.groups, Some(&weight), Some(&bias), self.eps, true);
        let per_channel = |time: &Tensor| time.f_to_kind(kind)?.f_unsqueeze(-1)?.f_unsqueeze(-1);
        let y = match time {
            Modulation::Shift(shift) => norm(&x.f_add(&per_channel(shift)?)?)?,
            Modulation::ScaleShift(both) => {
                let halves = per_channel(both)?.f_chunk(2, 1)?; // two of [b, c, 1, 1]
                norm(x)?.f_mul(&halves[0].f_add_scalar(1.0)?)?.f_add(&halves[1])?
            }
            _ => norm(x)?,
        };
        Ok(if silu { y.f_silu()? } else { y })
    }
}

/// Concatenates feature maps along their channels. The only place that chooses between libtorch's concatenation and that of
/// `torch-ext`.
///
/// # Errors
/// Errors from libtorch.
pub fn join(maps: &[&Tensor], pass: &Pass) -> Result<Tensor, BackboneError> {
    match maps {
        [one] => Ok(one.shallow_clone()),
        [a, b] if pass.ops_on(a.device()) == Ops::Fused => Ok(torch_ext::join_channels(a, b)?),
        _ => Ok(Tensor::f_cat(maps, 1)?),
    }
}

/// Dropout in training. The only place that chooses between libtorch's and that of `torch-ext`; the two draw different masks
/// from the same seed.
///
/// # Errors
/// Errors from libtorch.
pub fn dropout(x: Tensor, rate: f64, pass: &Pass) -> Result<Tensor, BackboneError> {
    if !pass.train || rate == 0.0 {
        return Ok(x);
    }
    match pass.ops_on(x.device()) {
        Ops::Fused => Ok(torch_ext::dropout(&x, rate)?),
        Ops::Plain => Ok(x.f_dropout(rate, true)?),
    }
}

/// A uniform distribution on `[-a, a]` has variance a^2 / 3.
fn bound(init: Init, fan_in: i64, fan_out: i64) -> f64 {
    match init {
        Init::FanAverage => (6.0 / (fan_in + fan_out) as f64).sqrt(),
        Init::Zero => 0.0,
    }
}

/// The weight of a layer with its adapter, if it has one.
fn adapted(weight: &Tensor, adapter: Option<&Adapter>) -> Result<Tensor, BackboneError> {
    adapter.map_or_else(|| Ok(weight.shallow_clone()), |adapter| adapter.add_to(weight))
}

/// Casts a tensor; without a copy if it already has that kind.
fn cast(param: &Tensor, kind: Kind) -> Result<Tensor, BackboneError> {
    Ok(param.f_to_kind(kind)?)
}
