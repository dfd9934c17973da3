//! Where each weight of a network comes from, with all names and shapes of the file compared.

use std::collections::BTreeSet;

use config::UNetConfig;

use super::naming::Naming;
use super::tensors::Tensors;
use crate::error::InterchangeError;

/// A weight of this project.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Its name, as [`UNetConfig::parameters`] has it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub origin: Origin,
}

/// Where the numbers of a weight are.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// All of a tensor of the file, which may have further dimensions of size 1.
    Whole {
        /// Its name in the file.
        tensor: String,
    },
    /// A third of each of some equal groups of a tensor's rows: of `[groups, 3, rows / (3 groups), ...]` those at `third`.
    Third {
        /// Its name in the file.
        tensor: String,
        /// 0, 1 or 2.
        third: usize,
        /// How many groups: as many as there are heads, or one.
        groups: usize,
    },
    /// They are not in the file, but follow from what the user said. Row-major.
    Given {
        /// As many as the shape says.
        values: Vec<f32>,
    },
}

/// The weights of a valid network, but for a table of times. `groups` is how many groups the rows of queries, keys and values
/// of an attention over so many channels are in.
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
            let reason = format!("{name}: such a network has no counterpart of it");
            return Err(InterchangeError::content(tensors.path(), reason));
        };
        let mut expected = shape.clone();
        if third.is_some() {
            expected[0] = expected[0].saturating_mul(3);
        }
        let found = tensors.shape(&theirs)?;
        // Linear layers are convolutions with a kernel of 1 there.
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
        Some(name) => tensors.refuse(name, "the network that the other tensors make has no such tensor"),
        None => Ok(weights),
    }
}
