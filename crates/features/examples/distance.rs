//! How far images are from Fashion-MNIST, by the features of the shipped classifier: `cargo run -p features --example distance`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;

use dataset::{BatchPlan, Dataset, DatasetError, OpenOptions, Source};
use features::Extractor;
use features::ndarray::Array4;
use features::tch::Device;
use metrics::{Moments, frechet_distance};

/// 1000 images `[n, h, w, c]` of a part of the embedded dataset.
fn images(part: &str) -> Result<Array4<u8>, DatasetError> {
    let set = Dataset::open(&Source::detect(part)?, &OpenOptions::default())?;
    Ok(dataset::from_model(BatchPlan::new(set.len(), 1000, 7)?.batch(&set, 0)?.images.view()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let network = Extractor::fashion(Device::Cpu)?;
    let moments = |images: &Array4<u8>| -> Result<Moments, Box<dyn Error>> {
        Ok(Moments::of(&network.extract(images.view())?.features)?)
    };
    let real = moments(&images("fashion-mnist:train")?)?;
    let others = images("fashion-mnist:test")?;
    let negatives = others.mapv(|pixel| 255 - pixel);
    for (name, images) in [("other real images", &others), ("their negatives", &negatives)] {
        println!(
            "{} of {name}: {:.2}",
            network.distance_title(),
            frechet_distance(&moments(images)?, &real)?
        );
    }
    Ok(())
}
