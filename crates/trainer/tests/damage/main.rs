//! Damaged checkpoints are refused with a message that says where the damage is, and the previous one is found.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod trials;

#[test]
fn every_damage_is_refused() {
    let report = trials::run(trials::KINDS.len() as u64 * 10, 0).unwrap();
    assert_eq!(report.complaints, Vec::<String>::new());
    assert_eq!((report.refused, report.panics), (report.tried, 0));
    assert!(report.by_kind.values().all(|&count| count == 10), "{:?}", report.by_kind);
}
