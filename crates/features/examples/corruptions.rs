//! Prints the table of `docs/features.md`: how the Frechet distance of features grows as images get worse. Uses the
//! features of the shipped classifier, or of a file for 28x28 grey images:
//! `cargo run --release -p features --example corruptions [-- FILE.safetensors]`.
#![allow(clippy::print_stdout, reason = "it prints a table")]

#[path = "../tests/corruptions/mod.rs"]
mod corruptions;

use std::error::Error;

use corruptions::{SERIES, distance, halves, moments};
use features::Extractor;
use tch::Device;

fn main() -> Result<(), Box<dyn Error>> {
    let network = match std::env::args_os().nth(1) {
        Some(path) => Extractor::open(path.as_ref(), Device::Cpu)?,
        None => Extractor::fashion(Device::Cpu)?,
    };
    let (here, there) = halves()?;
    let reference = moments(&network, here.view())?;
    println!("| {} real images against as many others | {} |", here.dim().0, network.distance_title());
    println!("|---|---|");
    println!("| as they are | {:.3} |", distance(&network, &reference, there.view())?);
    for (what, series) in SERIES {
        for corruption in series {
            let far = distance(&network, &reference, corruption.of(there.view()).view())?;
            println!("| {what}: {} | {far:.3} |", corruption.strength());
        }
    }
    Ok(())
}
