//! What ranks do with NCCL: the same as with Gloo.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use distributed::tch::{Device, Kind, Tensor};
use distributed::{DistributedError, Transport, World};

use crate::built::{Built, stand_in};
use crate::ranks::{LONG, on_two};

/// For what does not end by itself. A third of it must be enough to join on a busy machine.
const SHORT: Duration = Duration::from_secs(6);

/// Runs `work` on two ranks that have chosen the stand-in.
fn by_nccl<R: Send>(built: &Built, timeout: Duration, work: impl Fn(World) -> R + Sync) -> [R; 2] {
    on_two([Transport::Nccl; 2], timeout, |mut world| {
        let gpu = ["a", "b"][world.rank()];
        world.choose_stand_in(&built.path, gpu).unwrap();
        work(world)
    })
}

/// The results of every operation of a world.
fn results(world: &World) -> Vec<Tensor> {
    let rank = world.rank();
    let own =
        |kind| (Tensor::arange(60, (Kind::Double, Device::Cpu)) / 7.0 * (rank as f64 + 1.0)).to_kind(kind);
    let mut all = Vec::new();
    for kind in [Kind::Float, Kind::BFloat16, Kind::Double, Kind::Int64] {
        let mut x = own(kind);
        world.sum("a test", &mut x).unwrap();
        all.push(x);
    }
    let [first, second] =
        [Kind::Float, Kind::BFloat16].map(|kind| world.begin_sum("a test", own(kind)).unwrap());
    // Other operations may come before the end of a sum.
    assert_eq!(world.gather("a test", &[rank as u8]).unwrap(), [[0], [1]]);
    all.extend([second.finish().unwrap(), first.finish().unwrap()]);
    // A parameter that is not contiguous and requires a gradient.
    for from in [0, 1] {
        let mut x = own(Kind::Float).view([6, 10]).tr().set_requires_grad(true);
        world.broadcast("a test", from, &mut x).unwrap();
        assert!(!x.is_contiguous());
        all.push(x.detach());
        let mut bytes = own(Kind::Uint8);
        world.broadcast("a test", from, &mut bytes).unwrap();
        all.push(bytes);
    }
    world.wait("a test").unwrap();
    all
}

#[test]
fn every_result_is_that_of_gloo() {
    let built = stand_in("results", &[]);
    let direct = by_nccl(&built, LONG, |world| results(&world));
    let gloo = on_two([Transport::Gloo; 2], LONG, |world| results(&world));
    assert_eq!(direct[0], direct[1]);
    assert_eq!(direct, gloo);
}

#[test]
fn tensors_that_do_not_qualify_are_refused() {
    let built = stand_in("qualify", &[]);
    by_nccl(&built, LONG, |world| {
        let mut wrong = Tensor::zeros([2], (Kind::Bool, Device::Cpu));
        assert!(matches!(world.sum("a test", &mut wrong), Err(DistributedError::Tensor(_))));
        assert!(matches!(world.broadcast("a test", 2, &mut wrong), Err(DistributedError::Tensor(_))));
        let shared = wrong.shallow_clone();
        assert!(matches!(world.begin_sum("a test", shared), Err(DistributedError::Tensor(_))));
        assert!(matches!(world.sum("a test", &mut Tensor::new()), Err(DistributedError::Tensor(_))));
    });
}

/// Rank 1 does not come; rank 0 says what it was waiting for, in one line, and no later operation waits again.
#[test]
fn a_stuck_rank_ends_the_other_after_the_timeout() {
    let (built, end) = (stand_in("stuck", &[]), Barrier::new(2));
    by_nccl(&built, SHORT, |world| {
        if world.is_first() {
            let begun = Instant::now();
            let mut x = Tensor::from_slice(&[1.0_f32]);
            let error = world.sum("the gradients", &mut x).unwrap_err();
            assert!(matches!(error, DistributedError::Lost { rank: 0, size: 2, .. }), "{error}");
            assert!((SHORT..LONG).contains(&begun.elapsed()), "{error}");
            assert_eq!(
                error.to_string(),
                "rank 0 of 2 lost another rank while it waited for the gradients (NCCL: timed out after 6 s); the first rank that \
                 failed says why"
            );
            let begun = Instant::now();
            assert!(matches!(world.gather("a test", &[]), Err(DistributedError::Lost { .. })));
            assert!(matches!(world.begin_sum("a test", x), Err(DistributedError::Lost { .. })));
            assert!(begun.elapsed() < SHORT);
        }
        end.wait();
    });
}

/// The failure of a sum in the background is found by the next operation of any kind.
#[test]
fn a_failure_in_the_background_is_found() {
    // The trial is the first sum.
    let built = stand_in("background", &["STAND_IN_FAILS_AT=2"]);
    by_nccl(&built, LONG, |world| {
        let error = world.begin_sum("the gradients", Tensor::from_slice(&[1.0_f32]));
        let error = match error {
            Ok(begun) => begun.finish().unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("remote process exited"), "{error}");
        assert!(matches!(world.wait("a test"), Err(DistributedError::Lost { what: "a test", .. })));
    });
}
