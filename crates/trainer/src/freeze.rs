//! Parameters that training does not change ([`TrainConfig::freeze`]): they have no gradient, no optimiser state and no
//! update of their average, so every checkpoint has the same bits of them.

use config::TrainConfig;
use tensor_io::Named;

use crate::error::TrainerError;

/// The parameters of a run in two groups, in their order.
pub(crate) struct Parts {
    /// Parameters to train.
    pub(crate) learned: Vec<Named>,
    /// The others, which no longer require a gradient.
    pub(crate) frozen: Vec<Named>,
}

/// Splits the parameters by the patterns of the configuration. These are the network's own tensors, so its backward
/// pass skips the frozen ones from now on.
///
/// # Errors
/// [`TrainerError::Config`] for a pattern that matches no parameter, or patterns that together match all of them.
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

/// Number of values in the parameters.
pub(crate) fn count(params: &[Named]) -> usize {
    params.iter().map(|(_, param)| param.numel()).sum()
}
