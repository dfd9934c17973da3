//! Ranks as threads, and what the tests train.

use std::sync::{Arc, Barrier, Mutex};

use tch::{Kind, Tensor};
use trainer::{Batch, BoxError, Reduce, Reduction, TrainConfig, Trainer};
use unet::UNet;

use crate::support::{conditional_net, trainer};

/// Images of the whole batch.
pub(crate) const BATCH: i64 = 16;

/// What all ranks share.
struct Meeting {
    size: usize,
    barrier: Barrier,
    tensors: Mutex<Vec<Option<Tensor>>>,
    bytes: Mutex<Vec<Vec<u8>>>,
}

/// One thread's end of it.
pub(crate) struct Thread {
    rank: usize,
    meeting: Arc<Meeting>,
}

impl Thread {
    /// Shows a tensor to all ranks; `take` makes the result of what all have shown.
    fn exchange(&self, x: &mut Tensor, take: impl FnOnce(&[Option<Tensor>]) -> Tensor) {
        self.meeting.tensors.lock().unwrap()[self.rank] = Some(x.detach().copy());
        self.meeting.barrier.wait();
        let result = take(&self.meeting.tensors.lock().unwrap());
        self.meeting.barrier.wait();
        let _no_grad = tch::no_grad_guard();
        x.copy_(&result);
    }
}

impl Reduce for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.size
    }

    fn sum(&self, _: &'static str, x: &mut Tensor) -> Result<(), BoxError> {
        self.exchange(x, |all| {
            let mut tensors = all.iter().flatten();
            let first = tensors.next().unwrap().copy();
            tensors.fold(first, |sum, x| sum + x)
        });
        Ok(())
    }

    fn broadcast(&self, _: &'static str, from: usize, x: &mut Tensor) -> Result<(), BoxError> {
        self.exchange(x, |all| all[from].as_ref().unwrap().copy());
        Ok(())
    }

    fn gather(&self, _: &'static str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BoxError> {
        self.meeting.bytes.lock().unwrap()[self.rank] = bytes.to_vec();
        self.meeting.barrier.wait();
        let all = self.meeting.bytes.lock().unwrap().clone();
        self.meeting.barrier.wait();
        Ok(all)
    }

    fn wait(&self, _: &'static str) -> Result<(), BoxError> {
        self.meeting.barrier.wait();
        Ok(())
    }
}

/// Runs `work` on every rank of `size` and returns the results by rank.
pub(crate) fn on_ranks<R: Send>(size: usize, work: impl Fn(Arc<Thread>) -> R + Sync) -> Vec<R> {
    tch::set_num_threads(1);
    let meeting = Arc::new(Meeting {
        size,
        barrier: Barrier::new(size),
        tensors: Mutex::new((0..size).map(|_| None).collect()),
        bytes: Mutex::new(vec![Vec::new(); size]),
    });
    std::thread::scope(|scope| {
        let start = |rank| {
            let (thread, work) = (Arc::new(Thread { rank, meeting: Arc::clone(&meeting) }), &work);
            scope.spawn(move || work(thread))
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A network with classes and a trainer for it, on one rank.
pub(crate) fn rank_trainer(
    ranks: Arc<Thread>,
    config: &TrainConfig,
    reduction: Reduction,
) -> (UNet, Trainer) {
    let (net, mut trainer) = joined(ranks, config, reduction, false);
    trainer.share_state(None).unwrap();
    (net, trainer)
}

/// The same before the ranks share a state; they may divide that of Adam.
pub(crate) fn joined(
    ranks: Arc<Thread>,
    config: &TrainConfig,
    reduction: Reduction,
    divides: bool,
) -> (UNet, Trainer) {
    let net = conditional_net(Some(4), 0.0, 1);
    let mut trainer = trainer(&net, config, 7);
    trainer.join(ranks, reduction).unwrap();
    if divides {
        trainer.divide_state().unwrap();
    }
    (net, trainer)
}

/// A rank's share of the batch of a step: images and labels that depend on the step and the place in the whole batch.
pub(crate) fn share(step: u64, rank: usize, size: usize) -> Batch {
    let mut stream = random::Stream::new(11, random::Purpose::TrainNoise, step, 0);
    let pixels: Vec<f32> = stream.normals(BATCH as usize * 64).iter().map(|x| x.tanh()).collect();
    let images = tensor_io::from_slice(&pixels, &[BATCH, 1, 8, 8]).unwrap();
    let labels = Tensor::arange(BATCH, (Kind::Int64, tch::Device::Cpu)).remainder(4);
    let (own, first) = (BATCH / size as i64, rank as i64 * BATCH / size as i64);
    Batch { images: images.narrow(0, first, own), labels: Some(labels.narrow(0, first, own)) }
}
