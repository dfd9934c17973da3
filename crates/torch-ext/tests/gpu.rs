//! GPU work that runs while the host goes on: recordings, transfers, random numbers. The tests are ignored by default;
//! `cargo xtask test` runs them if there is a GPU, and `cargo test -p torch-ext --test gpu -- --ignored` always does.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

#[path = "support/turn.rs"]
mod turn;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use torch_ext::{
    Download, ListedAdam, Nccl, NcclLibrary, Recorder, TorchExtError, checkpoint, gpu_uuid, listed_adam,
    pinned, set_tf32,
};
use turn::gpu;

fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(3, random::Purpose::Figure, stream, 0).normals(count);
    Tensor::from_slice(&numbers).view(size)
}

fn cpu(x: &Tensor) -> Tensor {
    x.detach().to_device(Device::Cpu)
}

type Made = Result<Vec<Tensor>, TorchExtError>;

#[test]
#[ignore = "needs a GPU"]
fn a_recording_does_the_work_of_the_function() {
    let (_turn, device) = gpu();
    let mut recorder = Recorder::new(device).unwrap();
    let mut total = Tensor::zeros([4], (Kind::Float, device));
    let (mut calls, mut expected) = (0, Tensor::zeros([4], (Kind::Float, Device::Cpu)));
    for call in 0..10 {
        let x = normals(&[4], call);
        let mut function = |inputs: &[&Tensor]| -> Made {
            calls += 1;
            let doubled = inputs[0] * 2.0;
            let _ = total.f_add_(&doubled).unwrap();
            Ok(vec![doubled])
        };
        let outputs = recorder.call(&[&pinned(&x, device).unwrap()], &mut function).unwrap();
        assert_eq!(cpu(&outputs[0]), &x * 2.0, "call {call}");
        expected += &x * 2.0;
        assert_eq!(recorder.is_recorded(), call >= 3, "{:?}", recorder.given_up());
        // A last batch of another size also runs, but is not part of the recording.
        let rest = |inputs: &[&Tensor]| -> Made { Ok(vec![inputs[0] * 3.0]) };
        let outputs = recorder.call(&[&normals(&[2], call)], &mut { rest }).unwrap();
        assert_eq!(cpu(&outputs[0]), normals(&[2], call) * 3.0);
    }
    assert_eq!(calls, 4, "three to warm up and the recording");
    assert!(f64::try_from((cpu(&total) - expected).abs().max()).unwrap() < 1e-5);
}

/// Each call draws from the generator's current state, recorded or not.
#[test]
#[ignore = "needs a GPU"]
fn recorded_random_numbers_follow_the_seed() {
    let (_turn, device) = gpu();
    let mut recorded = Recorder::new(device).unwrap();
    let mut plain = Recorder::without_recording(device).unwrap();
    let ones = Tensor::ones([1000], (Kind::Float, device));
    let mut function =
        |inputs: &[&Tensor]| -> Made { Ok(vec![inputs[0].dropout(0.3, true).dropout(0.1, true)]) };
    let mut last = None;
    for call in 0..8 {
        let masks = [&mut recorded, &mut plain].map(|recorder| {
            tch::manual_seed(call);
            cpu(&recorder.call(&[&ones], &mut function).unwrap()[0])
        });
        assert_eq!(masks[0], masks[1], "call {call}");
        assert_ne!(last.replace(masks[0].copy()), Some(masks[0].copy()));
    }
    assert!(recorded.is_recorded() && !plain.is_recorded());
}

