//! Runs the bodies on random bytes and on damaged corpus inputs: changed bytes, cut parts, parts of other inputs
//! inserted.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::path::Path;

use fuzz_bodies::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// One change to an input.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, Index),
    End(Index),
    /// Inserts a part of another input.
    Splice(Index, Index, Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        (at(), prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), at()).prop_map(|(from, to)| Damage::Cut(from, to)),
        at().prop_map(Damage::End),
        (at(), at(), at(), at()).prop_map(|(at, other, from, to)| Damage::Splice(at, other, from, to)),
    ]
}

fn ordered(a: Index, b: Index, length: usize) -> std::ops::Range<usize> {
    let (a, b) = (a.index(length + 1), b.index(length + 1));
    a.min(b)..a.max(b)
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage, corpus: &[Vec<u8>]) {
    let place = |at: &Index, length: usize| (length > 0).then(|| at.index(length));
    match damage {
        Damage::Flip(at, bit) => {
            if let Some(at) = place(at, bytes.len()) {
                bytes[at] ^= bit;
            }
        }
        Damage::Set(at, byte) => {
            if let Some(at) = place(at, bytes.len()) {
                bytes[at] = *byte;
            }
        }
        Damage::Cut(from, to) => drop(bytes.drain(ordered(*from, *to, bytes.len()))),
        Damage::End(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Damage::Splice(at, other, from, to) => {
            let other = &corpus[other.index(corpus.len())];
            let part = &other[ordered(*from, *to, other.len())];
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, part.iter().copied());
        }
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target.name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The order must not depend on the system, because the seed reproduces a failure.
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Does not persist failures: a finding becomes a corpus file.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn random_bytes_keep_the_promises() {
    for target in TARGETS {
        let bytes = prop::collection::vec(any::<u8>(), 0..200);
        let result = runner(256).run(&bytes, |bytes| {
            (target.body)(&bytes);
            Ok(())
        });
        assert!(result.is_ok(), "{}: {}", target.name, result.unwrap_err());
    }
}

#[test]
fn damaged_inputs_keep_the_promises() {
    for target in TARGETS {
        let corpus = corpus(target);
        let changes = (any::<Index>(), prop::collection::vec(damage(), 1..6));
        let result = runner(1024).run(&changes, |(start, changes)| {
            let mut bytes = corpus[start.index(corpus.len())].clone();
            changes.iter().for_each(|change| apply(&mut bytes, change, &corpus));
            bytes.truncate(1 << 14);
            (target.body)(&bytes);
            Ok(())
        });
        assert!(result.is_ok(), "{}: {}", target.name, result.unwrap_err());
    }
}
