//! Lists what the built-in model is, from its header alone: `cargo run -p shipped --example describe`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::path::Path;

fn main() -> Result<(), tensor_file::TensorFileError> {
    let Some(bytes) = shipped::file() else {
        println!("{}: left out of this build", shipped::NAME);
        return Ok(());
    };
    let header = tensor_file::parse(Path::new(shipped::NAME), bytes)?;
    println!("{}: {} tensors, {:.1} MB", shipped::NAME, header.tensors.len(), bytes.len() as f64 / 1e6);
    println!("trained for {} steps", header.metadata["ddpm.step"]);
    Ok(())
}
