//! The place of a task that Slurm's srun has started.

use crate::error::DistributedError;
use crate::place::MOST_RANKS;
use crate::variables::Variables;

/// The numbers of a task in its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// `SLURM_PROCID`.
    pub(crate) rank: usize,
    /// `SLURM_NTASKS`, or that of the step.
    pub(crate) size: usize,
    /// `SLURM_LOCALID`.
    pub(crate) local_rank: usize,
}

/// The task that this process is; `None` outside Slurm, and in a batch script: Slurm sets the numbers there too, but starts
/// only one process.
pub(crate) fn task(variables: &Variables<'_>) -> Result<Option<Task>, DistributedError> {
    let script = variables.text("SLURM_JOB_ID").is_some() && variables.text("SLURM_STEP_ID").is_none();
    if script || variables.text("SLURM_PROCID").is_none() {
        return Ok(None);
    }
    // An interactive step has one task in an allocation for several.
    let of_step = variables.number("SLURM_STEP_NUM_TASKS", 1..=MOST_RANKS)?;
    let size = match of_step {
        Some(size) => Some(size),
        None => variables.number("SLURM_NTASKS", 1..=MOST_RANKS)?,
    };
    let Some(size) = size.filter(|&size| size > 1) else { return Ok(None) };
    let rank = variables.number("SLURM_PROCID", 0..=size - 1)?.unwrap_or(0);
    let local_rank = variables.number("SLURM_LOCALID", 0..=size - 1)?.unwrap_or(0);
    Ok(Some(Task { rank, size, local_rank }))
}
