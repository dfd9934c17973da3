//! Writes a network as an ONNX file: `cargo run -p interchange --example export -- out.onnx`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::collections::BTreeMap;
use std::error::Error;

use interchange::config::UNetConfig;
use interchange::onnx::{Model, Weight, write};

fn main() -> Result<(), Box<dyn Error>> {
    let network = UNetConfig::preset("tiny-16")?;
    // Made-up weights; those of a run are in its safetensors, under the same names.
    let parameters = network.parameters();
    let numbers: Vec<Vec<f32>> =
        parameters.iter().map(|(_, shape)| vec![0.01; shape.iter().product()]).collect();
    let weights: Vec<Weight<'_>> = parameters
        .iter()
        .zip(&numbers)
        .map(|((name, shape), values)| Weight { name, shape, values })
        .collect();
    let model = Model {
        network: &network,
        timesteps: 1000,
        size: (16, 16),
        output: "eps",
        batch: None,
        doc: "A network with made-up weights".to_owned(),
        metadata: BTreeMap::new(),
    };
    let file = write(&model, &weights)?;
    println!("{} weights in {} tensors", network.parameter_count(), weights.len());
    println!("an ONNX file of {} kB", file.len() / 1000);
    if let Some(path) = std::env::args_os().nth(1) {
        std::fs::write(path, &file)?;
    }
    // A weight that is missing is named.
    if let Err(error) = write(&model, &weights[1..]) {
        println!("refused: {error}");
    }
    Ok(())
}
