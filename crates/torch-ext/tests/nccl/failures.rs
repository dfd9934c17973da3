//! What happens when a process is late or gone, or the library is of no use.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use tch::Kind;
use torch_ext::{NcclLibrary, TorchExtError};

use crate::built::stand_in;
use crate::ranks::{LONG, in_group, joined, numbers, on_two, open};

/// For what does not end by itself. Joining must fit into it on a busy machine.
const SHORT: Duration = Duration::from_secs(2);

fn text(error: &TorchExtError) -> &str {
    match error {
        TorchExtError::Nccl { text, .. } => text,
        other => panic!("{other}"),
    }
}

#[test]
fn a_late_process_ends_the_sum_of_the_other_and_all_later_ones() {
    let (built, end) = (stand_in("late", &[]), Barrier::new(2));
    in_group(&built, SHORT, |nccl| {
        let mut x = numbers(Kind::Float, nccl.rank());
        nccl.all_reduce(&mut x).unwrap();
        if nccl.rank() == 0 {
            let begun = Instant::now();
            let error = nccl.all_reduce(&mut x).unwrap_err();
            assert_eq!(text(&error), "timed out after 2 s");
            assert!((SHORT..LONG).contains(&begun.elapsed()), "{error}");
            let begun = Instant::now();
            for error in [
                nccl.wait().unwrap_err(),
                nccl.all_reduce(&mut x).unwrap_err(),
                nccl.broadcast(&mut x, 0).unwrap_err(),
                nccl.begin_all_reduce(numbers(Kind::Double, 0)).err().unwrap(),
            ] {
                assert_eq!(text(&error), "timed out after 2 s");
            }
            assert!(begun.elapsed() < SHORT);
        }
        end.wait();
    });
}

#[test]
fn a_process_that_does_not_come_is_an_error_of_joining() {
    let built = stand_in("missing", &[]);
    let library = open(&built);
    let error = joined(&library, &library.new_id().unwrap(), 0, SHORT).err().unwrap();
    assert!(matches!(error, TorchExtError::Nccl { call: "Nccl::join", .. }), "{error}");
    assert_eq!(error.to_string(), "Nccl::join: NCCL: timed out after 2 s");
    // An id that no process has made.
    let error = joined(&library, &[7; 128], 0, SHORT).err().unwrap();
    assert_eq!(text(&error), "invalid argument");
}

/// It fails in the background, after the call has been accepted.
#[test]
fn an_error_in_the_background_ends_the_wait() {
    let built = stand_in("background", &["STAND_IN_FAILS_AT=2"]);
    in_group(&built, LONG, |nccl| {
        let mut x = numbers(Kind::Float, nccl.rank());
        nccl.all_reduce(&mut x).unwrap();
        for error in [nccl.all_reduce(&mut x).unwrap_err(), nccl.wait().unwrap_err()] {
            assert_eq!(text(&error), "remote process exited or there was a network error");
        }
    });
    let built = stand_in("background-join", &["STAND_IN_CANNOT_JOIN"]);
    let library = open(&built);
    let id = library.new_id().unwrap();
    on_two(|rank| {
        let error = joined(&library, &id, rank, LONG).err().unwrap();
        assert_eq!(text(&error), "remote process exited or there was a network error");
    });
}

/// NCCL may wait for the other processes while it aborts.
#[test]
fn an_abort_that_hangs_does_not_hold_the_process() {
    let built = stand_in("abort", &["STAND_IN_ABORT_HANGS"]);
    let library = open(&built);
    let begun = Instant::now();
    let error = joined(&library, &library.new_id().unwrap(), 0, SHORT).err().unwrap();
    assert_eq!(text(&error), "timed out after 2 s");
    assert!(begun.elapsed() < LONG);
}

#[test]
fn old_and_incomplete_libraries_are_refused() {
    let refused = |name: &str, macros: &[&str]| {
        let built = stand_in(name, macros);
        let error = NcclLibrary::stand_in(&built.path).err().unwrap();
        assert!(matches!(error, TorchExtError::Library { .. }), "{error}");
        error.to_string()
    };
    for (name, version, shown) in [("old", 21_304, "2.13.4"), ("older", 2_708, "2.7.8")] {
        let error = refused(name, &[&format!("STAND_IN_VERSION={version}")]);
        assert!(error.ends_with(&format!(": version {shown}, expected 2.14.0 or later")), "{error}");
    }
    let error = refused("incomplete", &["STAND_IN_WITHOUT_BROADCAST"]);
    assert!(error.contains("ncclBroadcast"), "{error}");
}
