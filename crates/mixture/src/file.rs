//! A mixture as a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tch::{Device, Kind, Tensor};
use tensor_io::Named;

use crate::error::MixtureError;
use crate::start::Mixture;

/// The string in the header that makes a file one of mixtures: the version of its layout.
const KEY: &str = "ddpm.mixture";
const VERSION: &str = "1";
/// Far beyond what images in [-1, 1] lead to, and far from what f32 cannot square.
const MOST: f64 = 1e6;
/// By how much a product of two directions may be off.
const SKEWED: f64 = 1e-3;
/// Whole numbers up to this are exact in f32.
const MOST_CLASSES: f32 = 16_777_216.0;

impl Mixture {
    /// The bytes of a file: f32 tensors `mean`, `directions`, `rest`, `weights`, `classes`, `means` and `factors`, and these
    /// strings in the header.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn to_bytes(&self, strings: &BTreeMap<String, String>) -> Result<Vec<u8>, MixtureError> {
        let numbers = |all: Vec<f32>| Tensor::f_from_slice(&all);
        let all: Vec<Named> = vec![
            ("mean".to_owned(), self.mean.shallow_clone()),
            ("directions".to_owned(), self.directions.shallow_clone()),
            ("rest".to_owned(), numbers(vec![self.rest as f32])?),
            ("weights".to_owned(), numbers(self.weights.iter().map(|&weight| weight as f32).collect())?),
            ("classes".to_owned(), numbers(self.classes.iter().map(|&class| class as f32).collect())?),
            ("means".to_owned(), self.means.shallow_clone()),
            ("factors".to_owned(), self.factors.shallow_clone()),
        ];
        let mut strings = strings.clone();
        strings.insert(KEY.to_owned(), VERSION.to_owned());
        Ok(tensor_io::serialize_with(&all, &strings)?)
    }

    /// Reads a file and the strings of its header.
    ///
    /// # Errors
    /// [`MixtureError::Tensors`] for a file that is not readable or no safetensors file; [`MixtureError::File`] for one that
    /// holds no mixture, or one whose tensors do not belong together.
    pub fn read(path: &Path) -> Result<(Self, BTreeMap<String, String>), MixtureError> {
        let wrong = |reason: String| MixtureError::File { path: path.to_owned(), reason };
        let header = tensor_io::read_header(path)?;
        match header.metadata.get(KEY).map(String::as_str) {
            Some(VERSION) => {}
            Some(other) => return Err(wrong(format!("layout {}, which is newer", printable(other)))),
            None => return Err(wrong(format!("none (no string {KEY} in its header)"))),
        }
        let mut all: HashMap<String, Tensor> = tensor_io::read(path)?.into_iter().collect();
        let mut take = |name: &str, axes: usize| -> Result<Tensor, MixtureError> {
            let tensor = all.remove(name).ok_or_else(|| wrong(format!("no tensor {name}")))?;
            let size = tensor.size();
            if size.len() != axes || size.contains(&0) || tensor.f_kind()? != Kind::Float {
                return Err(wrong(format!("{name} of shape {size:?} and type {:?}", tensor.f_kind()?)));
            }
            if i64::try_from(&tensor.f_isfinite()?.f_all()?)? == 0 {
                return Err(wrong(format!("NaN or infinite numbers in {name}")));
            }
            Ok(tensor)
        };
        let (mean, directions, rest) = (take("mean", 3)?, take("directions", 4)?, take("rest", 1)?);
        let (weights, classes) = (take("weights", 1)?, take("classes", 1)?);
        let (means, factors) = (take("means", 2)?, take("factors", 3)?);
        let (count, width) = (weights.size()[0], directions.size()[0]);
        let pairs = [
            ("directions", &directions, [&[width], &mean.size()[..]].concat()),
            ("rest", &rest, vec![1]),
            ("classes", &classes, vec![count]),
            ("means", &means, vec![count, width]),
            ("factors", &factors, vec![count, width, width]),
        ];
        for (name, tensor, expected) in pairs {
            if tensor.size() != expected {
                return Err(wrong(format!("{name} of shape {:?} instead of {expected:?}", tensor.size())));
            }
        }
        for (name, tensor) in [("mean", &mean), ("rest", &rest), ("means", &means), ("factors", &factors)] {
            if f64::try_from(&tensor.f_abs()?.f_max()?)? > MOST {
                return Err(wrong(format!("numbers beyond {MOST:e} in {name}")));
            }
        }
        let flat = directions.f_view([width, -1])?.f_to_kind(Kind::Double)?;
        let unit = Tensor::f_eye(width, (Kind::Double, Device::Cpu))?;
        let off = flat.f_matmul(&flat.f_tr()?)?.f_sub(&unit)?;
        if f64::try_from(&off.f_abs()?.f_max()?)? > SKEWED {
            return Err(wrong("directions that are not orthonormal".to_owned()));
        }
        if f64::try_from(&factors.f_triu(1)?.f_abs()?.f_max()?)? > 0.0 {
            return Err(wrong("factors that are not lower triangular".to_owned()));
        }
        let rest = f64::from(tensor_io::to_vec(&rest)?[0]);
        let (weights, classes) = (tensor_io::to_vec(&weights)?, tensor_io::to_vec(&classes)?);
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        if rest < 0.0 || weights.iter().any(|&weight| weight < 0.0) || (sum - 1.0).abs() > 1e-3 {
            return Err(wrong("a negative variance or weight, or weights whose sum is not 1".to_owned()));
        }
        if classes.iter().any(|class| class.fract() != 0.0 || !(-1.0..MOST_CLASSES).contains(class)) {
            return Err(wrong("classes that are not whole numbers of -1 or more".to_owned()));
        }
        let weights = weights.iter().map(|&weight| f64::from(weight) / sum).collect();
        let classes = classes.iter().map(|&class| class as i64).collect();
        let found = Self { mean, directions, rest, weights, classes, means, factors };
        Ok((found, header.metadata))
    }
}

/// Without characters that a terminal would obey, and not longer than a line.
fn printable(text: &str) -> String {
    text.chars().take(20).flat_map(char::escape_default).collect()
}