/// Forward, backward and update as one recording, against the same on the CPU.
#[test]
#[ignore = "needs a GPU"]
fn a_training_step_can_be_recorded() {
    let (_turn, device) = gpu();
    let numbers = ListedAdam { beta1: 0.9, beta2: 0.99, weight_decay: 0.1, eps: 0.1 };
    let train = |device: Device| {
        let number = |value: f64| Tensor::full([1], value, (Kind::Float, device));
        let w = normals(&[8, 8], 0).to_device(device).set_requires_grad(true);
        let moments = [0, 1].map(|_| Tensor::zeros([8, 8], (Kind::Float, device)));
        let (taken, lr, none, one) = (number(0.0), number(0.05).view(()), number(0.0), number(1.0));
        let mut recorder = Recorder::new(device).unwrap();
        let mut losses = Vec::new();
        for step in 0..12 {
            let mut function = |inputs: &[&Tensor]| -> Made {
                torch_ext::forget_gradient(&w)?;
                let loss = (inputs[0].matmul(&w) - inputs[0]).square().mean(Kind::Float);
                loss.backward();
                let _ = taken.shallow_clone().f_add_scalar_(1.0).unwrap();
                let rows = [[&w, &w.grad(), &moments[0], &moments[1]]];
                listed_adam(&rows, &taken, &lr, (&one, &none), &numbers)?;
                Ok(vec![loss.detach()])
            };
            let x = normals(&[16, 8], 10 + step);
            losses.push(Download::new(&recorder.call(&[&x], &mut function).unwrap()[0]).unwrap());
        }
        assert_eq!(recorder.is_recorded(), device.is_cuda(), "{:?}", recorder.given_up());
        let losses: Vec<f64> =
            losses.into_iter().map(|loss| f64::try_from(loss.wait().unwrap()).unwrap()).collect();
        (losses, cpu(&w))
    };
    let ((expected, w), (got, on_gpu)) = (train(Device::Cpu), train(device));
    assert!(expected[11] < 0.8 * expected[0]);
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4 * expected, "{got} is not {expected}");
    }
    assert!(f64::try_from((on_gpu - &w).norm() / w.norm()).unwrap() < 1e-4);
}

/// Waiting for the device breaks a recording, but the results are still correct and the GPU stays usable.
#[test]
#[ignore = "needs a GPU"]
fn what_cannot_be_recorded_runs_each_time() {
    let (_turn, device) = gpu();
    let mut recorder = Recorder::new(device).unwrap();
    let mut waits = |inputs: &[&Tensor]| -> Made {
        let sum = inputs[0].f_sum(Kind::Float).and_then(|sum| f64::try_from(&sum));
        let sum = sum.map_err(|e| TorchExtError::Torch { call: "sum", text: e.to_string() })?;
        Ok(vec![inputs[0] * sum])
    };
    for call in 0..8 {
        let x = normals(&[4], call);
        let sum = f64::try_from(x.sum(Kind::Float)).unwrap();
        let got = cpu(&recorder.call(&[&x], &mut waits).unwrap()[0]);
        assert!(f64::try_from((got - &x * sum).abs().max()).unwrap() < 1e-5, "call {call}");
    }
    assert!(!recorder.is_recorded() && recorder.given_up().is_some());
    let x = normals(&[64, 64], 0).to_device(device);
    assert!(f64::try_from((&x + &x - &x * 2.0).abs().max()).unwrap() == 0.0);
}

#[test]
#[ignore = "needs a GPU"]
fn a_download_has_the_numbers_of_its_time() {
    let (_turn, device) = gpu();
    let mut x = normals(&[1 << 20], 0).to_device(device);
    let expected = cpu(&x);
    let download = Download::new(&x).unwrap();
    let _ = x.fill_(5.0);
    assert_eq!(download.wait().unwrap(), expected);
    assert!(pinned(&expected, device).unwrap().is_pinned(device));
}

#[test]
#[ignore = "needs a GPU"]
fn a_checkpointed_piece_draws_the_same_again() {
    let (_turn, device) = gpu();
    let x = normals(&[1000], 0).to_device(device).set_requires_grad(true);
    tch::manual_seed(4);
    let outputs = checkpoint(&[&x], |inputs| Made::Ok(vec![inputs[0].dropout(0.5, true)])).unwrap();
    let between = Tensor::randn([5], (Kind::Float, device));
    outputs[0].sum(Kind::Float).backward();
    let after = Tensor::randn([5], (Kind::Float, device));
    assert_eq!(x.grad() * &x, outputs[0].detach());
    tch::manual_seed(4);
    let _ = x.detach().dropout(0.5, true);
    let expected = [(); 2].map(|()| Tensor::randn([5], (Kind::Float, device)));
    assert_eq!([between, after], expected);
}

/// For GPUs since 2020.
#[test]
#[ignore = "needs a GPU"]
fn tf32_is_what_is_asked_for() {
    let (_turn, device) = gpu();
    let (a, b) = (normals(&[512, 512], 0), normals(&[512, 512], 1));
    let exact = a.to_kind(Kind::Double).matmul(&b.to_kind(Kind::Double));
    let error = |on: bool| {
        set_tf32(on).unwrap();
        let product = cpu(&a.to_device(device).matmul(&b.to_device(device)));
        f64::try_from((product.to_kind(Kind::Double) - &exact).norm() / exact.norm()).unwrap()
    };
    let (rounded, full) = (error(true), error(false));
    assert!(full < 1e-6 && rounded > 1e-5 && rounded < 1e-2, "tf32 {rounded}, f32 {full}");
}

