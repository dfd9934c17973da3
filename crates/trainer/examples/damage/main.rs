//! Damages checkpoints and prints one line of JSON: how many were refused, and which were not.
//!
//! `cargo run -p trainer --example damage -- --count 2000`. The kinds of damage are those of the test of the same name.

#[path = "../../tests/damage/trials/mod.rs"]
mod trials;

use std::io::{self, Write};
use std::process::ExitCode;

use trainer::BoxError;

fn main() -> Result<ExitCode, BoxError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let count = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 2000,
        ["--count", count] => count.parse()?,
        _ => return Err("expected --count N and nothing else".into()),
    };
    let report = trials::run(count, 0)?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(if report.refused == report.tried { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
