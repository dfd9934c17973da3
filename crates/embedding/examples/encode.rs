//! Prints the vectors that a network sees for a few t: `cargo run -p embedding --example encode`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use embedding::ndarray::array;
use embedding::{EmbeddingError, EmbeddingKind, TimeEmbedding};

fn main() -> Result<(), EmbeddingError> {
    let embedding = TimeEmbedding::new(&EmbeddingKind::normalized(1000, 4))?;
    let times = array![0.0, 1.0, 499.5, 999.0];
    for (t, row) in times.iter().zip(embedding.encode(times.view()).outer_iter()) {
        let numbers: Vec<String> = row.iter().map(|number| format!("{number:6.3}")).collect();
        println!("t = {t:>5}: {}", numbers.join(" "));
    }
    Ok(())
}
