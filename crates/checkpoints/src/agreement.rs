//! Checks that the three tensor files agree with each other. Hashes protect bytes only: a manifest made for files that
//! did not come from the trainer would pass as well.

use std::collections::BTreeMap;
use std::path::Path;

use tensor_file::{Dtype, Header, TensorInfo, read_header};

use crate::CheckpointError;
use crate::layout::{EMA, MODEL, OPTIMIZER};

/// Compares the headers: the average must have the tensors of the model, and the optimiser a `step` and two tensors for
/// each trained parameter, of which the second is empty if it is not used. It has none for frozen parameters; at least one
/// parameter is trained.
pub(crate) fn check(folder: &Path) -> Result<(), CheckpointError> {
    let model = tensors(&read_header(&folder.join(MODEL))?);
    let ema = folder.join(EMA);
    compare(&ema, &model, &tensors(&read_header(&ema)?))?;

    let optimizer = folder.join(OPTIMIZER);
    let found = tensors(&read_header(&optimizer)?);
    let is_trained =
        |name: &str| ["m", "v"].iter().any(|prefix| found.contains_key(&format!("{prefix}.{name}")));
    let none_is = !model.keys().any(|name| is_trained(name));
    let mut expected = Tensors::from([("step".to_owned(), (Dtype::I64, vec![1]))]);
    for (name, tensor) in model.iter().filter(|(name, _)| none_is || is_trained(name)) {
        let second = format!("v.{name}");
        let unused = (tensor.0, vec![0]);
        let is_unused = found.get(&second) == Some(&unused);
        expected.insert(format!("m.{name}"), tensor.clone());
        expected.insert(second, if is_unused { unused } else { tensor.clone() });
    }
    compare(&optimizer, &expected, &found)
}

/// Type and shape by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>)>;

fn tensors(header: &Header) -> Tensors {
    let one = |(name, info): (&String, &TensorInfo)| (name.clone(), (info.dtype, info.shape.clone()));
    header.tensors.iter().map(one).collect()
}

/// Returns an error for the first difference.
fn compare(path: &Path, expected: &Tensors, found: &Tensors) -> Result<(), CheckpointError> {
    let differs = |name: &&String| expected.get(*name) != found.get(*name);
    match expected.keys().chain(found.keys()).find(differs) {
        None => Ok(()),
        Some(name) => Err(CheckpointError::Tensor {
            path: path.to_owned(),
            tensor: name.clone(),
            expected: text(expected.get(name)),
            found: text(found.get(name)),
        }),
    }
}

fn text(tensor: Option<&(Dtype, Vec<usize>)>) -> String {
    tensor.map_or_else(|| "none".to_owned(), |(dtype, shape)| format!("{dtype} of shape {shape:?}"))
}
