//! Weights of other codebases: read from their file and arranged for this project's network.

use std::collections::HashMap;
use std::path::Path;

use interchange::state_dict::{Origin, Weight};
use tch::{Kind, Tensor};
use tensor_io::Named;
use unet::BackboneError;

/// Reads the weights of a file, f32, on the CPU. The header was compared with the network when the plan was made. A tensor that
/// has disappeared since is missing here too, and copying the weights reports that.
pub(crate) fn read(file: &Path, plan: &[Weight]) -> Result<Vec<Named>, BackboneError> {
    let tensors: HashMap<String, Tensor> = tensor_io::read(file)?.into_iter().collect();
    let mut weights = Vec::with_capacity(plan.len());
    for weight in plan {
        if let Some(tensor) = one(&tensors, weight)? {
            weights.push((weight.name.clone(), tensor.f_to_kind(Kind::Float)?));
        }
    }
    Ok(weights)
}

fn one(tensors: &HashMap<String, Tensor>, weight: &Weight) -> Result<Option<Tensor>, BackboneError> {
    let shape: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
    Ok(match &weight.origin {
        Origin::Whole { tensor } => tensors.get(tensor).map(|whole| whole.f_reshape(&shape)).transpose()?,
        Origin::Third { tensor, third, groups } => {
            let Some(whole) = tensors.get(tensor) else { return Ok(None) };
            let groups = *groups as i64;
            let parts = whole.f_reshape([groups, 3, shape[0] / groups, -1])?; // [groups, 3, rows, columns]
            Some(parts.f_select(1, *third as i64)?.f_reshape(&shape)?)
        }
        Origin::Given { values } => Some(tensor_io::from_slice(values, &shape)?),
    })
}
