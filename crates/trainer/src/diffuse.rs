//! `q(x_t | x_0)` on tensors, and the draws of t and eps of a step (Algorithm 1, lines 3 and 4).

use random::{Purpose, Stream};
use schedule::{Prediction, Schedule};
use tch::{Device, Kind, Tensor};

use crate::error::TrainerError;
use config::TimeSampling;

/// The timesteps and the noise of one batch: a function of (seed, step, rank) alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// One timestep in `0..T` for each image.
    pub t: Vec<i64>,
    /// Standard normal numbers, as many as the batch has.
    pub noise: Vec<f32>,
}

impl Draw {
    /// Draws for `batch` images of `numbers` values each.
    #[must_use]
    pub fn new(
        timesteps: usize,
        (batch, numbers): (usize, usize),
        sampling: TimeSampling,
        (seed, step, rank): (u64, u64, u32),
    ) -> Self {
        let mut times = Stream::new(seed, Purpose::TrainTime, step, rank);
        let t = (0..batch)
            .map(|index| match sampling {
                TimeSampling::Uniform => i64::from(times.below(timesteps as u32)),
                TimeSampling::Stratified => {
                    let position = (index as f64 + times.uniform()) / batch as f64;
                    ((position * timesteps as f64) as usize).min(timesteps - 1) as i64
                }
            })
            .collect();
        let noise = Stream::new(seed, Purpose::TrainNoise, step, rank).normals(batch * numbers);
        Self { t, noise }
    }
}

/// `sqrt(alpha_bar)` and `sqrt(1 - alpha_bar)` as f32 tensors `[T]` on the device, rounded once from f64.
#[derive(Debug)]
pub struct ForwardTables {
    sqrt_alpha_bars: Tensor,
    sqrt_one_minus_alpha_bars: Tensor,
}

impl ForwardTables {
    /// The tables of a schedule.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn new(schedule: &Schedule, device: Device) -> Result<Self, TrainerError> {
        let tensor = |table: &ndarray::Array1<f64>| -> Result<Tensor, TrainerError> {
            Ok(tensor_io::from_array(&table.view().into_dyn())?
                .f_to_kind(Kind::Float)?
                .f_to_device(device)?)
        };
        Ok(Self {
            sqrt_alpha_bars: tensor(schedule.sqrt_alpha_bars())?,
            sqrt_one_minus_alpha_bars: tensor(schedule.sqrt_one_minus_alpha_bars())?,
        })
    }

    /// `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps` (Eq. 4), `x_0` and `eps` `[b, c, h, w]`,
    /// `t` `[b]` i64.
    ///
    /// # Errors
    /// Those of libtorch: shapes that differ, t out of range.
    pub fn q_sample(&self, x_0: &Tensor, t: &Tensor, eps: &Tensor) -> Result<Tensor, TrainerError> {
        weighted_sum(t, (&self.sqrt_alpha_bars, x_0), (&self.sqrt_one_minus_alpha_bars, eps))
    }
}

/// From a network's output to eps on tensors, with the weights of every t at hand.
#[derive(Debug)]
pub struct EpsTables {
    /// `[T]` each, f32: weights of `x_t` and of the output; none when the output is eps.
    weights: Option<(Tensor, Tensor)>,
}

impl EpsTables {
    /// The tables for a network that puts out `prediction`.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn new(schedule: &Schedule, prediction: Prediction, device: Device) -> Result<Self, TrainerError> {
        if prediction == Prediction::Eps {
            return Ok(Self { weights: None });
        }
        let weights: Vec<(f64, f64)> = (0..schedule.steps())
            .map(|t| prediction.eps_weights(schedule, t))
            .collect::<Result<_, _>>()
            .map_err(|e| TrainerError::Caller(e.into()))?;
        let tensor = |pick: fn(&(f64, f64)) -> f64| -> Result<Tensor, TrainerError> {
            let values: Vec<f32> = weights.iter().map(|pair| pick(pair) as f32).collect();
            Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?)
        };
        Ok(Self { weights: Some((tensor(|pair| pair.0)?, tensor(|pair| pair.1)?)) })
    }

    /// eps from `x_t` and the output, `[b, c, h, w]` both, at `t` `[b]` i64.
    ///
    /// # Errors
    /// Those of libtorch: shapes that differ, t out of range.
    pub fn eps(&self, x_t: &Tensor, t: &Tensor, output: Tensor) -> Result<Tensor, TrainerError> {
        let Some((of_x_t, of_output)) = &self.weights else { return Ok(output) };
        weighted_sum(t, (of_x_t, x_t), (of_output, &output))
    }
}

