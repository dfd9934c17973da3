//! The same numbers as pytorch-fid, torch-fidelity and prdc compute for the same features;
//! `cargo xtask parity --metrics` prints them.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod replay;
mod rule;

#[test]
fn every_number_of_the_peers_is_ours() {
    let rows = replay::all().unwrap();
    let failed = rows.iter().filter(|row| !row.passes()).count();
    assert_eq!(failed, 0, "{}", replay::table(&rows));
    assert_eq!(rows.len(), 6 * 12 + 4 * 2);
}
