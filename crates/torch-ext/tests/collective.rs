//! Two processes on loopback: this test starts itself again as rank 1.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use torch_ext::{Collective, Meeting, StoreServer, TorchExtError, backward_in_buckets};

/// Set in a process that a test has started: the port of the store.
const PORT: &str = "COLLECTIVE_TEST_PORT";
const TIMEOUT: Duration = Duration::from_secs(60);

fn meeting(port: u16, rank: usize, limit: Duration) -> Meeting<'static> {
    let (host, prefix, timeout) = ("127.0.0.1", "test", TIMEOUT);
    Meeting { host, port, serves: false, prefix, interface: None, rank, size: 2, timeout, limit }
}

/// In the process started by `beside`: rank 1 of the group. In the test itself: `None`.
fn as_second() -> Option<Collective> {
    let port = env::var(PORT).ok()?.parse().unwrap();
    Some(Collective::join(&meeting(port, 1, TIMEOUT)).unwrap())
}

/// Starts the test `name` again as rank 1.
fn beside(name: &str, port: u16) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(PORT, port.to_string());
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Rank 0 of a group with a second process that runs the same test.
fn two(name: &str, limit: Duration) -> (StoreServer, Collective, Child) {
    let store = StoreServer::new("127.0.0.1", 0, TIMEOUT).unwrap();
    let child = beside(name, store.port());
    let group = Collective::join(&meeting(store.port(), 0, limit)).unwrap();
    (store, group, child)
}

fn numbers(kind: Kind, rank: usize) -> Tensor {
    Tensor::arange(1000, (Kind::Double, Device::Cpu)).g_mul_scalar(0.25 + rank as f64).to_kind(kind)
}

/// What both processes do; each checks its own results.
fn compute(group: &Collective) {
    let rank = group.rank();
    assert_eq!(group.size(), 2);
    for kind in [Kind::Float, Kind::Double, Kind::Int64, Kind::BFloat16] {
        let mut x = numbers(kind, rank);
        group.all_reduce(&mut x).unwrap();
        assert_eq!(x, numbers(kind, 0) + numbers(kind, 1), "{kind:?}");
    }
    // Several sums at once end in their order, and one that nobody waits for does no harm.
    let begin = |kind| group.begin_all_reduce(numbers(kind, rank)).unwrap();
    let (first, forgotten, last) = (begin(Kind::Float), begin(Kind::Double), begin(Kind::BFloat16));
    drop(forgotten);
    assert_eq!(last.finish().unwrap(), numbers(Kind::BFloat16, 0) + numbers(Kind::BFloat16, 1));
    assert_eq!(first.finish().unwrap(), numbers(Kind::Float, 0) + numbers(Kind::Float, 1));
    for from in [0, 1] {
        let mut x = numbers(Kind::Uint8, rank);
        group.broadcast(&mut x, from).unwrap();
        assert_eq!(x, numbers(Kind::Uint8, from));
    }
    let own = ["a", "second"][rank];
    assert_eq!(group.all_gather(own.as_bytes()).unwrap(), [b"a".to_vec(), b"second".to_vec()]);
    assert_eq!(group.all_gather(&b"x"[..rank]).unwrap(), [b"".to_vec(), b"x".to_vec()]);
    assert_eq!(group.all_gather(&[]).unwrap(), [b"", b""]);

    // Refused before anything is sent, so the other process need not do the same.
    let refused = |mut x: Tensor| group.all_reduce(&mut x).unwrap_err();
    assert!(matches!(refused(numbers(Kind::Bool, 0)), TorchExtError::Kind { got: Kind::Bool, .. }));
    assert!(matches!(refused(numbers(Kind::Float, 0).view([10, 100]).tr()), TorchExtError::Shape { .. }));
    assert!(matches!(refused(Tensor::new()), TorchExtError::Undefined { .. }));
    let shared = numbers(Kind::Float, 0);
    let begin = |x: Tensor| group.begin_all_reduce(x).err().unwrap();
    for x in [shared.shallow_clone(), shared.narrow(0, 0, 10)] {
        assert!(matches!(begin(x), TorchExtError::Overlap { .. }));
    }
    assert!(matches!(begin(numbers(Kind::Bool, 0)), TorchExtError::Kind { got: Kind::Bool, .. }));
    let error = group.broadcast(&mut numbers(Kind::Float, 0), 2).unwrap_err();
    assert!(matches!(error, TorchExtError::Rank { got: 2, size: 2, .. }), "{error}");
    group.barrier(1).unwrap();
}

#[test]
fn two_processes_compute_together() {
    if let Some(group) = as_second() {
        return compute(&group);
    }
    let (_store, group, mut child) = two("two_processes_compute_together", TIMEOUT);
    compute(&group);
    assert!(child.wait().unwrap().success());
}

