//! How tensors travel between ranks: by Gloo in host memory, or by NCCL between GPUs. The ranks choose together.

use std::path::Path;
use std::time::Duration;

use tch::{Device, Kind, Tensor, no_grad_guard};
use torch_ext::{Nccl, NcclId, NcclLibrary, TorchExtError, gpu_uuid};

use crate::error::{DistributedError, told};
use crate::offer::{Choice, Offer, one_line};
use crate::place::Place;
use crate::variables::{TRANSPORT, Variables};

/// How tensors travel without NCCL.
pub(crate) const IN_HOST_MEMORY: &str = "Gloo, in host memory";
/// The part of the usual limit in which ranks join NCCL, and again that of its first sum: a rank that fails at once still waits
/// when the others give up.
const PART: u32 = 3;

/// The values of [`TRANSPORT`].
pub(crate) const TRANSPORTS: &str = "auto, gloo or nccl";

/// How tensors are to travel between ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Those of GPUs by NCCL if all ranks can, otherwise by Gloo.
    #[default]
    Auto,
    /// Over TCP, in host memory.
    Gloo,
    /// Those of GPUs by NCCL, and not at all otherwise.
    Nccl,
}

impl Transport {
    /// The transport of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "gloo" => Some(Self::Gloo),
            "nccl" => Some(Self::Nccl),
            _ => None,
        }
    }

    fn allows_nccl(self) -> Result<(), String> {
        if self == Self::Gloo { Err(format!("{TRANSPORT} is gloo there")) } else { Ok(()) }
    }

    pub(crate) fn read(variables: &Variables<'_>) -> Result<Self, DistributedError> {
        let Some(got) = variables.text(TRANSPORT) else { return Ok(Self::default()) };
        let wrong =
            || DistributedError::Value { name: TRANSPORT, got: got.clone(), expected: TRANSPORTS.to_owned() };
        Self::named(&got).ok_or_else(wrong)
    }
}

/// What a rank brings for NCCL.
pub(crate) struct Seat {
    library: NcclLibrary,
    /// Which GPU of the world it has.
    gpu: String,
    device: Device,
}

impl Seat {
    /// On the device of a rank, or why there is none.
    pub(crate) fn on(transport: Transport, device: Device) -> Result<Self, String> {
        transport.allows_nccl()?;
        let Device::Cuda(index) = device else { return Err("it computes on the CPU".to_owned()) };
        let library = NcclLibrary::open().map_err(|e| e.to_string())?;
        let gpu = gpu_uuid(index).map_err(|e| e.to_string())?;
        Ok(Self { library, gpu, device })
    }

    /// In host memory, with a library that stands in for NCCL.
    pub(crate) fn of_stand_in(transport: Transport, library: &Path, gpu: &str) -> Result<Self, String> {
        transport.allows_nccl()?;
        let library = NcclLibrary::stand_in(library).map_err(|e| e.to_string())?;
        Ok(Self { library, gpu: gpu.to_owned(), device: Device::Cpu })
    }

    /// Joins the other ranks and tries a sum: a way between GPUs can be found and still not work.
    fn join(&self, id: &NcclId, (rank, size): (usize, usize), limit: Duration) -> Result<Nccl, String> {
        let joined = Nccl::join(&self.library, id, (rank, size), self.device, limit);
        let group = joined.map_err(|error| told(&error))?;
        let sum = tried(&group).map_err(|error| told(&error))?;
        let expected = (size * (size + 1) / 2) as i64;
        if sum == expected { Ok(group) } else { Err(format!("a sum is {sum}, expected {expected}")) }
    }
}

/// The sum of 1 to the number of ranks, by the group.
fn tried(group: &Nccl) -> Result<i64, TorchExtError> {
    let failed = |error: tch::TchError| TorchExtError::Torch { call: "tried", text: error.to_string() };
    let _no_grad = no_grad_guard();
    let own = group.rank() as i64 + 1;
    let mut x = Tensor::f_full([1], own, (Kind::Int64, group.device())).map_err(failed)?;
    group.all_reduce(&mut x)?;
    i64::try_from(&x).map_err(failed)
}

