//! Writes, finds, verifies and rotates checkpoint folders.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::fs;

use checkpoints::{
    CONFIG, Checkpoint, CheckpointError, EMA, FILES, MANIFEST, MODEL, Manifest, ManifestEntry, OPTIMIZER,
    STATE, State, Writer,
};
use proptest::prelude::*;
use support::{Run, folder, latest, moments, names, optimizer, path_of, replace, state_text, tensors, write};

#[test]
fn a_written_checkpoint_is_found() {
    let folder = folder(&[2, 4]);
    assert_eq!(names(folder.path()), ["step-00000002", "step-00000004"]);
    let path = path_of(folder.path(), 4);
    let mut expected: Vec<&str> = FILES.iter().copied().chain([MANIFEST]).collect();
    expected.sort_unstable();
    assert_eq!(names(&path), expected);
    let found = Checkpoint::<Run>::open(&path).unwrap();
    assert_eq!((found.path, found.state), (path, State::new(4, 3, Run { interval: 5 })));
    assert_eq!(latest(folder.path()), (Some(4), vec![]));
}

#[test]
fn an_abandoned_checkpoint_leaves_nothing() {
    let folder = folder(&[2]);
    let mut writer = Writer::begin(folder.path(), 4).unwrap();
    writer.put(MODEL, b"half").unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    drop(writer);
    assert_eq!(names(folder.path()), ["step-00000002"]);
}

#[test]
fn the_same_step_again() {
    let folder = folder(&[2, 4]);
    let path = path_of(folder.path(), 4);
    // The content is the same, so the folder stays, as the file's age shows.
    let age = || fs::metadata(path.join(MODEL)).unwrap().modified().unwrap();
    let before = age();
    write(folder.path(), 4, 4.0).unwrap();
    assert_eq!(age(), before);
    // Other content, or damage, is replaced.
    write(folder.path(), 4, 5.0).unwrap();
    assert_eq!(fs::read(path.join(MODEL)).unwrap(), tensors(&[("w", &[2], 5.0)]));
    fs::write(path.join(MODEL), "").unwrap();
    write(folder.path(), 4, 5.0).unwrap();
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "a file in its place").unwrap();
    write(folder.path(), 4, 5.0).unwrap();
    assert_eq!(latest(folder.path()), (Some(4), vec![]));
    assert_eq!(names(folder.path()), ["step-00000002", "step-00000004"]);
}

