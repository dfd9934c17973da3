//! What the ranks choose: all the same.

use std::path::Path;

use distributed::tch::{Device, Tensor};
use distributed::{DistributedError, Transport, World};

use crate::built::stand_in;
use crate::ranks::{LONG, on_two};

/// The transport of both ranks in words, or their errors, with a library and a GPU for each. Either way the ranks can go on, unless
/// they refuse.
fn chosen(
    transports: [Transport; 2],
    libraries: [&Path; 2],
    gpus: [&str; 2],
) -> [Result<String, DistributedError>; 2] {
    on_two(transports, LONG, |mut world| {
        let rank = world.rank();
        world.choose_stand_in(libraries[rank], gpus[rank])?;
        check_sum(&world);
        Ok(world.transport().to_owned())
    })
}

fn check_sum(world: &World) {
    let mut x = Tensor::from_slice(&[world.rank() as f32, 0.5]);
    world.sum("a test", &mut x).unwrap();
    assert_eq!(x, Tensor::from_slice(&[1.0_f32, 1.0]));
}

#[test]
fn two_gpus_choose_nccl_and_one_that_is_shared_does_not() {
    let built = stand_in("gpus", &[]);
    let libraries = [&*built.path; 2];
    for transports in [[Transport::Auto; 2], [Transport::Nccl; 2], [Transport::Auto, Transport::Nccl]] {
        for said in chosen(transports, libraries, ["a", "b"]) {
            assert_eq!(said.unwrap(), "NCCL 2.28.9, between GPUs");
        }
    }
    for said in chosen([Transport::Auto; 2], libraries, ["a", "a"]) {
        assert_eq!(said.unwrap(), "Gloo, in host memory (rank 1: it has the GPU of rank 0)");
    }
    for said in chosen([Transport::Auto, Transport::Gloo], libraries, ["a", "b"]) {
        assert_eq!(said.unwrap(), "Gloo, in host memory (rank 1: DDPM_TRANSPORT is gloo there)");
    }
}

#[test]
fn a_demand_that_cannot_be_met_is_refused_on_all_ranks() {
    let built = stand_in("demand", &[]);
    let libraries = [&*built.path; 2];
    for error in chosen([Transport::Auto, Transport::Nccl], libraries, ["a", "a"]) {
        let error = error.unwrap_err();
        assert!(matches!(error, DistributedError::NoNccl { rank: 1, .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "environment variable DDPM_TRANSPORT=nccl: rank 1 cannot use NCCL (it has the GPU of rank 0); use auto or gloo, which \
             sums gradients of GPUs in host memory"
        );
    }
    for error in chosen([Transport::Nccl, Transport::Gloo], libraries, ["a", "b"]) {
        assert!(matches!(error, Err(DistributedError::NoNccl { rank: 1, .. })));
    }
}

#[test]
fn libraries_that_are_missing_old_or_different_leave_gloo() {
    let (new, old) = (stand_in("new", &[]), stand_in("old", &["STAND_IN_VERSION=21304"]));
    let other = stand_in("other", &["STAND_IN_VERSION=22703"]);
    let because = |second: &Path, words: &str| {
        for said in chosen([Transport::Auto; 2], [&new.path, second], ["a", "b"]) {
            let said = said.unwrap();
            assert!(said.starts_with("Gloo, in host memory (rank 1: ") && said.contains(words), "{said}");
            assert_eq!(said.lines().count(), 1);
        }
    };
    because(Path::new("/no/such/libnccl.so.2"), "cannot use /no/such/libnccl.so.2");
    because(&old.path, "version 2.13.4, expected 2.14.0 or later");
    because(&other.path, "it has NCCL 2.27.3 and rank 0 has 2.28.9");
}

/// All looks well, but NCCL finds no way between the GPUs, or the way does not work.
#[test]
fn a_group_that_does_not_work_is_not_used() {
    for (name, fault, words) in [
        ("no-way", "STAND_IN_CANNOT_JOIN", "remote process exited"),
        ("wrong", "STAND_IN_WRONG_SUMS", "a sum is 0, expected 3"),
        ("broken", "STAND_IN_FAILS_AT=1", "remote process exited"),
    ] {
        let built = stand_in(name, &[fault]);
        let libraries = [&*built.path; 2];
        for said in chosen([Transport::Auto; 2], libraries, ["a", "b"]) {
            let said = said.unwrap();
            assert!(said.starts_with("Gloo, in host memory (rank 0: ") && said.contains(words), "{said}");
        }
        for error in chosen([Transport::Nccl; 2], libraries, ["a", "b"]) {
            let error = error.unwrap_err();
            assert!(matches!(error, DistributedError::NoNccl { rank: 0, .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

/// What a program does on a machine without GPUs.
#[test]
fn ranks_on_the_cpu_choose_gloo() {
    for said in on_two([Transport::Auto; 2], LONG, |mut world| {
        world.choose_transport(Device::Cpu).unwrap();
        check_sum(&world);
        (world.transport().to_owned(), world.device())
    }) {
        assert_eq!(said, ("Gloo, in host memory (rank 0: it computes on the CPU)".to_owned(), Device::Cpu));
    }
    for error in on_two([Transport::Nccl, Transport::Auto], LONG, |mut world| {
        world.choose_transport(Device::Cpu).unwrap_err()
    }) {
        assert!(matches!(error, DistributedError::NoNccl { rank: 0, .. }), "{error}");
    }
    let mut alone = World::alone();
    alone.choose_transport(Device::Cpu).unwrap();
    assert_eq!(alone.transport(), "Gloo, in host memory");
}
