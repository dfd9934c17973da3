//! The ranks, connected.

use std::path::Path;

use tch::{Device, Tensor, no_grad_guard};
use torch_ext::{Collective, Meeting, Nccl, NcclSum, Pending, TorchExtError};

use crate::error::{DistributedError, told};
use crate::place::Place;
use crate::transport::{self, Chosen, IN_HOST_MEMORY, Seat};
use crate::variables::INTERFACE;

/// How much longer than usual a rank waits for what only one of them does.
const PATIENCE: u32 = 10;

/// All ranks as this one sees them: a group, or this process alone.
///
/// Every operation must be called by all ranks in the same order. `what` names it in errors.
pub struct World {
    group: Option<(Place, Collective)>,
    /// For tensors in the memory of GPUs, if the ranks have chosen it.
    nccl: Option<Nccl>,
    /// How tensors travel, for people.
    transport: String,
}

impl World {
    /// This process alone: every operation does nothing.
    #[must_use]
    pub fn alone() -> Self {
        Self { group: None, nccl: None, transport: IN_HOST_MEMORY.to_owned() }
    }

    /// Meets the other ranks, if a launcher has started several.
    ///
    /// # Errors
    /// Those of [`Place::from_env`] and [`World::join`].
    pub fn from_env() -> Result<Self, DistributedError> {
        Place::from_env()?.map_or_else(|| Ok(Self::alone()), Self::join)
    }

    /// Meets the other ranks.
    ///
    /// # Errors
    /// [`DistributedError::Meeting`] when they are not all there before the timeout; [`DistributedError::Value`] for a
    /// network interface that this machine lacks.
    pub fn join(place: Place) -> Result<Self, DistributedError> {
        // Ranks that are started again must not find what the earlier ones left in the launcher's store.
        let prefix = format!("ddpm/attempt-{}", place.attempt);
        let group = Collective::join(&Meeting {
            host: &place.host,
            port: place.port,
            serves: place.rank == 0 && !place.is_served,
            prefix: &prefix,
            interface: place.interface.as_deref(),
            rank: place.rank,
            size: place.size,
            timeout: place.timeout,
            limit: place.timeout,
        });
        match group {
            Ok(group) => Ok(Self { group: Some((place, group)), ..Self::alone() }),
            Err(error) => Err(not_met(place, told(&error))),
        }
    }

    /// The number of this rank, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.group.as_ref().map_or(0, |(place, _)| place.rank)
    }

    /// Number of ranks.
    #[must_use]
    pub fn size(&self) -> usize {
        self.group.as_ref().map_or(1, |(place, _)| place.size)
    }

    /// Whether this is the rank that writes and reports.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are no other ranks.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.group.is_none()
    }

    /// Chooses with the other ranks how tensors on `device` travel, on which this rank computes: as [`Place::transport`] says, and
    /// by NCCL only if every rank has a GPU of its own. Until then, and for everything in host memory, it is Gloo.
    ///
    /// # Errors
    /// [`DistributedError::NoNccl`] on all ranks if one of them demands NCCL and one cannot use it; as [`World::sum`].
    pub fn choose_transport(&mut self, device: Device) -> Result<(), DistributedError> {
        let Some((place, _)) = &self.group else { return Ok(()) };
        let seat = Seat::on(place.transport, device);
        self.choose(seat)
    }

    /// The same with a library that stands in for NCCL and works in host memory, for tests; `gpu` names the GPU of this rank.
    ///
    /// # Errors
    /// As [`World::choose_transport`].
    #[doc(hidden)]
    pub fn choose_stand_in(&mut self, library: &Path, gpu: &str) -> Result<(), DistributedError> {
        let Some((place, _)) = &self.group else { return Ok(()) };
        let seat = Seat::of_stand_in(place.transport, library, gpu);
        self.choose(seat)
    }

    fn choose(&mut self, seat: Result<Seat, String>) -> Result<(), DistributedError> {
        let Some((place, _)) = &self.group else { return Ok(()) };
        let gather = |bytes: &[u8]| self.gather("the choice of a transport", bytes);
        let Chosen { nccl, transport } = transport::choose(place, seat, &gather)?;
        (self.nccl, self.transport) = (nccl, transport);
        Ok(())
    }

    /// How tensors travel, in words, with the reason if it is not by NCCL.
    #[must_use]
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// The device between whose memories large tensors travel best: that of this rank with NCCL, otherwise the CPU.
    #[must_use]
    pub fn device(&self) -> Device {
        self.nccl.as_ref().map_or(Device::Cpu, Nccl::device)
    }

    /// Sums a tensor over all ranks in place; all get the same bits. f32, bf16, f64 or i64, on any device.
    ///
    /// # Errors
    /// [`DistributedError::Lost`] when another rank has ended or is late.
    pub fn sum(&self, what: &'static str, x: &mut Tensor) -> Result<(), DistributedError> {
        self.within(what, |group| match self.nccl_for(x) {
            Some(nccl) => contiguous_on(nccl.device(), x, |x| nccl.all_reduce(x)),
            None => contiguous_on(Device::Cpu, x, |x| group.all_reduce(x)),
        })
    }

    /// Begins [`World::sum`] of a tensor that shares its memory with no other. The sum runs while the program goes on, after
    /// those that were begun before. Every other operation of the ranks first waits for those that run on GPUs.
    ///
    /// # Errors
    /// As [`World::sum`].
    pub fn begin_sum(&self, what: &'static str, x: Tensor) -> Result<Begun<'_>, DistributedError> {
        let Some((place, group)) = &self.group else { return Ok(Begun(Sum::Done(x))) };
        if let Some(nccl) = self.nccl_for(&x) {
            let sum = nccl.begin_all_reduce(x);
            let sum = sum.map_err(|error| Failure::Group(error).told(place, what))?;
            return Ok(Begun(Sum::OnDevice { place, what, sum }));
        }
        let pending = begun(group, x).map_err(|failure| failure.told(place, what))?;
        Ok(Begun(Sum::Running { place, what, pending }))
    }

    /// Overwrites a tensor with that of rank `from`; any type, on any device.
    ///
    /// # Errors
    /// As [`World::sum`]; [`DistributedError::Tensor`] also for a rank that does not exist.
    pub fn broadcast(&self, what: &'static str, from: usize, x: &mut Tensor) -> Result<(), DistributedError> {
        self.within(what, |group| match self.nccl_for(x) {
            Some(nccl) => contiguous_on(nccl.device(), x, |x| nccl.broadcast(x, from)),
            None => contiguous_on(Device::Cpu, x, |x| group.broadcast(x, from)),
        })
    }

    /// The bytes of every rank, in their order.
    ///
    /// # Errors
    /// As [`World::sum`].
    pub fn gather(&self, what: &'static str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistributedError> {
        if self.is_alone() {
            return Ok(vec![bytes.to_vec()]);
        }
        let mut all = Vec::new();
        self.within(what, |group| {
            all = group.all_gather(bytes)?;
            Ok(())
        })?;
        Ok(all)
    }

    /// Waits for all ranks, ten times as long as usual: for what only one of them does, such as saving.
    ///
    /// # Errors
    /// As [`World::sum`].
    pub fn wait(&self, what: &'static str) -> Result<(), DistributedError> {
        self.within(what, |group| Ok(group.barrier(PATIENCE)?))
    }

    fn within(
        &self,
        what: &'static str,
        work: impl FnOnce(&Collective) -> Result<(), Failure>,
    ) -> Result<(), DistributedError> {
        let Some((place, group)) = &self.group else { return Ok(()) };
        // A thread that waits for the device waits for the sums on it, for ever if a rank has gone. This wait has a limit.
        let waited = self.nccl.as_ref().map_or(Ok(()), |nccl| nccl.wait().map_err(Failure::Group));
        waited.and_then(|()| work(group)).map_err(|failure| failure.told(place, what))
    }

    /// The group that can work on a tensor where it is.
    fn nccl_for(&self, x: &Tensor) -> Option<&Nccl> {
        self.nccl.as_ref().filter(|nccl| x.defined() && x.device() == nccl.device())
    }
}