/// `a_t a + b_t b` with the weights of each image's t, from tables `[T]`.
fn weighted_sum(t: &Tensor, a: (&Tensor, &Tensor), b: (&Tensor, &Tensor)) -> Result<Tensor, TrainerError> {
    let weighted = |(table, images): (&Tensor, &Tensor)| -> Result<Tensor, TrainerError> {
        let mut shape = vec![1; images.dim()];
        shape[0] = -1;
        Ok(table.f_index_select(0, t)?.f_view(&*shape)?.f_mul(images)?)
    };
    Ok(weighted(a)?.f_add(&weighted(b)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_times_cover_the_chain_and_stratified_ones_its_parts() {
        let uniform = Draw::new(10, (10_000, 0), TimeSampling::Uniform, (1, 0, 0));
        for t in 0..10 {
            let count = uniform.t.iter().filter(|&&got| got == t).count();
            assert!((850..1150).contains(&count), "t = {t} came {count} times in 10000");
        }
        let stratified = Draw::new(1000, (50, 0), TimeSampling::Stratified, (1, 0, 0));
        assert!(stratified.t.iter().enumerate().all(|(i, &t)| t / 20 == i as i64));
    }

    #[test]
    fn draws_differ_from_step_to_step_and_not_from_call_to_call() {
        let draw = |step| Draw::new(1000, (4, 3), TimeSampling::Uniform, (7, step, 0));
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5).t, draw(6).t);
        assert_ne!(draw(5).noise, draw(6).noise);
        assert!(draw(5).t.windows(2).any(|pair| pair[0] != pair[1]), "one t for the whole batch");
    }

    #[test]
    fn eps_comes_back_from_every_output() {
        let schedule = Schedule::ddpm();
        let (t, steps) = (Tensor::from_slice(&[3_i64, 700]), [3, 700]);
        let x_0 = tensor_io::from_slice(&[0.5_f32, -1.0], &[2, 1, 1, 1]).unwrap();
        let eps = tensor_io::from_slice(&[1.5_f32, -0.3], &[2, 1, 1, 1]).unwrap();
        let x_t = ForwardTables::new(&schedule, Device::Cpu).unwrap().q_sample(&x_0, &t, &eps).unwrap();
        let level = |table: &ndarray::Array1<f64>| {
            tensor_io::from_slice(&steps.map(|t| table[t] as f32), &[2, 1, 1, 1]).unwrap()
        };
        let (signal, noise) =
            (level(schedule.sqrt_alpha_bars()), level(schedule.sqrt_one_minus_alpha_bars()));
        let v = signal * &eps - noise * &x_0;
        for (prediction, output) in [(Prediction::Eps, &eps), (Prediction::X0, &x_0), (Prediction::V, &v)] {
            let tables = EpsTables::new(&schedule, prediction, Device::Cpu).unwrap();
            let got = tables.eps(&x_t, &t, output.shallow_clone()).unwrap();
            assert!(f64::try_from((got - &eps).abs().max()).unwrap() < 1e-5, "{prediction}");
        }
    }

    #[test]
    fn q_sample_agrees_with_the_schedule_crate() {
        let schedule = Schedule::ddpm();
        let tables = ForwardTables::new(&schedule, Device::Cpu).unwrap();
        let x_0 = tensor_io::from_slice(&[0.5_f32, -1.0, 1.0, 0.25], &[2, 1, 1, 2]).unwrap();
        let eps = tensor_io::from_slice(&[1.0_f32, -2.0, 0.5, 0.0], &[2, 1, 1, 2]).unwrap();
        let got = tables.q_sample(&x_0, &Tensor::from_slice(&[0_i64, 999]), &eps).unwrap();
        let (x_0, eps) = (tensor_io::to_array(&x_0).unwrap(), tensor_io::to_array(&eps).unwrap());
        let want = schedule.q_sample(&x_0, &[0, 999], &eps).unwrap();
        for (a, b) in tensor_io::to_vec(&got).unwrap().iter().zip(&want) {
            assert!((a - b).abs() < 1e-6);
        }
        let out_of_range = Tensor::from_slice(&[0_i64, 1000]);
        let (x_0, eps) = (got.shallow_clone(), got.shallow_clone());
        assert!(tables.q_sample(&x_0, &out_of_range, &eps).is_err());
    }
}
