//! Parameters that training leaves as they are ([`TrainConfig::freeze`]): without a gradient, a place in the optimiser or an
//! update of their average, so that every checkpoint has the same bits of them.

use config::TrainConfig;
use tensor_io::Named;

use crate::error::TrainerError;

/// The parameters of a run in two parts, in their order.
pub(crate) struct Parts {
    /// To be trained.
    pub(crate) learned: Vec<Named>,
    /// The others, which ask for no gradient any more.
    pub(crate) frozen: Vec<Named>,
}

/// Parts the parameters by the patterns of the configuration. Those are the network's own tensors, so its backward pass
/// leaves the frozen ones out from now on.
///
/// # Errors
/// [`TrainerError::Config`] for a pattern that matches no parameter, and for patterns that match all of them.
pub(crate) fn parted(params: &[Named], config: &TrainConfig) -> Result<Parts, TrainerError> {
    let is_frozen = config.frozen(params.iter().map(|(name, _)| name.as_str()))?;
    let mut parts = Parts { learned: Vec::new(), frozen: Vec::new() };
    for ((name, param), is_frozen) in params.iter().zip(is_frozen) {
        if is_frozen {
            let _ = param.f_set_requires_grad(false)?;
            parts.frozen.push((name.clone(), param.shallow_clone()));
        } else {
            parts.learned.push((name.clone(), param.shallow_clone()));
        }
    }
    Ok(parts)
}

/// How many numbers there are.
pub(crate) fn count(params: &[Named]) -> usize {
    params.iter().map(|(_, param)| param.numel()).sum()
}
