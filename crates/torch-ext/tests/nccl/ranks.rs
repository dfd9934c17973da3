//! Two processes of a group, as threads.

use std::thread;
use std::time::Duration;

use tch::{Device, Kind, Tensor};
use torch_ext::{Nccl, NcclId, NcclLibrary, TorchExtError};

use crate::built::Built;

/// For what ends by itself.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs `work` on both.
pub(crate) fn on_two(work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        let work = &work;
        let threads = [0, 1].map(|rank| scope.spawn(move || work(rank)));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

pub(crate) fn open(built: &Built) -> NcclLibrary {
    NcclLibrary::stand_in(&built.path).unwrap()
}

pub(crate) fn joined(
    library: &NcclLibrary,
    id: &NcclId,
    rank: usize,
    limit: Duration,
) -> Result<Nccl, TorchExtError> {
    Nccl::join(library, id, (rank, 2), Device::Cpu, limit)
}

/// Runs `work` on both processes of a group.
pub(crate) fn in_group(built: &Built, limit: Duration, work: impl Fn(Nccl) + Sync) {
    let library = open(built);
    let id = library.new_id().unwrap();
    on_two(|rank| work(joined(&library, &id, rank, limit).unwrap()));
}

/// Numbers that no sum of two rounds.
pub(crate) fn numbers(kind: Kind, rank: usize) -> Tensor {
    Tensor::arange(200, (Kind::Double, Device::Cpu)).g_mul_scalar(0.25 + rank as f64).to_kind(kind)
}
