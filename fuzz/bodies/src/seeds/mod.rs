//! Initial inputs for fuzzing: for each form a parser knows, one valid input and a few invalid ones.

mod arrays;
mod checkpoint;
mod configuration;
mod diffusers;
mod parquet;
mod pictures;
mod state_dict;
mod words;

pub(crate) use arrays::{cifar, idx, idx_gz, npy, npz};
pub(crate) use checkpoint::{manifest, state, tensor_file};
pub(crate) use configuration::{config_toml, overrides};
pub(crate) use diffusers::diffusers;
pub(crate) use parquet::parquet;
pub(crate) use pictures::{image, image_tar, image_zip, mask};
pub(crate) use state_dict::state_dict;
pub(crate) use words::{class_labels, region, source_spec};

type Seeds = Vec<(String, Vec<u8>)>;

/// Names the inputs.
fn named<N: Into<String>, B: Into<Vec<u8>>>(inputs: impl IntoIterator<Item = (N, B)>) -> Seeds {
    inputs.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect()
}
