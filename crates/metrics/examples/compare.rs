//! Compares sets of features that are ever further apart: `cargo run -p metrics --example compare`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use metrics::ndarray::Array2;
use metrics::{MetricsError, Moments, Neighbours, frechet_distance, neighbours};
use random::{Purpose, Stream};

/// 1000 points from a normal distribution in four dimensions, moved along the first.
fn points(seed: u64, moved: f32) -> Array2<f32> {
    let mut stream = Stream::new(seed, Purpose::Figure, 0, 0);
    let normals = stream.normals(4000);
    Array2::from_shape_fn((1000, 4), |(i, j)| normals[4 * i + j] + if j == 0 { moved } else { 0.0 })
}

fn main() -> Result<(), MetricsError> {
    let real = points(1, 0.0);
    let reference = Moments::of(&real)?;
    // The exact distance is the square of the shift.
    for moved in [0.0, 1.0, 3.0] {
        let samples = points(2, moved);
        let distance = frechet_distance(&Moments::of(&samples)?, &reference)?;
        let Neighbours { precision, recall, .. } = neighbours(&real, &samples, 5)?;
        println!(
            "moved by {moved}: Frechet distance {distance:.2}, precision {precision:.2}, recall {recall:.2}"
        );
    }
    Ok(())
}
