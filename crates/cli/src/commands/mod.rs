//! The sub-commands, one module each.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod configuration;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod ema;
pub(crate) mod evaluate;
mod evaluation;
pub(crate) mod export;
pub(crate) mod figures;
pub(crate) mod flags;
mod image_files;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod launch;
mod noise_file;
mod partial_files;
pub(crate) mod predict;
mod reporting;
mod results;
pub(crate) mod sample;
mod sampling;
pub(crate) mod train;
pub(crate) mod train_features;
pub(crate) mod try_step;
mod watching;
