//! Puts images side by side in one PNG: `cargo run -p figures --example side_by_side -- out.png`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::path::PathBuf;

use figures::ndarray::Array4;
use figures::{FiguresError, grid, square_columns};

fn main() -> Result<(), FiguresError> {
    // Sixteen grey discs that grow, [n, h, w, c].
    let images = Array4::from_shape_fn((16, 28, 28, 1), |(i, y, x, _)| {
        let (dy, dx) = (y as f64 - 13.5, x as f64 - 13.5);
        if dy.hypot(dx) < 1.0 + 0.8 * i as f64 { 40 } else { 230 }
    });
    let picture = grid(images.view(), square_columns(16), 4, 4)?;
    let png = picture.png()?;
    println!("{}x{} pixels, a PNG of {} bytes", picture.width(), picture.height(), png.len());
    if let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) {
        std::fs::write(&path, &png).map_err(|source| FiguresError::Write { path, source })?;
    }
    Ok(())
}
