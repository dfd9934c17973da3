//! Plans where each weight of a network comes from, after comparing all names and shapes of the file.

use std::collections::BTreeSet;

use config::UNetConfig;

use super::naming::Naming;
use super::tensors::Tensors;
use crate::error::InterchangeError;

/// A weight of this project.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Its name, as in [`UNetConfig::parameters`].
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its values are.
    pub origin: Origin,
}

/// Where the values of a weight are.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A whole tensor of the file, which may have extra dimensions of size 1.
    Whole {
        /// Its name in the file.
        tensor: String,
    },
    /// A third of a tensor's rows: with the rows split as `[groups, 3, rows / (3 groups), ...]`, those at `third`.
    Third {
        /// Its name in the file.
        tensor: String,
        /// 0, 1 or 2.
        third: usize,
        /// The number of groups: the number of heads, or one.
        groups: usize,
    },
    /// Values that are not in the file but follow from the user's settings. Row-major.
    Given {
        /// As many values as the shape requires.
        values: Vec<f32>,
    },
}

/// The weights of a valid network, except a time table. `groups` gives, for an attention with that many channels, how
/// many groups the rows of queries, keys and values form.
pub(crate) fn plan(
    tensors: &Tensors,
    config: &UNetConfig,
    naming: &Naming,
    groups: impl Fn(usize) -> usize,
) -> Result<Vec<Weight>, InterchangeError> {
    let mut left: BTreeSet<&str> = tensors.names().collect();
    let mut weights = Vec::new();
    for (name, shape) in config.parameters().into_iter().filter(|(name, _)| name != "time_proj.weight") {
        let Some((theirs, third)) = naming.of(config, &name) else {
            let reason = format!("{name}: such a network has no counterpart");
            return Err(InterchangeError::content(tensors.path(), reason));
        };
        let mut expected = shape.clone();
        if third.is_some() {
            expected[0] = expected[0].saturating_mul(3);
        }
        let found = tensors.shape(&theirs)?;
        // There, linear layers may be convolutions with kernel size 1.
        let rest = found.strip_prefix(expected.as_slice()).filter(|rest| rest.len() <= 2);
        if !rest.is_some_and(|rest| rest.iter().all(|&size| size == 1)) {
            return tensors.refuse(&theirs, format!("shape {found:?}, expected {expected:?}"));
        }
        left.remove(theirs.as_str());
        let tensor = tensors.full(&theirs);
        let origin = match third {
            None => Origin::Whole { tensor },
            Some(third) => Origin::Third { tensor, third, groups: groups(shape[0]) },
        };
        weights.push(Weight { name, shape, origin });
    }
    match left.first() {
        Some(name) => tensors.refuse(name, "the network of the other tensors has no such tensor"),
        None => Ok(weights),
    }
}
