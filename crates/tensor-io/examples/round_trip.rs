//! Pixels to tensors and back, and weights to a file and back: `cargo run -p tensor-io --example round_trip`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;

use tensor_io::ndarray::Array4;
use tensor_io::tch::{Device, Kind, TchError, Tensor};
use tensor_io::{Named, from_pixels, load_into, save, to_pixels, to_vec};

fn main() -> Result<(), Box<dyn Error>> {
    // Two images of 4x4 pixels, [b, h, w, c], become [b, c, h, w] in [-1, 1].
    let pixels = Array4::from_shape_fn((2, 4, 4, 3), |(i, y, x, k)| (100 * i + 20 * y + 5 * x + k) as u8);
    let images = from_pixels(&pixels.view())?;
    println!("{:?}, the same pixels again: {}", images.size(), to_pixels(&images)? == pixels);

    let named = |size: [i64; 2], value: f64| -> Result<Named, TchError> {
        Ok(("linear.weight".to_owned(), Tensor::f_full(size, value, (Kind::Float, Device::Cpu))?))
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    save(&path, &[named([1, 3], 0.5)?])?;
    let target = named([1, 3], 0.0)?;
    load_into(&path, &[(target.0, target.1.shallow_clone())])?;
    println!("loaded: {:?}", to_vec(&target.1)?);

    // Weights of another shape are never broadcast.
    if let Err(error) = load_into(&path, &[named([4, 3], 0.0)?]) {
        let text = error.to_string();
        println!(
            "refused: {}",
            text.split_once("weights.safetensors: ").map_or(text.as_str(), |(_, why)| why)
        );
    }
    Ok(())
}
