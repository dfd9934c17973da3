//! From t to the vector the blocks see: encoding, then linear, SiLU, linear (Ho et al. 2020, App. B).

use embedding::{Order, TimeEmbedding};
use tch::{Device, Kind, Tensor};

use crate::error::UNetError;
use crate::labels::NO_LABEL;
use crate::layers::{Init, Linear, image_by_image};
use crate::params::ParamStore;
use crate::pass::Pass;
use config::{EmbeddingConfig, UNetConfig};

pub(crate) struct TimeNet {
    /// `[k]`, radians per unit of t, f64: at f32, 500 cycles over [0, 1] would lose three digits.
    angular_frequencies: Tensor,
    order: Order,
    linear_1: Linear,
    linear_2: Linear,
    /// `[classes, d]`, added to the time vector.
    class_embedding: Option<Tensor>,
}

impl TimeNet {
    pub(crate) fn new(
        store: &mut ParamStore,
        config: &UNetConfig,
        timesteps: usize,
    ) -> Result<Self, UNetError> {
        let encoding = encoding(&config.embedding, timesteps)?;
        let frequencies: Vec<f64> = encoding.angular_frequencies().to_vec();
        let width = config.time_width();
        let linear_1 =
            Linear::new(store, "time_embedding.linear_1", (encoding.dim(), width), Init::FanAverage)?;
        let linear_2 = Linear::new(store, "time_embedding.linear_2", (width, width), Init::FanAverage)?;
        let class_embedding = config
            .classes
            .map(|n| {
                store.uniform("class_embedding.weight".to_owned(), &[n as i64, width as i64], 3_f64.sqrt())
            })
            .transpose()?;
        let count = frequencies.len() as i64;
        Ok(Self {
            angular_frequencies: on_device(&frequencies, count, store.device())?,
            order: encoding.order(),
            linear_1,
            linear_2,
            class_embedding,
        })
    }

    /// `t` `[b]` in `0..T`, whole or fractional, and labels `[b]`, -1 for none, to the SiLU of the time vector, `[b, d]` of
    /// [`Pass::time_kind`].
    pub(crate) fn forward(
        &self,
        t: &Tensor,
        class: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, UNetError> {
        let rows: Vec<&Tensor> = std::iter::once(t).chain(class).collect();
        image_by_image(&rows, pass, |rows| Ok(self.vector(rows[0], rows.get(1).copied(), pass)?.f_silu()?))
    }

    fn vector(&self, t: &Tensor, class: Option<&Tensor>, pass: &Pass) -> Result<Tensor, UNetError> {
        let encoded = self.encode(t)?.f_to_kind(pass.time_kind(t.device()))?;
        let hidden = self.linear_1.forward(&encoded)?.f_silu()?;
        let time = self.linear_2.forward(&hidden)?; // [b, d]
        match (&self.class_embedding, class) {
            (Some(table), Some(labels)) => Ok(time.f_add(&embed(table, labels)?)?),
            _ => Ok(time),
        }
    }

    /// `[b]` to `[b, 2k]`: what `TimeEmbedding::encode` gives, on the device.
    fn encode(&self, t: &Tensor) -> Result<Tensor, UNetError> {
        let t = t.f_to_kind(Kind::Double)?.f_unsqueeze(1)?;
        let angle = t.f_mul(&self.angular_frequencies.f_unsqueeze(0)?)?; // [b, k]
        let (sin, cos) = (angle.f_sin()?, angle.f_cos()?);
        let halves = match self.order {
            Order::SinFirst => [sin, cos],
            Order::CosFirst => [cos, sin],
        };
        Ok(Tensor::f_cat(&halves, 1)?.f_to_kind(Kind::Float)?)
    }
}

/// Rows of `table` `[classes, d]`, zeros where the label is [`NO_LABEL`], which is not in the table.
fn embed(table: &Tensor, labels: &Tensor) -> Result<Tensor, UNetError> {
    let given = labels.f_not_equal(NO_LABEL)?.f_unsqueeze(-1)?; // [b, 1]
    let rows = Tensor::f_embedding(table, &labels.f_clamp_min(0)?, -1, false, false)?; // [b, d]
    Ok(rows.f_mul(&given)?)
}

fn on_device(values: &[f64], count: i64, device: Device) -> Result<Tensor, UNetError> {
    Ok(tensor_io::from_slice(values, &[count])?.f_to_device(device)?)
}

fn encoding(config: &EmbeddingConfig, timesteps: usize) -> Result<TimeEmbedding, UNetError> {
    Ok(TimeEmbedding::new(&config.kind(timesteps))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::SinusoidOrder;

    /// The tensors do what the crate `embedding` specifies, for every kind, order and fractional t.
    #[test]
    fn encoding_on_tensors_equals_the_specification() {
        let transformer = |order| EmbeddingConfig::Transformer { dim: 12, order, freq_shift: 1 };
        for kind in [
            EmbeddingConfig::Normalized { frequencies: 10 },
            EmbeddingConfig::Fourier { frequencies: 6, scale: 16.0, seed: 3 },
            transformer(SinusoidOrder::SinFirst),
            transformer(SinusoidOrder::CosFirst),
        ] {
            let config = UNetConfig { embedding: kind.clone(), ..UNetConfig::preset("tiny-16").unwrap() };
            let net = TimeNet::new(&mut ParamStore::new(Device::Cpu, 0), &config, 1000).unwrap();
            let t = [0.0, 1.0, 499.5, 999.0];
            let got = tensor_io::to_array(&net.encode(&Tensor::from_slice(&t)).unwrap()).unwrap();
            let want = encoding(&kind, 1000).unwrap().encode(ndarray::aview1(&t));
            assert_eq!(got.shape(), want.shape());
            for (a, b) in got.iter().zip(&want) {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{kind:?}: {a} is not {b}");
            }
        }
    }
}