/// Why the ranks did not meet, by libtorch's message.
fn not_met(place: Place, found: String) -> DistributedError {
    let Place { rank, size, host, port, timeout, interface, .. } = place;
    match interface {
        Some(name) if found.contains("Unable to find ") && found.contains(&format!("for: {name}")) => {
            let expected = "a network interface of this machine that has an address".to_owned();
            DistributedError::Value { name: INTERFACE, got: name, expected }
        }
        _ => DistributedError::Meeting { rank, size, host, port, seconds: timeout.as_secs(), found },
    }
}

/// A sum that [`World::begin_sum`] has begun.
pub struct Begun<'a>(Sum<'a>);

enum Sum<'a> {
    /// There are no other ranks.
    Done(Tensor),
    Running {
        place: &'a Place,
        what: &'static str,
        pending: Pending<'a>,
    },
    OnDevice {
        place: &'a Place,
        what: &'static str,
        sum: NcclSum<'a>,
    },
}

impl Begun<'_> {
    /// Waits for the sum and returns it, in host memory if there are other ranks and it was not summed by NCCL.
    ///
    /// # Errors
    /// As [`World::sum`].
    pub fn finish(self) -> Result<Tensor, DistributedError> {
        match self.0 {
            Sum::Done(x) => Ok(x),
            Sum::Running { place, what, pending } => {
                pending.finish().map_err(|error| Failure::Group(error).told(place, what))
            }
            Sum::OnDevice { place, what, sum } => {
                sum.finish().map_err(|error| Failure::Group(error).told(place, what))
            }
        }
    }
}

/// What failed: the group, or a copy of a tensor.
enum Failure {
    Group(TorchExtError),
    Tensor(tch::TchError),
}

impl Failure {
    fn told(self, place: &Place, what: &'static str) -> DistributedError {
        match self {
            Self::Group(error @ (TorchExtError::Torch { .. } | TorchExtError::Nccl { .. })) => {
                DistributedError::Lost { rank: place.rank, size: place.size, what, found: told(&error) }
            }
            Self::Group(error) => DistributedError::Tensor(error),
            Self::Tensor(error) => DistributedError::Torch(error),
        }
    }
}

impl From<TorchExtError> for Failure {
    fn from(error: TorchExtError) -> Self {
        Self::Group(error)
    }
}

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        Self::Tensor(error)
    }
}

/// Runs `work` on the tensor, or on a contiguous copy on `device` whose result is copied back.
fn contiguous_on(
    device: Device,
    x: &mut Tensor,
    work: impl FnOnce(&mut Tensor) -> Result<(), TorchExtError>,
) -> Result<(), Failure> {
    if x.defined() && (x.device() != device || !x.is_contiguous()) {
        let _no_grad = no_grad_guard();
        let mut copy = x.f_detach()?.f_to_device(device)?.f_contiguous()?;
        work(&mut copy)?;
        x.f_copy_(&copy)?;
        return Ok(());
    }
    Ok(work(x)?)
}

/// Begins the sum of the tensor, or of a copy in host memory.
fn begun(group: &Collective, x: Tensor) -> Result<Pending<'_>, Failure> {
    if x.defined() && x.device() != Device::Cpu {
        let _no_grad = no_grad_guard();
        return Ok(group.begin_all_reduce(x.f_detach()?.f_to_device(Device::Cpu)?)?);
    }
    Ok(group.begin_all_reduce(x)?)
}
