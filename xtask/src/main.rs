//! Runs whole pipelines.
fn main() {}
