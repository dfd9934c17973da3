//! Prints batches of the embedded images, or of a folder if one is given:
//! `cargo run -p dataset --example batches -- photos/`.
#![allow(clippy::print_stdout, reason = "this program prints to the terminal")]

use dataset::{BatchPlan, Dataset, DatasetError, OpenOptions, Source};

fn main() -> Result<(), DatasetError> {
    let named = std::env::args().nth(1);
    let options = OpenOptions { size: named.is_some().then_some(64.into()), ..OpenOptions::default() };
    let set = Dataset::open(&Source::detect(named.as_deref().unwrap_or("fashion-mnist"))?, &options)?;
    let (height, width, channels) = set.shape();
    println!("{} images of {width}x{height}x{channels}", set.len());
    // The images of a step depend only on the seed and the step.
    let plan = BatchPlan::new(set.len(), 8.min(set.len()), 7)?.with_flip(true);
    for step in 0..3 {
        let batch = plan.batch(&set, step)?;
        println!(
            "step {step}: f32 {:?}, mean {:.3}",
            batch.images.dim(),
            batch.images.mean().unwrap_or(f32::NAN)
        );
    }
    Ok(())
}