/// Three parameters, a number for every bucket, and one that the pass does not use. Their gradients come in another order in
/// each process. The sums begin in the pass and in one order, and the caller begins what is left.
fn sum_in_a_pass(group: &Collective) {
    let rank = group.rank();
    let params: [Tensor; 3] =
        std::array::from_fn(|index| Tensor::from_slice(&[index as f64 + 2.0]).set_requires_grad(true));
    let unused = Tensor::from_slice(&[1.0]).set_requires_grad(true);
    let plan = [&params[2], &params[1], &params[0], &unused].map(|param| vec![param.shallow_clone()]);
    let factors = if rank == 0 { [0, 1, 2] } else { [2, 0, 1] };
    let product = factors.iter().fold(Tensor::from_slice(&[1.0]), |product, &index| product * &params[index]);
    let loss = (product * (rank as f64 + 1.0)).sum(Kind::Double);

    let mut sums = Vec::new();
    let held = plan.each_ref().map(|bucket| bucket[0].shallow_clone());
    let begun = &mut sums;
    let mut begin = move |bucket: usize| -> Result<(), TorchExtError> {
        begun.push(group.begin_all_reduce(held[bucket].grad().copy())?);
        Ok(())
    };
    let backward = || {
        loss.backward();
        Ok(())
    };
    assert_eq!(backward_in_buckets(&plan, &mut begin, backward).unwrap(), 0);
    assert_eq!(sums.len(), 3);
    sums.push(group.begin_all_reduce(Tensor::zeros([1], (Kind::Double, Device::Cpu))).unwrap());
    let sums: Vec<f64> = sums.into_iter().map(|sum| sum.finish().unwrap().double_value(&[0])).collect();
    // The gradients of 2 * 3 * 4, once and twice.
    assert_eq!(sums, [3.0 * 6.0, 3.0 * 8.0, 3.0 * 12.0, 0.0]);
}

#[test]
fn sums_begin_in_a_backward_pass() {
    if let Some(group) = as_second() {
        return sum_in_a_pass(&group);
    }
    let (_store, group, mut child) = two("sums_begin_in_a_backward_pass", TIMEOUT);
    sum_in_a_pass(&group);
    assert!(child.wait().unwrap().success());
}

/// A process that has gone is an error of the pass, not the end of the program.
#[test]
fn a_sum_that_cannot_begin_or_end_in_a_pass_is_an_error() {
    if let Some(group) = as_second() {
        group.barrier(1).unwrap();
        return;
    }
    let (_store, group, mut child) = two("a_sum_that_cannot_begin_or_end_in_a_pass_is_an_error", TIMEOUT);
    group.barrier(1).unwrap();
    assert!(child.wait().unwrap().success());
    let param = Tensor::from_slice(&[2.0]).set_requires_grad(true);
    let held = param.shallow_clone();
    let group = &group;
    let mut begin = move |_: usize| -> Result<(), TorchExtError> {
        group.begin_all_reduce(held.grad().copy())?.finish().map(drop)
    };
    let backward = || {
        param.square().sum(Kind::Double).backward();
        Ok(())
    };
    let plan = [vec![param.shallow_clone()]];
    let error = backward_in_buckets(&plan, &mut begin, backward).unwrap_err();
    assert!(matches!(error, TorchExtError::Torch { call: "all_reduce", .. }), "{error}");
    assert_eq!(param.grad().double_value(&[0]), 4.0);
}

#[test]
fn the_death_of_a_process_ends_the_others_operation_at_once() {
    const NAME: &str = "the_death_of_a_process_ends_the_others_operation_at_once";
    if let Some(group) = as_second() {
        group.barrier(1).unwrap();
        std::thread::sleep(4 * TIMEOUT);
        return;
    }
    let (_store, group, mut child) = two(NAME, TIMEOUT);
    group.barrier(1).unwrap();
    let begun = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    let error = group.all_reduce(&mut numbers(Kind::Float, 0)).unwrap_err();
    assert!(matches!(error, TorchExtError::Torch { call: "all_reduce", .. }), "{error}");
    assert!(begun.elapsed() < TIMEOUT / 2, "{error}");
    // And every later one.
    group.barrier(1).unwrap_err();
}

#[test]
fn a_process_that_is_late_ends_the_others_operation() {
    if let Some(group) = as_second() {
        group.barrier(1).unwrap();
        std::thread::sleep(4 * TIMEOUT);
        return;
    }
    let limit = Duration::from_secs(2);
    let (_store, group, mut child) = two("a_process_that_is_late_ends_the_others_operation", limit);
    group.barrier(30).unwrap();
    let begun = Instant::now();
    let error = group.all_reduce(&mut numbers(Kind::Float, 0)).unwrap_err().to_string();
    assert!(begun.elapsed() >= limit / 2, "{error}");
    assert!(error.to_lowercase().contains("timed out"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_missing_process_and_wrong_places_are_errors() {
    if env::var_os(PORT).is_some() {
        return;
    }
    let (short, store) = (Duration::from_millis(500), StoreServer::new("127.0.0.1", 0, TIMEOUT).unwrap());
    let join = |meeting: &Meeting<'_>| Collective::join(meeting).err().unwrap();
    let error = join(&Meeting { timeout: short, ..meeting(store.port(), 0, short) });
    assert!(matches!(error, TorchExtError::Torch { call: "Collective::join", .. }), "{error}");
    let error = join(&Meeting { rank: 2, ..meeting(store.port(), 0, short) });
    assert!(matches!(error, TorchExtError::Rank { got: 2, size: 2, .. }), "{error}");
    let error = join(&Meeting { prefix: "a\0b", ..meeting(store.port(), 0, short) });
    assert!(matches!(error, TorchExtError::Text { what: "prefix", .. }), "{error}");
    let error = join(&Meeting { interface: Some("no-such-interface"), ..meeting(store.port(), 0, short) });
    assert!(matches!(error, TorchExtError::Torch { .. }), "{error}");
    // The port is taken.
    assert!(StoreServer::new("127.0.0.1", store.port(), short).is_err());
}
