//! From t to the time vector of the blocks: encoding, then linear, SiLU, linear (Ho et al. 2020, App. B).

use std::f64::consts::FRAC_PI_2;

use embedding::{Order, TimeEmbedding};
use tch::{Device, Kind, Tensor};

use crate::activation::activate;
use crate::error::BackboneError;
use crate::labels::NO_LABEL;
use crate::layers::{Init, Linear, image_by_image};
use crate::params::{ParamStore, Role};
use crate::pass::Pass;
use config::{AUGMENTATIONS, Activation, EmbeddingConfig};

/// A shift by this many pixels counts as 1.
const PIXELS: f64 = 8.0;

/// Maps t and a label to the time vector of the blocks.
pub struct TimeNet {
    encoding: Encoding,
    linear_1: Linear,
    linear_2: Linear,
    /// `[classes, d]`, added to the time vector.
    class_embedding: Option<Tensor>,
    /// `[d, 5]`: added for the changes of an augmented image.
    augment_embedding: Option<Tensor>,
}

/// The encoding of t.
enum Encoding {
    Sinusoids {
        /// `[k]`, radians per unit of t, in f64: in f32, 500 cycles over [0, 1] would lose three digits.
        angular_frequencies: Tensor,
        order: Order,
    },
    /// `[T, dim]`, learned.
    Table(Tensor),
}

impl TimeNet {
    /// For t in `0..timesteps`, encoded as `embedding` specifies, to a vector of `width` numbers, with optional
    /// classes.
    ///
    /// # Errors
    /// [`BackboneError::Embedding`]; errors from libtorch, such as lack of memory.
    pub fn new(
        store: &mut ParamStore,
        embedding: &EmbeddingConfig,
        (timesteps, width): (usize, usize),
        (classes, augmented): (Option<usize>, bool),
    ) -> Result<Self, BackboneError> {
        let (encoding, dim) = match embedding.kind(timesteps) {
            Some(kind) => {
                let sinusoids = TimeEmbedding::new(&kind)?;
                let frequencies: Vec<f64> = sinusoids.angular_frequencies().to_vec();
                let angular_frequencies = on_device(&frequencies, frequencies.len() as i64, store.device())?;
                let order = sinusoids.order();
                (Encoding::Sinusoids { angular_frequencies, order }, sinusoids.dim())
            }
            None => {
                let EmbeddingConfig::Table { rows, dim } = *embedding else {
                    return Err(BackboneError::Embedding(embedding::EmbeddingError::Dim { got: 0 }));
                };
                let shape = [rows as i64, dim as i64];
                let table =
                    store.uniform("time_proj.weight".to_owned(), &shape, 3_f64.sqrt(), Role::Other)?;
                (Encoding::Table(table), dim)
            }
        };
        let linear_1 =
            Linear::new(store, "time_embedding.linear_1", (dim, width), Init::FanAverage, Role::Time)?;
        let linear_2 =
            Linear::new(store, "time_embedding.linear_2", (width, width), Init::FanAverage, Role::Time)?;
        let class_embedding = classes
            .map(|n| {
                let (name, shape) = ("class_embedding.weight".to_owned(), [n as i64, width as i64]);
                store.uniform(name, &shape, 3_f64.sqrt(), Role::Other)
            })
            .transpose()?;
        let augment_embedding = augmented
            .then(|| {
                let shape = [width as i64, AUGMENTATIONS as i64];
                store.uniform("augment_embedding.weight".to_owned(), &shape, 0.0, Role::Other)
            })
            .transpose()?;
        Ok(Self { encoding, linear_1, linear_2, class_embedding, augment_embedding })
    }

