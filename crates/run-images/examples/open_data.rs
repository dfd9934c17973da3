//! Opens the images of a run and completes its configuration: `cargo run -p run-images --example open_data -- photos/`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use run_images::config::{Layers, parse_set};
use run_images::{DataError, Resolved, resolve};

fn main() -> Result<(), DataError> {
    // Without a folder, the first 500 of the embedded images.
    let data = std::env::args().nth(1);
    let set = [parse_set(if data.is_some() { "data.size=64" } else { "data.limit=500" })?];
    let layers = Layers { data: data.as_deref(), set: &set, ..Layers::default() };
    let Resolved { config, preset, dataset, .. } = resolve(&layers, None)?;

    let (height, width, channels) = dataset.shape();
    println!("{} images of {width}x{height}x{channels}, preset {preset}", dataset.len());
    println!("a network with {} parameters", config.model.parameter_count());
    // A resumed run checks that it gets the same images.
    if let Some(images) = &config.images {
        println!("SHA-256 of the images: {}", images.sha256);
    }
    Ok(())
}
