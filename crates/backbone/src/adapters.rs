//! Low-rank adapters (LoRA: Hu et al. 2022): a layer's weight `W` becomes `W + B A`, and only `A` (`NAME.adapter_down`) and `B`
//! (`NAME.adapter_up`) are trained. `B` starts at 0, so the network starts as the one without adapters.

use config::{ADAPTER_DOWN, ADAPTER_UP};
use tch::{Tensor, no_grad_guard};
use tensor_io::Named;

use crate::error::BackboneError;
use crate::params::{ParamStore, Role};

/// The two factors of a layer.
pub(crate) struct Adapter {
    /// `A`, `[rank, in]` with the kernel of a convolution behind it.
    down: Tensor,
    /// `B`, `[out, rank]`.
    up: Tensor,
}

impl Adapter {
    /// The adapter of the layer `name` with a weight of `shape`, if the store's network has adapters.
    pub(crate) fn new(
        store: &mut ParamStore,
        name: &str,
        shape: &[i64],
        role: Role,
    ) -> Result<Option<Self>, BackboneError> {
        let Some(rank) = store.adapter_rank() else { return Ok(None) };
        let rank = rank as i64;
        let mut of_down = shape.to_vec();
        of_down[0] = rank;
        let fan_in: i64 = shape[1..].iter().product();
        let bound = 1.0 / (fan_in as f64).sqrt();
        Ok(Some(Self {
            down: store.uniform(format!("{name}{ADAPTER_DOWN}"), &of_down, bound, role)?,
            up: store.constant(format!("{name}{ADAPTER_UP}"), &[shape[0], rank], 0.0, role)?,
        }))
    }

    /// `W + B A`.
    pub(crate) fn add_to(&self, weight: &Tensor) -> Result<Tensor, BackboneError> {
        added(weight, &self.down, &self.up)
    }
}

fn added(weight: &Tensor, down: &Tensor, up: &Tensor) -> Result<Tensor, BackboneError> {
    let product = up.f_matmul(&down.f_flatten(1, -1)?)?.f_view_as(weight)?;
    Ok(weight.f_add(&product)?)
}

/// The parameters of the network without adapters that predicts the same: each weight with its own added, the others as they
/// are, in their order.
///
/// # Errors
/// Those of libtorch (memory).
pub fn merged(params: &[Named]) -> Result<Vec<Named>, BackboneError> {
    let _no_grad = no_grad_guard();
    let find = |name: &str| params.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
    let plain = params.iter().filter(|(name, _)| !config::is_adapter(name));
    plain
        .map(|(name, param)| {
            let layer = name.strip_suffix(".weight").unwrap_or(name);
            let factors = find(&format!("{layer}{ADAPTER_DOWN}")).zip(find(&format!("{layer}{ADAPTER_UP}")));
            let param = match factors.filter(|_| layer != name) {
                Some((down, up)) => added(param, down, up)?,
                None => param.shallow_clone(),
            };
            Ok((name.clone(), param))
        })
        .collect()
}