/// The GPUs that a group can have here: one, or two if there are two.
fn groups() -> impl Iterator<Item = usize> {
    1..=tch::Cuda::device_count().clamp(1, 2) as usize
}

/// Runs `work` with each process of a group, as threads.
fn in_group(size: usize, limit: Duration, work: impl Fn(Nccl) + Sync) {
    let library = NcclLibrary::open().unwrap();
    let id = library.new_id().unwrap();
    thread::scope(|scope| {
        let (library, id, work) = (&library, &id, &work);
        let join = move |rank| Nccl::join(library, id, (rank, size), Device::Cuda(rank), limit).unwrap();
        for rank in 0..size {
            scope.spawn(move || work(join(rank)));
        }
    });
}

/// With one GPU a sum changes nothing.
#[test]
#[ignore = "needs a GPU"]
fn nccl_sums_and_sends_between_gpus() {
    let (_turn, _) = gpu();
    for size in groups() {
        in_group(size, Duration::from_secs(60), |nccl| {
            let (rank, device) = (nccl.rank(), nccl.device());
            let own = |rank: usize, kind| {
                let numbers = Tensor::arange(100_000, (Kind::Int64, Device::Cpu)).remainder(50);
                (numbers + rank as i64).to_kind(kind)
            };
            for kind in [Kind::Float, Kind::BFloat16, Kind::Double, Kind::Int64] {
                let expected = (1..size).fold(own(0, kind), |sum, rank| sum + own(rank, kind));
                let mut x = own(rank, kind).to_device(device);
                nccl.all_reduce(&mut x).unwrap();
                assert_eq!(cpu(&x), expected, "{kind:?} on {size}");
                // In the order of the stream: after what was submitted before, and before what comes later.
                let begun = nccl.begin_all_reduce(own(rank, kind).to_device(device) * 2).unwrap();
                assert_eq!(cpu(&(begun.finish().unwrap() * 3)), &expected * 6, "{kind:?} on {size}");
            }
            for from in 0..size {
                let mut x = own(rank, Kind::Uint8).to_device(device);
                nccl.broadcast(&mut x, from).unwrap();
                assert_eq!(cpu(&x), own(from, Kind::Uint8));
            }
            let mut on_host = own(rank, Kind::Float);
            assert!(matches!(nccl.all_reduce(&mut on_host), Err(TorchExtError::Device { .. })));
        });
    }
    let gpus: Vec<String> = groups().map(|number| gpu_uuid(number - 1).unwrap()).collect();
    assert!(gpus.iter().all(|gpu| gpu.len() == 32) && gpus.first() != gpus.get(1), "{gpus:?}");
}

/// The GPU can be used afterwards.
#[test]
#[ignore = "needs a GPU"]
fn nccl_gives_up_on_a_process_that_does_not_come() {
    let (_turn, device) = gpu();
    let usable = |device: Device| {
        let x = normals(&[1000], 0).to_device(device);
        assert_eq!(cpu(&(&x + &x)), cpu(&x) * 2.0);
    };
    let (library, limit, most) =
        (NcclLibrary::open().unwrap(), Duration::from_secs(5), Duration::from_secs(60));
    let begun = Instant::now();
    let error = Nccl::join(&library, &library.new_id().unwrap(), (0, 2), device, limit).err().unwrap();
    assert!(matches!(error, TorchExtError::Nccl { .. }) && begun.elapsed() < most, "{error}");
    usable(device);
    // With two GPUs, also in a sum.
    if groups().count() < 2 {
        return;
    }
    let end = Barrier::new(2);
    in_group(2, limit, |nccl| {
        let mut x = Tensor::ones([1 << 20], (Kind::Float, nccl.device()));
        nccl.all_reduce(&mut x).unwrap();
        if nccl.rank() == 0 {
            let begun = Instant::now();
            let error = nccl.all_reduce(&mut x).unwrap_err();
            assert!(error.to_string().contains("timed out") && begun.elapsed() < most, "{error}");
            usable(nccl.device());
        }
        end.wait();
    });
}
