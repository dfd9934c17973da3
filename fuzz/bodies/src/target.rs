//! The table of targets.

use crate::{
    cifar, configuration, diffusers, idx, image_tar, image_zip, manifest, npy, npz, parquet, picture, seeds,
    state_dict, tensor_file, words,
};

/// One fuzzed parser.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target, of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Parses and asserts.
    pub body: fn(&[u8]),
    /// Small initial inputs, each with a name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// All targets, sorted by name.
pub const TARGETS: &[Target] = &[
    Target { name: "cifar", body: cifar::body, seeds: seeds::cifar },
    Target { name: "class_labels", body: words::class_labels, seeds: seeds::class_labels },
    Target { name: "config_toml", body: configuration::text, seeds: seeds::config_toml },
    Target { name: "diffusers", body: diffusers::body, seeds: seeds::diffusers },
    Target { name: "idx", body: idx::body, seeds: seeds::idx },
    Target { name: "idx_gz", body: idx::gzipped, seeds: seeds::idx_gz },
    Target { name: "image", body: picture::image, seeds: seeds::image },
    Target { name: "image_tar", body: image_tar::body, seeds: seeds::image_tar },
    Target { name: "image_zip", body: image_zip::body, seeds: seeds::image_zip },
    Target { name: "manifest", body: manifest::manifest, seeds: seeds::manifest },
    Target { name: "mask", body: picture::mask, seeds: seeds::mask },
    Target { name: "npy", body: npy::body, seeds: seeds::npy },
    Target { name: "npz", body: npz::body, seeds: seeds::npz },
    Target { name: "overrides", body: configuration::overrides, seeds: seeds::overrides },
    Target { name: "parquet", body: parquet::body, seeds: seeds::parquet },
    Target { name: "region", body: words::region, seeds: seeds::region },
    Target { name: "source_spec", body: words::source_spec, seeds: seeds::source_spec },
    Target { name: "state", body: manifest::state, seeds: seeds::state },
    Target { name: "state_dict", body: state_dict::body, seeds: seeds::state_dict },
    Target { name: "tensor_file", body: tensor_file::body, seeds: seeds::tensor_file },
];

/// Runs the body of a target.
///
/// # Panics
/// When the body does, which is what fuzzing looks for, and for an unknown name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("there should be a target of this name").body)(data);
}
