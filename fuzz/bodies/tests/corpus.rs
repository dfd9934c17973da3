//! Runs every corpus input, including the seeds, through its body, and checks that each target is complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz_bodies::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_input_keeps_the_promises() {
    for target in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(fuzz().join("corpus").join(target.name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let body = std::panic::catch_unwind(|| (target.body)(&bytes));
            assert!(body.is_ok(), "{} fails", path.display());
            count += 1;
        }
        assert!(count >= (target.seeds)().len(), "{}: {count} inputs, fewer than seeds", target.name);
    }
}

#[test]
fn corpora_stay_small() {
    for target in TARGETS {
        let files = fs::read_dir(fuzz().join("corpus").join(target.name)).unwrap();
        let sizes: Vec<u64> = files.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        let total: u64 = sizes.iter().sum();
        assert!(
            sizes.len() <= 120 && total <= 100_000,
            "{}: {} files, {total} bytes",
            target.name,
            sizes.len()
        );
    }
}

#[test]
fn every_target_has_its_program() {
    let stem = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
    };
    let programs: BTreeSet<String> = fs::read_dir(fuzz().join("fuzz_targets")).unwrap().map(stem).collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(programs, names);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in Cargo.toml"
        );
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("\"{name}\"")), "{name}.rs runs another target");
    }
    assert!(TARGETS.is_sorted_by_key(|target| target.name));
}
