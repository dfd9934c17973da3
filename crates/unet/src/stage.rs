//! A residual block with its attention: the piece of the network that activation checkpointing runs again.

use std::sync::{Arc, Mutex, PoisonError};

use tch::Tensor;

use crate::attention::{Attends, Attention};
use crate::resblock::{ResBlock, Variant};
use backbone::BackboneError;
use backbone::ParamStore;
use backbone::Pass;
use backbone::layers::join;
use config::UNetConfig;

/// A residual block and the attention that follows it, if any.
///
/// With [`Pass::checkpoint`] the graph shares the layers until the backward pass, which may be on another thread. Tensors
/// may move to other threads but not be used by two at once, hence the lock. It is never contended.
pub(crate) struct Stage(Arc<Mutex<Layers>>);

struct Layers {
    block: ResBlock,
    attention: Option<Attention>,
}

impl Stage {
    pub(crate) fn new(
        store: &mut ParamStore,
        prefix: &str,
        index: usize,
        channels: (usize, usize),
        (variant, attends): (Variant, Option<Attends>),
        config: &UNetConfig,
    ) -> Result<Self, BackboneError> {
        let block = ResBlock::new(store, &format!("{prefix}.resnets.{index}"), channels, config, variant)?;
        let attention = attends
            .map(|attends| {
                Attention::new(store, &format!("{prefix}.attentions.{index}"), channels.1, (config, attends))
            })
            .transpose()?;
        Ok(Self(Arc::new(Mutex::new(Layers { block, attention }))))
    }

    /// Maps `x` `[b, c, h, w]`, concatenated with a skip connection if there is one, and `temb` `[b, d]` to
    /// `[b, c_out, h, w]`. Results and gradients are bitwise the same with and without checkpointing.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        skip: Option<&Tensor>,
        temb: &Tensor,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        let inputs: Vec<&Tensor> = [temb, x].into_iter().chain(skip).collect();
        if !pass.train {
            return run(&self.0, &inputs, pass);
        }
        if !pass.checkpoint {
            // The gradients of a feature map are summed in the order in which they arrive. A checkpoint returns the sum
            // of those of its stage; with a separate node, x gets that sum here as well.
            let x = x.f_alias()?;
            let inputs: Vec<&Tensor> = [temb, &x].into_iter().chain(skip).collect();
            return run(&self.0, &inputs, pass);
        }
        let (layers, pass) = (Arc::clone(&self.0), *pass);
        let outputs: Result<_, BackboneError> =
            torch_ext::checkpoint(&inputs, move |inputs| Ok(vec![run(&layers, inputs, &pass)?]));
        // One output, as for the piece.
        Ok(outputs?.swap_remove(0))
    }
}

/// `inputs` are `temb` and one feature map, or several that are concatenated along their channels.
fn run(layers: &Mutex<Layers>, inputs: &[&Tensor], pass: &Pass) -> Result<Tensor, BackboneError> {
    // A panic leaves no layer half changed: running changes none.
    let layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
    let (temb, maps) = (inputs[0], &inputs[1..]);
    let x = join(maps, pass)?;
    let h = layers.block.forward(&x, temb, pass)?;
    match &layers.attention {
        Some(attention) => attention.forward(&h, pass),
        None => Ok(h),
    }
}
