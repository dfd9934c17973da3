//! Says what to do if the model is missing; the compiler would only name the file.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::env;
use std::path::Path;

/// A link to the file in `assets/models/` of the workspace.
const FILE: &str = "assets/fashion-28.safetensors";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={FILE}");
    if env::var_os("CARGO_FEATURE_MODEL").is_some() && !Path::new(FILE).is_file() {
        println!(
            "cargo::error=expected the model of the program in assets/models/fashion-28.safetensors, found none; restore it \
             (`git checkout -- assets/models`), make it (`cargo xtask ship`), or build without it \
             (`cargo build --release -p cli --no-default-features`)"
        );
    }
}
