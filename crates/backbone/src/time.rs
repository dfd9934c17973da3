//! From t to the vector the blocks see: encoding, then linear, SiLU, linear (Ho et al. 2020, App. B).

use embedding::{Order, TimeEmbedding};
use tch::{Device, Kind, Tensor};

use crate::error::BackboneError;
use crate::labels::NO_LABEL;
use crate::layers::{Init, Linear, image_by_image};
use crate::params::{ParamStore, Role};
use crate::pass::Pass;
use config::EmbeddingConfig;

/// t, and a label, to the vector that blocks see.
pub struct TimeNet {
    /// `[k]`, radians per unit of t, f64: at f32, 500 cycles over [0, 1] would lose three digits.
    angular_frequencies: Tensor,
    order: Order,
    linear_1: Linear,
    linear_2: Linear,
    /// `[classes, d]`, added to the time vector.
    class_embedding: Option<Tensor>,
}

impl TimeNet {
    /// For t in `0..timesteps`, encoded as `embedding` says, as a vector of `width` numbers; with classes of its own.
    ///
    /// # Errors
    /// [`BackboneError::Embedding`]; those of libtorch (memory).
    pub fn new(
        store: &mut ParamStore,
        embedding: &EmbeddingConfig,
        (timesteps, width): (usize, usize),
        classes: Option<usize>,
    ) -> Result<Self, BackboneError> {
        let encoding = encoding(embedding, timesteps)?;
        let frequencies: Vec<f64> = encoding.angular_frequencies().to_vec();
        let linear_1 = Linear::new(
            store,
            "time_embedding.linear_1",
            (encoding.dim(), width),
            Init::FanAverage,
            Role::Time,
        )?;
        let linear_2 =
            Linear::new(store, "time_embedding.linear_2", (width, width), Init::FanAverage, Role::Time)?;
        let class_embedding = classes
            .map(|n| {
                let (name, shape) = ("class_embedding.weight".to_owned(), [n as i64, width as i64]);
                store.uniform(name, &shape, 3_f64.sqrt(), Role::Other)
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
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn forward(&self, t: &Tensor, class: Option<&Tensor>, pass: &Pass) -> Result<Tensor, BackboneError> {
        let rows: Vec<&Tensor> = std::iter::once(t).chain(class).collect();
        image_by_image(&rows, pass, |rows| Ok(self.vector(rows[0], rows.get(1).copied(), pass)?.f_silu()?))
    }

    fn vector(&self, t: &Tensor, class: Option<&Tensor>, pass: &Pass) -> Result<Tensor, BackboneError> {
        let encoded = self.encode(t)?.f_to_kind(pass.time_kind(t.device()))?;
        let hidden = self.linear_1.forward(&encoded)?.f_silu()?;
        let time = self.linear_2.forward(&hidden)?; // [b, d]
        match (&self.class_embedding, class) {
            (Some(table), Some(labels)) => Ok(time.f_add(&embed(table, labels)?)?),
            _ => Ok(time),
        }
    }

    /// `[b]` to `[b, 2k]`: what `TimeEmbedding::encode` gives, on the device.
    fn encode(&self, t: &Tensor) -> Result<Tensor, BackboneError> {
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
fn embed(table: &Tensor, labels: &Tensor) -> Result<Tensor, BackboneError> {
    let given = labels.f_not_equal(NO_LABEL)?.f_unsqueeze(-1)?; // [b, 1]
    let rows = Tensor::f_embedding(table, &labels.f_clamp_min(0)?, -1, false, false)?; // [b, d]
    Ok(rows.f_mul(&given)?)
}

fn on_device(values: &[f64], count: i64, device: Device) -> Result<Tensor, BackboneError> {
    Ok(tensor_io::from_slice(values, &[count])?.f_to_device(device)?)
}

fn encoding(config: &EmbeddingConfig, timesteps: usize) -> Result<TimeEmbedding, BackboneError> {
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
            let net = TimeNet::new(&mut ParamStore::new(Device::Cpu, 0), &kind, (1000, 16), None).unwrap();
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
