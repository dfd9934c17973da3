//! The three files of tensors against one another. Hashes vouch for bytes; a manifest made for other files
//! than the trainer's would vouch for those as well.

use std::collections::BTreeMap;
use std::path::Path;

use tensor_file::{Dtype, Header, TensorInfo, read_header};

use crate::layout::{EMA, MODEL, OPTIMIZER};
use crate::CheckpointError;

/// Checks by their headers that the average has the tensors of the model, and the optimiser two for each of
/// them and its `step`.
pub(crate) fn check(folder: &Path) -> Result<(), CheckpointError> {
    let model = tensors(&read_header(&folder.join(MODEL))?);
    let ema = folder.join(EMA);
    compare(&ema, &model, &tensors(&read_header(&ema)?))?;

    let optimizer = folder.join(OPTIMIZER);
    let moments = |prefix| model.iter().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor.clone()));
    let step = ("step".to_owned(), (Dtype::I64, vec![1]));
    let expected = moments("m").chain(moments("v")).chain([step]).collect();
    compare(&optimizer, &expected, &tensors(&read_header(&optimizer)?))
}

/// Type and shape by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>)>;

fn tensors(header: &Header) -> Tensors {
    let one = |(name, info): (&String, &TensorInfo)| (name.clone(), (info.dtype, info.shape.clone()));
    header.tensors.iter().map(one).collect()
}

/// Refuses the first difference.
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
