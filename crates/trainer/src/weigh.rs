//! The weight of each image's loss, by its t.

use schedule::{LossWeight, Schedule};
use tch::{Device, Tensor};

use crate::error::TrainerError;

/// The weights of all t on the device.
#[derive(Debug)]
pub(crate) struct LossWeights {
    /// `[T]` f32; none where all are 1.
    table: Option<Tensor>,
}

impl LossWeights {
    pub(crate) fn new(schedule: &Schedule, weight: LossWeight, device: Device) -> Result<Self, TrainerError> {
        if weight == LossWeight::Simple {
            return Ok(Self { table: None });
        }
        let of_t = |t: usize| Ok(weight.of_eps(&schedule.level_at(t as f64)?) as f32);
        let table = (0..schedule.steps()).map(of_t).collect::<Result<Vec<f32>, schedule::ScheduleError>>();
        let table = table.map_err(|error| TrainerError::Caller(error.into()))?;
        Ok(Self { table: Some(Tensor::f_from_slice(&table)?.f_to_device(device)?) })
    }

    /// Losses `[b]` of images at `t` `[b]` i64, weighted.
    pub(crate) fn apply(&self, losses: &Tensor, t: &Tensor) -> Result<Tensor, TrainerError> {
        match &self.table {
            Some(table) => Ok(losses.f_mul(&table.f_index_select(0, t)?)?),
            None => Ok(losses.shallow_clone()),
        }
    }
}
