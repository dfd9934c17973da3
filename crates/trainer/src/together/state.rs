//! The state of rank 0 on all ranks: only rank 0 reads checkpoints.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad_guard};
use tensor_io::Named;

use super::Together;
use crate::checkpoint::Standing;
use crate::error::TrainerError;
use crate::metrics::Interval;
use crate::step::Trainer;

/// The part of the state that is not tensors.
#[derive(Serialize, Deserialize)]
struct Position {
    step: u64,
    resumed: bool,
    /// Updates by Adam.
    updates: u64,
    /// Whether the state of Adam is divided.
    divided: bool,
    /// Whether rank 0 has a divided state to hand out.
    hands_out: bool,
    run: Standing,
}

impl Trainer {
    /// Gives all ranks the weights, the optimiser's state and the position of rank 0, with its sums since the last log line.
    /// The averages stay with rank 0. If the state of Adam is divided, each rank gets its share. Does nothing for a single rank.
    ///
    /// # Errors
    /// [`TrainerError::DividedOnSome`] if only some ranks have called [`Trainer::divide_state`]; [`TrainerError::Caller`] when
    /// another rank has gone; errors from libtorch.
    pub fn share_state(&mut self, interval: Option<Interval>) -> Result<Option<Interval>, TrainerError> {
        let Some(together) = self.together.clone() else { return Ok(interval) };
        let (ranks, what) = (&together.ranks, "the state of rank 0");
        let position = Position {
            step: self.step,
            resumed: interval.is_some(),
            updates: self.adam.steps(),
            divided: together.shares.is_some(),
            hands_out: self.adam.has_whole(),
            run: Standing {
                interval: interval.unwrap_or_default(),
                recovery: self.recovery.clone(),
                history: self.history.clone(),
            },
        };
        let own =
            if self.is_first() { to_json(&position)? } else { vec![u8::from(together.shares.is_some())] };
        let told = ranks.gather(what, &own).map_err(TrainerError::Caller)?;
        let first = told.first().map(Vec::as_slice).unwrap_or_default();
        let Position { step, resumed, updates, divided, hands_out, run } =
            serde_json::from_slice(first).map_err(caller)?;
        if let Some(other) = told.iter().skip(1).position(|of_rank| *of_rank != [u8::from(divided)]) {
            return Err(TrainerError::DividedOnSome { rank: other + 1 });
        }

        let _no_grad = no_grad_guard();
        let share = |tensor: &Tensor| {
            ranks.broadcast(what, 0, &mut tensor.shallow_clone()).map_err(TrainerError::Caller)
        };
        self.params.iter().try_for_each(|(_, param)| share(param))?;
        match &together.shares {
            Some(shares) => {
                if hands_out {
                    together.hand_out(what, shares, &self.adam)?;
                }
                self.adam.settled(updates)?;
            }
            None => {
                let state = self.adam.targets()?;
                state.iter().try_for_each(|(_, tensor)| share(tensor))?;
                self.adam.restored(state)?;
            }
        }
        (self.step, self.recovery, self.history) = (step, run.recovery, run.history);
        Ok(resumed.then_some(run.interval))
    }

    /// What all ranks do before rank 0 saves: they check that they have the same weights. Returns the state of Adam for the
    /// file, without the moments on ranks above 0 if it is divided.
    ///
    /// # Errors
    /// [`TrainerError::RanksDiffer`], on all ranks.
    pub(crate) fn state_to_save(&self) -> Result<Vec<Named>, TrainerError> {
        self.check_same()?;
        match &self.together {
            Some(Together { shares: Some(shares), .. }) => self.gathered_state(shares),
            _ => self.adam.state(),
        }
    }

    /// Checks that all ranks have the same weights.
    fn check_same(&self) -> Result<(), TrainerError> {
        let Some(together) = &self.together else { return Ok(()) };
        let own = self.weights_hash()?.to_le_bytes();
        let all = together.ranks.gather("the hashes of the weights", &own).map_err(TrainerError::Caller)?;
        match all.iter().position(|hash| Some(hash) != all.first()) {
            Some(rank) => Err(TrainerError::RanksDiffer { rank, step: self.step }),
            None => Ok(()),
        }
    }

    /// A hash of all weights as trained, bit for bit; the same in every process of this program.
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn weights_hash(&self) -> Result<u64, TrainerError> {
        let mut hasher = DefaultHasher::new();
        for (_, param) in &self.params {
            for number in tensor_io::to_vec(param)? {
                hasher.write_u32(f32::to_bits(number));
            }
        }
        Ok(hasher.finish())
    }
}

fn to_json(position: &Position) -> Result<Vec<u8>, TrainerError> {
    serde_json::to_vec(position).map_err(caller)
}

fn caller(error: serde_json::Error) -> TrainerError {
    TrainerError::Caller(error.into())
}
