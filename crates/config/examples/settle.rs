//! Completes the configuration of a run for 64x64 photos: `cargo run -p config --example settle`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use config::{ConfigError, ImageShape, Layers, parse_set};

fn main() -> Result<(), ConfigError> {
    let photos = ImageShape { height: 64, width: 64, channels: 3, classes: 0 };
    // The preset follows from the images; `--set` of the program changes single values.
    let set = [parse_set("train.steps=20000")?, parse_set("train.lr=1e-4")?];
    let config = Layers { set: &set, ..Layers::default() }.settle(&photos)?;
    let (model, train) = (&config.model, &config.train);
    println!("{} channels, times {:?} by level", model.base_channels, model.channel_mults);
    println!("attention at {:?} pixels, {} parameters", model.attention_resolutions, model.parameter_count());
    println!("{} steps of {} images, learning rate {}", train.steps, train.batch, train.lr);

    // A mistake names the key, what was expected and what was found.
    for text in ["train.lr=-1", "train.stpes=5", "model.heads=7"] {
        let set = [parse_set(text)?];
        match (Layers { set: &set, ..Layers::default() }).settle(&photos) {
            Ok(_) => println!("{text}: accepted"),
            Err(error) => println!("{text}: {error}"),
        }
    }
    Ok(())
}
