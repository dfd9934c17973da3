//! Replaces a file so that nobody ever reads half of it: `cargo run -p files --example replace`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::fs;
use std::io::{self, Write};

fn main() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report.txt");
    files::write_atomic(&path, b"the first report")?;

    // The content may be produced piece by piece. If that fails, the old file stays.
    let failed = files::write_atomic_with(&path, |out| {
        out.write_all(b"half of the second")?;
        Err(io::Error::other("there is no more data"))
    });
    if let Err(error) = failed {
        println!("the second report failed: {error}");
    }
    println!("the file holds: {}", fs::read_to_string(&path)?);
    println!("files in its folder: {}", fs::read_dir(folder.path())?.count());
    Ok(())
}
