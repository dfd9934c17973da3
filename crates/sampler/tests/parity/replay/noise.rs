//! The peer's noise for our sampler: the k-th draw of a run is the k-th of the goldens.

use random::Purpose;
use sampler::{Draw, NoiseSource, SamplerError};
use tch::{Device, Tensor};

use super::goldens::{Goldens, Run};

/// The noise of one run.
pub(crate) struct Recorded<'a> {
    /// `[draws, b, c, h, w]`.
    noise: &'a Tensor,
    /// The t of the steps that drew it, in order. f32 as the peer has them.
    times: Vec<f32>,
}

impl<'a> Recorded<'a> {
    pub(crate) fn new(goldens: &'a Goldens, run: &Run) -> Self {
        let times = run.record.draws.iter().map(|&call| run.record.timesteps[call]).collect();
        Self { noise: &goldens.noise, times }
    }
}

impl NoiseSource for Recorded<'_> {
    fn draw(&self, draw: Draw, shape: &[i64], device: Device) -> Result<Tensor, SamplerError> {
        let k = self.times.iter().position(|&t| t == draw.t as f32);
        match k {
            Some(k) if draw.purpose == Purpose::SampleNoise && shape == &self.noise.size()[1..] => {
                Ok(self.noise.f_get(k as i64)?.f_to_device(device)?)
            }
            _ => Err(SamplerError::Caller(format!("the peer drew no noise for {draw:?}").into())),
        }
    }
}