/// A folder cannot be created where a file is. The error says so, and which checkpoint is left.
#[test]
fn a_failed_write_says_what_is_left() {
    let folder = folder(&[2, 4]);
    fs::write(path_of(folder.path(), 4).join(EMA), "damaged").unwrap();
    let mut writer = Writer::begin(folder.path(), 6).unwrap();
    let message = writer.put("no/such/folder", b"").unwrap_err().to_string();
    for part in [
        "no/such/folder: the checkpoint cannot be saved",
        "No such file",
        "newest sound one is",
        "step-00000002",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    drop(writer);
    assert_eq!(names(folder.path()), ["step-00000002", "step-00000004"]);

    let nothing = tempfile::tempdir().unwrap();
    let file = nothing.path().join("file");
    fs::write(&file, "").unwrap();
    let message = Writer::begin(&file, 6).unwrap_err().to_string();
    assert!(message.contains("there is no sound one"), "{message}");
}

#[test]
fn a_checkpoint_with_another_steps_name_is_refused() {
    let folder = folder(&[2, 4]);
    fs::rename(path_of(folder.path(), 4), path_of(folder.path(), 9)).unwrap();
    let (step, refused) = latest(folder.path());
    assert_eq!(step, Some(2));
    assert!(refused[0].ends_with("step-00000009/state.json: step: expected 9, found 4"), "{refused:?}");
    // A copy under a name that is not a step is a checkpoint like any other.
    fs::rename(path_of(folder.path(), 9), folder.path().join("best")).unwrap();
    assert_eq!(Checkpoint::<Run>::open(&folder.path().join("best")).unwrap().state.step, 4);
}

/// A valid manifest only proves that bytes are unchanged; the contents must also agree.
#[test]
fn files_that_do_not_belong_together_are_refused() {
    let shape: &[usize] = &[3];
    let more: &[(&str, &[usize], f32)] = &[("w", &[2], 0.0), ("x", &[1], 0.0)];
    let cases: &[(&str, Vec<u8>, &str)] = &[
        (
            EMA,
            tensors(&[("w", shape, 0.0)]),
            "ema.safetensors: tensor w: expected F32 of shape [2], found F32 of shape [3]",
        ),
        (
            EMA,
            tensors(&[("u", &[2], 0.0)]),
            "ema.safetensors: tensor w: expected F32 of shape [2], found none",
        ),
        (EMA, tensors(more), "ema.safetensors: tensor x: expected none, found F32 of shape [1]"),
        (EMA, b"not safetensors".to_vec(), "ema.safetensors: header size"),
        (MODEL, tensors(&[]), "ema.safetensors: tensor w: expected none, found F32 of shape [2]"),
        (MODEL, vec![], "model.safetensors: file size"),
        (
            OPTIMIZER,
            tensors(&[("w", &[2], 0.0)]),
            "optimizer.safetensors: tensor m.w: expected F32 of shape [2], found none",
        ),
        (
            OPTIMIZER,
            optimizer(&[("w", &[2]), ("x", &[1])], 4),
            "optimizer.safetensors: tensor m.x: expected none",
        ),
        (
            OPTIMIZER,
            moments(&[0], &[0]),
            "optimizer.safetensors: tensor m.w: expected F32 of shape [2], found F32 of shape [0]",
        ),
        (
            OPTIMIZER,
            moments(&[2], &[1]),
            "optimizer.safetensors: tensor v.w: expected F32 of shape [2], found F32 of shape [1]",
        ),
        (STATE, b"{}".to_vec(), "state.json: content"),
        (STATE, vec![b' '; 2 << 20], "state.json: size: expected at most 1048576 bytes"),
    ];
    for (name, bytes, part) in cases {
        let folder = folder(&[2, 4]);
        replace(&path_of(folder.path(), 4), name, bytes);
        let (step, refused) = latest(folder.path());
        assert_eq!(step, Some(2), "{part}");
        assert!(refused[0].contains(part), "{part:?} is not in {:?}", refused[0]);
    }
    // The caller's part of the state has the caller's type.
    let folder = folder(&[2, 4]);
    let path = path_of(folder.path(), 4);
    let text = state_text(&path).replace("\"interval\": 5", "\"interval\": \"five\"");
    replace(&path, STATE, text.as_bytes());
    assert_eq!(latest(folder.path()).0, Some(2));
    checkpoints::verify(&path).unwrap();
}

/// Muon has no second moment.
#[test]
fn an_unused_second_moment_is_empty() {
    let folder = folder(&[2, 4]);
    replace(&path_of(folder.path(), 4), OPTIMIZER, &moments(&[2], &[0]));
    assert_eq!(latest(folder.path()), (Some(4), vec![]));
}

#[test]
fn a_manifest_that_lies_is_refused() {
    for (part, find, put, named) in [
        ("a size", "\"bytes\": ", "\"bytes\": 1", "model.safetensors: size: expected 1"),
        ("a hash", "\"sha256\": \"", "\"sha256\": \"0", "model.safetensors: SHA-256: expected 0"),
        (
            "a name",
            "ema.safetensors",
            "emu.safetensors",
            "manifest.json: files: expected an entry for ema.safetensors",
        ),
        ("a name that is there", "\"ema.", "\"model.", "manifest.json: files: expected each name once"),
        ("its form", "{", "[", "manifest.json: content"),
    ] {
        let folder = folder(&[2, 4]);
        let path = path_of(folder.path(), 4).join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(find, put, 1)).unwrap();
        let (step, refused) = latest(folder.path());
        assert_eq!(step, Some(2), "{part}");
        assert!(refused[0].contains(named), "{part}: {:?}", refused[0]);
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_refused() {
    let folder = folder(&[2, 4]);
    let path = path_of(folder.path(), 4);
    fs::rename(path.join(EMA), folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", path.join(EMA)).unwrap();
    assert_eq!(latest(folder.path()).0, Some(4));
    fs::remove_file(path.join(EMA)).unwrap();
    std::os::unix::fs::symlink(EMA, path.join(EMA)).unwrap();
    let error = checkpoints::latest::<Run>(folder.path()).unwrap_err();
    assert!(error.to_string().contains("ema.safetensors: cannot be read"), "{error}");
}

/// Makes each file in turn unreadable, even for root: an older checkpoint is no substitute.
#[cfg(unix)]
#[test]
fn an_unreadable_file_is_an_error_but_not_damage() {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    let ways: [fn(&Path); 4] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink(path, path).unwrap(),
        |path| symlink("/not-mounted/file", path).unwrap(),
        |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
    ];
    for name in FILES.iter().copied().chain([MANIFEST]) {
        for way in ways {
            let folder = folder(&[2, 4]);
            let path = path_of(folder.path(), 4).join(name);
            fs::remove_file(&path).unwrap();
            way(&path);
            let error = checkpoints::latest::<Run>(folder.path()).unwrap_err();
            assert!(
                matches!(&error, CheckpointError::Unreadable { .. }) && !error.is_damage(),
                "{name}: {error}"
            );
            assert!(error.to_string().contains(&format!("step-00000004/{name}: cannot be read")), "{error}");
            assert_eq!(names(folder.path()), ["step-00000002", "step-00000004"]);
        }
    }
}

#[test]
fn a_checkpoint_of_a_newer_program_is_not_skipped() {
    let folder = folder(&[2, 4]);
    let path = path_of(folder.path(), 4);
    let text = state_text(&path).replace("\"format_version\": 1", "\"format_version\": 57");
    replace(&path, STATE, text.as_bytes());
    let error = checkpoints::latest::<Run>(folder.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Version { found: 57, .. }), "{error}");
}

/// Sparse files of terabytes are refused by header and size, not hashed.
#[test]
fn sparse_files_are_refused_before_they_are_hashed() {
    for name in [MODEL, CONFIG, "notes.bin"] {
        let folder = folder(&[2, 4]);
        let path = path_of(folder.path(), 4);
        fs::File::create(path.join(name)).unwrap().set_len(63 << 30).unwrap();
        let mut manifest = Manifest::read(&path).unwrap();
        manifest.files.retain(|entry| entry.name != name);
        manifest.files.push(ManifestEntry { bytes: 63 << 30, ..ManifestEntry::of(name, b"") });
        fs::write(path.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let (step, refused) = latest(folder.path());
        assert!(step == Some(2) && refused[0].contains(name), "{refused:?}");
    }
}

#[test]
fn rotation_keeps_the_newest_two_that_are_sound() {
    // For steps 1 to 9: which are damaged, how many to keep, the one just written, and what is left.
    type Case = (&'static [u64], usize, Option<u64>, &'static [u64]);
    let cases: &[Case] = &[
        (&[], 20, None, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (&[], 3, Some(9), &[7, 8, 9]),
        (&[], 0, None, &[8, 9]),
        (&[8, 9], 2, None, &[6, 7, 8, 9]),
        (&[5, 6, 7, 8], 2, Some(9), &[4, 5, 6, 7, 8, 9]),
        (&[1, 2, 3], 3, None, &[7, 8, 9]),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9], 2, None, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ];
    for (damaged, keep, written, left) in cases {
        let folder = folder(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for &step in *damaged {
            fs::write(path_of(folder.path(), step).join(EMA), "damaged").unwrap();
        }
        checkpoints::rotate(folder.path(), *keep, *written).unwrap();
        let steps: Vec<u64> =
            checkpoints::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(steps, *left, "{damaged:?}, {keep}");
        assert_eq!(names(folder.path()).len(), left.len());
    }
}

#[test]
fn rotation_leaves_what_no_run_wrote() {
    let folder = folder(&[1, 2, 3, 4]);
    fs::write(path_of(folder.path(), 1).join("notes.txt"), "mine").unwrap();
    fs::write(folder.path().join("step-00000000"), "a file").unwrap();
    fs::create_dir(folder.path().join("step-2")).unwrap();
    checkpoints::rotate(folder.path(), 2, Some(4)).unwrap();
    assert_eq!(
        names(folder.path()),
        ["step-00000000", "step-00000001", "step-00000003", "step-00000004", "step-2"]
    );
    assert_eq!(fs::read_to_string(path_of(folder.path(), 1).join("notes.txt")).unwrap(), "mine");
}

#[test]
fn leftovers_are_removed_and_damaged_ones_set_aside() {
    let folder = folder(&[2, 4, 6]);
    for name in [".tmp-123-step-00000008", ".tmp-123-step-00000002-old", ".tmp-notes", ".tmp-1-step-8"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    checkpoints::remove_leftovers(folder.path()).unwrap();
    checkpoints::set_aside_after(folder.path(), 2).unwrap();
    let aside = ["damaged-step-00000004", "damaged-step-00000006"];
    assert_eq!(names(folder.path()), [".tmp-1-step-8", ".tmp-notes", aside[0], aside[1], "step-00000002"]);
    // Again: the newer damaged copy replaces the older.
    write(folder.path(), 4, 9.0).unwrap();
    checkpoints::set_aside_after(folder.path(), 2).unwrap();
    let model = fs::read(folder.path().join(aside[0]).join(MODEL)).unwrap();
    assert_eq!(model, tensors(&[("w", &[2], 9.0)]));
}

proptest! {
    /// Any changed, added or missing byte of any file is refused, and the error names the file.
    #[test]
    fn every_change_is_detected(
        file in 0_usize..6, at in any::<prop::sample::Index>(), bit in 0_u32..8, change in 0..3
    ) {
        let folder = folder(&[2, 4]);
        let name = [MODEL, EMA, OPTIMIZER, CONFIG, STATE, MANIFEST][file];
        let path = path_of(folder.path(), 4).join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] ^= 1 << bit,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, b'x'),
        }
        fs::write(&path, bytes).unwrap();
        let (step, refused) = latest(folder.path());
        prop_assert_eq!(step, Some(2));
        prop_assert!(refused[0].contains("expected") && refused[0].contains("found"), "{:?}", refused);
        prop_assert!(name == MANIFEST || refused[0].contains(name), "{:?}", refused);
    }
}