/// What the ranks have chosen.
pub(crate) struct Chosen {
    /// For tensors in the memory of GPUs.
    pub(crate) nccl: Option<Nccl>,
    /// In words.
    pub(crate) transport: String,
}

/// Sends bytes to all ranks and returns those of all, by rank.
type Gather<'a> = dyn Fn(&[u8]) -> Result<Vec<Vec<u8>>, DistributedError> + 'a;

/// Chooses with the other ranks. All call it and conclude the same.
pub(crate) fn choose(
    place: &Place,
    seat: Result<Seat, String>,
    gather: &Gather<'_>,
) -> Result<Chosen, DistributedError> {
    let can = seat.as_ref().map(|seat| (seat.gpu.clone(), seat.library.version())).map_err(String::clone);
    let offer = Offer { demands: place.transport == Transport::Nccl, can };
    let Choice { demands, obstacle } = Choice::of(&gather(&offer.to_bytes())?);
    let without = |rank: usize, reason: String| match demands {
        true => Err(DistributedError::NoNccl { rank, reason }),
        false => Ok(Chosen { nccl: None, transport: format!("{IN_HOST_MEMORY} (rank {rank}: {reason})") }),
    };
    if let Some((rank, reason)) = obstacle {
        return without(rank, reason);
    }
    let joined = match seat {
        Ok(seat) => joined(place, &seat, gather)?.map(|nccl| (nccl, seat)),
        // It is an obstacle, so this is never reached.
        Err(reason) => Err(reason),
    };
    let ending = joined.as_ref().err().map_or_else(String::new, |reason| one_line(reason));
    let endings = gather(ending.as_bytes())?;
    let failed = endings.iter().position(|ending| !ending.is_empty());
    match (joined, failed) {
        (Ok((mut nccl, seat)), None) => {
            nccl.set_limit(place.timeout);
            let transport = format!("NCCL {}, between GPUs", seat.library.version());
            Ok(Chosen { nccl: Some(nccl), transport })
        }
        (_, Some(rank)) => without(rank, String::from_utf8_lossy(&endings[rank]).into_owned()),
        (Err(reason), None) => without(place.rank, reason),
    }
}

/// The group of all ranks, or why this one is not in it.
fn joined(place: &Place, seat: &Seat, gather: &Gather<'_>) -> Result<Result<Nccl, String>, DistributedError> {
    // Rank 0 makes the bytes by which all find each other.
    let made = if place.rank == 0 { seat.library.new_id().map(Some) } else { Ok(None) };
    let own = made.as_ref().ok().and_then(Option::as_ref).map_or(&[][..], |id| &id[..]);
    let sent = gather(own)?;
    if let Err(error) = made {
        return Ok(Err(told(&error)));
    }
    let id: Option<NcclId> = sent.first().and_then(|id| id.as_slice().try_into().ok());
    let Some(id) = id else { return Ok(Err("rank 0 has sent no unique id".to_owned())) };
    Ok(seat.join(&id, (place.rank, place.size), place.timeout / PART))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_without_a_gpu_or_that_wants_gloo_has_no_seat() {
        let reason = |transport, device| Seat::on(transport, device).err().unwrap();
        assert_eq!(reason(Transport::Auto, Device::Cpu), "it computes on the CPU");
        assert_eq!(reason(Transport::Nccl, Device::Cpu), "it computes on the CPU");
        assert_eq!(reason(Transport::Gloo, Device::Cuda(0)), "DDPM_TRANSPORT is gloo there");
    }

    #[test]
    fn transports_have_names() {
        let all = ["auto", "gloo", "nccl", "NCCL", ""].map(Transport::named);
        assert_eq!(all, [Some(Transport::Auto), Some(Transport::Gloo), Some(Transport::Nccl), None, None]);
        assert_eq!(Transport::default(), Transport::Auto);
    }
}