    /// Maps `t` `[b]` in `0..T`, integer or fractional, and labels `[b]`, -1 for none, to the activated time vector,
    /// `[b, d]` of [`Pass::time_kind`].
    ///
    /// # Errors
    /// Errors from libtorch.
    pub fn forward(
        &self,
        t: &Tensor,
        class: Option<&Tensor>,
        activation: Activation,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError> {
        let rows: Vec<&Tensor> = std::iter::once(t).chain(class).collect();
        image_by_image(&rows, pass, |rows| {
            activate(&self.vector(rows[0], rows.get(1).copied(), pass)?, activation)
        })
    }

    fn vector(&self, t: &Tensor, class: Option<&Tensor>, pass: &Pass) -> Result<Tensor, BackboneError> {
        let encoded = self.encode(t)?.f_to_kind(pass.time_kind(t.device()))?;
        let hidden = self.linear_1.forward(&encoded)?.f_silu()?;
        let time = self.linear_2.forward(&hidden)?; // [b, d]
        let Some(class) = class else { return Ok(time) };
        let told = class.dim() == 2;
        let time = match &self.class_embedding {
            Some(table) if told => time.f_add(&embed(table, &class.f_select(1, 0)?)?)?,
            Some(table) => time.f_add(&embed(table, class)?)?,
            None => time,
        };
        match &self.augment_embedding {
            Some(weight) if told => {
                let changes = changes(&class.f_narrow(1, 1, 3)?)?.f_to_kind(time.f_kind()?)?;
                Ok(time.f_add(&changes.f_linear(&weight.f_to_kind(time.f_kind()?)?, None::<&Tensor>)?)?)
            }
            _ => Ok(time),
        }
    }

    /// `[b]` to `[b, 2k]`: the same as `TimeEmbedding::encode`, on the device; or rows of the table.
    fn encode(&self, t: &Tensor) -> Result<Tensor, BackboneError> {
        let t = t.f_to_kind(Kind::Double)?;
        match &self.encoding {
            Encoding::Sinusoids { angular_frequencies, order } => {
                let angle = t.f_unsqueeze(1)?.f_mul(&angular_frequencies.f_unsqueeze(0)?)?; // [b, k]
                let (sin, cos) = (angle.f_sin()?, angle.f_cos()?);
                let halves = match order {
                    Order::SinFirst => [sin, cos],
                    Order::CosFirst => [cos, sin],
                };
                Ok(Tensor::f_cat(&halves, 1)?.f_to_kind(Kind::Float)?)
            }
            Encoding::Table(table) => {
                let last = (table.size()[0] - 1) as f64;
                let t = t.f_clamp(0.0, last)?;
                let below = t.f_floor()?;
                let share = t.f_sub(&below)?.f_to_kind(Kind::Float)?.f_unsqueeze(1)?; // [b, 1]
                let row = |at: &Tensor| table.f_index_select(0, &at.f_to_kind(Kind::Int64)?);
                let (low, high) = (row(&below)?, row(&t.f_ceil()?)?);
                // An integer t gives its row exactly: the share is 0, and both rows are the same.
                Ok(low.f_add(&high.f_sub(&low)?.f_mul(&share)?)?)
            }
        }
    }
}

/// Rows of `table` `[classes, d]`; zeros where the label is [`NO_LABEL`], which has no row.
fn embed(table: &Tensor, labels: &Tensor) -> Result<Tensor, BackboneError> {
    let given = labels.f_not_equal(NO_LABEL)?.f_unsqueeze(-1)?; // [b, 1]
    let rows = Tensor::f_embedding(table, &labels.f_clamp_min(0)?, -1, false, false)?; // [b, d]
    Ok(rows.f_mul(&given)?)
}

/// The changes `[b, 3]` i64 of images, as numbers `[b, 5]` that are 0 for an unchanged image.
fn changes(codes: &Tensor) -> Result<Tensor, BackboneError> {
    let code = codes.f_select(1, 0)?;
    let angle = code.f_remainder(4)?.f_to_kind(Kind::Float)?.f_mul_scalar(FRAC_PI_2)?;
    let mirrored = code.f_ge(4)?.f_to_kind(Kind::Float)?;
    let moved = codes.f_narrow(1, 1, 2)?.f_to_kind(Kind::Float)?.f_div_scalar(PIXELS)?;
    let turned = Tensor::f_stack(&[angle.f_cos()?.f_sub_scalar(1.0)?, angle.f_sin()?, mirrored], 1)?;
    Ok(Tensor::f_cat(&[turned, moved], 1)?)
}

fn on_device(values: &[f64], count: i64, device: Device) -> Result<Tensor, BackboneError> {
    Ok(tensor_io::from_slice(values, &[count])?.f_to_device(device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::SinusoidOrder;

    #[test]
    fn a_table_is_read_by_rows_and_between_them() {
        let kind = EmbeddingConfig::Table { rows: 5, dim: 3 };
        let mut store = ParamStore::new(Device::Cpu, 0);
        let net = TimeNet::new(&mut store, &kind, (5, 16), (None, false)).unwrap();
        let table = tensor_io::to_array(&store.into_params().named()[0].1).unwrap();
        let got = tensor_io::to_array(&net.encode(&Tensor::from_slice(&[0.0, 4.0, 1.25])).unwrap()).unwrap();
        for j in 0..3 {
            assert_eq!((got[[0, j]], got[[1, j]]), (table[[0, j]], table[[4, j]]));
            let between = 0.75 * table[[1, j]] + 0.25 * table[[2, j]];
            assert!((got[[2, j]] - between).abs() < 1e-6);
        }
    }

    /// The tensor version matches the specification in the crate `embedding`, for every kind, order and fractional t.
    #[test]
    fn encoding_on_tensors_equals_the_specification() {
        let transformer = |order| EmbeddingConfig::Transformer { dim: 12, order, freq_shift: 1 };
        for kind in [
            EmbeddingConfig::Normalized { frequencies: 10 },
            EmbeddingConfig::Fourier { frequencies: 6, scale: 16.0, seed: 3 },
            transformer(SinusoidOrder::SinFirst),
            transformer(SinusoidOrder::CosFirst),
        ] {
            let net =
                TimeNet::new(&mut ParamStore::new(Device::Cpu, 0), &kind, (1000, 16), (None, false)).unwrap();
            let t = [0.0, 1.0, 499.5, 999.0];
            let got = tensor_io::to_array(&net.encode(&Tensor::from_slice(&t)).unwrap()).unwrap();
            let want = TimeEmbedding::new(&kind.kind(1000).unwrap()).unwrap().encode(ndarray::aview1(&t));
            assert_eq!(got.shape(), want.shape());
            for (a, b) in got.iter().zip(&want) {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{kind:?}: {a} is not {b}");
            }
        }
    }
}
