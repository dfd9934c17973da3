//! The same predictions as UNet2DModel of diffusers, for networks of all kinds; `cargo xtask parity --models` prints them.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod replay;
mod rule;

#[test]
fn every_network_predicts_the_same_as_the_peer() {
    let rows = replay::all().unwrap();
    assert!(rows.iter().all(replay::Row::passes), "{}", replay::table(&rows));
    assert_eq!(rows.len(), 35);
}
