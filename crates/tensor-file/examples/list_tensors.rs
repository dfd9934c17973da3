//! Lists the tensors of a safetensors file without reading them:
//! `cargo run -p tensor-file --example list_tensors -- model.safetensors`. Without a file it makes one, and one that lies.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::path::Path;

use tensor_file::{Header, TensorFileError, parse, read_header};

fn main() -> Result<(), TensorFileError> {
    if let Some(path) = std::env::args_os().nth(1) {
        list(&read_header(path.as_ref())?);
        return Ok(());
    }
    let name = Path::new("made-up.safetensors");
    let honest = r#"{"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}"#;
    list(&parse(name, &file(honest, 24))?);
    // The shape asks for 4 TB. It is refused before anything is allocated.
    let lie = r#"{"weight": {"dtype": "F32", "shape": [1000000, 1000000], "data_offsets": [0, 24]}}"#;
    match parse(name, &file(lie, 24)) {
        Ok(header) => list(&header),
        Err(error) => println!("refused: {error}"),
    }
    Ok(())
}

fn list(header: &Header) {
    for (name, tensor) in &header.tensors {
        let bytes = tensor.range.end - tensor.range.start;
        println!("{name}: {} {:?}, {bytes} bytes", tensor.dtype, tensor.shape);
    }
}

/// A file with this header and as many zeros as data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}
