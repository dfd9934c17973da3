//! Self-attention over the pixels of a feature map, with a residual connection (Ho et al. 2020, App. B).

use tch::{Kind, Tensor};

use backbone::BackboneError;
use backbone::layers::{GroupNorm, Init, Linear};
use backbone::{Ops, Pass};
use backbone::{ParamStore, Role};
use config::UNetConfig;

/// Values per head and image, `pixels * c / heads`, up to which [`attend`] trains in f32.
const SMALL_HEAD: i64 = 64 * 192;

/// How an attention layer differs from the network's default.
#[derive(Clone, Copy)]
pub(crate) struct Attends {
    /// Groups of its normalisation; `None` for no normalisation.
    pub(crate) groups: Option<usize>,
    /// Divisor of the sum of branch and skip path.
    pub(crate) scale: Option<f64>,
}

impl Attends {
    pub(crate) fn usual(config: &UNetConfig) -> Self {
        Self { groups: Some(config.groups), scale: None }
    }
}

pub(crate) struct Attention {
    norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: i64,
    scale: Option<f64>,
}

impl Attention {
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        channels: usize,
        (config, attends): (&UNetConfig, Attends),
    ) -> Result<Self, BackboneError> {
        let norm_name = format!("{name}.group_norm");
        let mut norm = |groups| GroupNorm::new(store, &norm_name, channels, groups, config.norm_eps);
        let norm = attends.groups.map(&mut norm).transpose()?;
        let mut linear = |part: &str, init| {
            let name = format!("{name}.{part}");
            Linear::new(store, &name, (channels, channels), init, Role::Tokens)
        };
        Ok(Self {
            norm,
            to_q: linear("to_q", Init::FanAverage)?,
            to_k: linear("to_k", Init::FanAverage)?,
            to_v: linear("to_v", Init::FanAverage)?,
            to_out: linear("to_out.0", Init::Zero)?,
            heads: config.heads_of(channels) as i64,
            scale: attends.scale,
        })
    }

    /// `[b, c, h, w]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
        let size = x.size();
        let (b, c, h, w) = (size[0], size[1], size[2], size[3]);
        let pixels = h * w;
        // With channels innermost, neither this nor its inverse copies.
        let (tokens, x) = match &self.norm {
            Some(norm) => norm.branch(x, false, pass)?,
            None => (x.shallow_clone(), x.shallow_clone()),
        };
        let tokens = tokens.f_permute([0, 2, 3, 1])?.f_reshape([b, pixels, c])?; // [b, hw, c]
        let all = Linear::side_by_side(&[&self.to_q, &self.to_k, &self.to_v], &tokens, pass)?; // [b, hw, 3c]
        let all = all.f_view([b, pixels, 3, self.heads, c / self.heads])?.f_permute([2, 0, 3, 1, 4])?;
        let parts = all.f_unbind(0)?;
        let (q, k, v) = (&parts[0], &parts[1], &parts[2]); // [b, heads, hw, c / heads]
        let mixed = attend(q, k, v, pass)?.f_transpose(1, 2)?.f_reshape([b, pixels, c])?;
        let out = self.to_out.of_pixels(&mixed, pass)?.f_view([b, h, w, c])?.f_permute([0, 3, 1, 2])?; // [b, c, h, w]
        let sum = x.f_add(&out)?;
        Ok(match self.scale {
            Some(scale) => sum.f_div_scalar(scale)?,
            None => sum,
        })
    }
}

/// `softmax(q k^T / sqrt(d)) v`, all `[b, heads, hw, d]`.
///
/// In bf16 on the CPU, libtorch computes the gradient with many small products, a few per image, whose setup takes longer
/// than the product. In f32 it uses another library, which is faster up to some size, and more accurate.
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, pass: &Pass) -> Result<Tensor, BackboneError> {
    let attention = |q: &Tensor, k: &Tensor, v: &Tensor| {
        Tensor::f_scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, false, None, false)
    };
    let size = q.size();
    let in_f32 = pass.train
        && pass.kind == Kind::BFloat16
        && pass.ops_on(q.device()) == Ops::Fused
        && size[2] * size[3] <= SMALL_HEAD;
    if pass.is_for_any_batch(q.device()) {
        // The split of a product depends on the rest of the work, and its sums depend on the split.
        let parts = (0..size[0]).map(|image| -> Result<Tensor, BackboneError> {
            let of = |x: &Tensor| x.f_narrow(0, image, 1);
            Ok(attention(&of(q)?, &of(k)?, &of(v)?)?)
        });
        return Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)?);
    }
    if !in_f32 {
        return Ok(attention(q, k, v)?);
    }
    let [q, k, v] = [q.f_to_kind(Kind::Float)?, k.f_to_kind(Kind::Float)?, v.f_to_kind(Kind::Float)?];
    Ok(attention(&q, &k, &v)?.f_to_kind(pass.kind)?)
}
