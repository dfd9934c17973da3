//! Processes that met, and what they compute together.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use tch::{Device, Kind, Tensor};

use super::{milliseconds, text};
use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::plain;

/// Types that can be summed.
const SUMMED: &[Kind] = &[Kind::Float, Kind::BFloat16, Kind::Double, Kind::Int64];

/// Where the processes of a group meet.
#[derive(Debug, Clone)]
pub struct Meeting<'a> {
    /// Host of the store.
    pub host: &'a str,
    /// Port of the store.
    pub port: u16,
    /// Whether this process serves the store.
    pub serves: bool,
    /// Separates this meeting from others at the same store.
    pub prefix: &'a str,
    /// The network interface by which the others reach this process; without it, the address of the host name.
    pub interface: Option<&'a str>,
    /// The number of this process.
    pub rank: usize,
    /// Number of processes.
    pub size: usize,
    /// Limit of waiting for the others to come.
    pub timeout: Duration,
    /// Limit of waiting for the others in an operation.
    pub limit: Duration,
}

/// A group of processes. Every operation must be called by all of them, in the same order and with tensors of the same shape
/// and type. An operation fails when a process has ended, and when one is not there within the limit; after a failure the
/// group is of no use.
pub struct Collective {
    raw: *mut ffi::Group,
    rank: usize,
    size: usize,
    limit: Duration,
}

// SAFETY: c10d's groups lock their own state and run the work on threads of their own; nothing in one belongs to the
// thread that made it.
unsafe impl Send for Collective {}
// SAFETY: the same. Calls from several threads would be in no order, which is an error of the program but not of memory:
// every operation has its own buffers.
unsafe impl Sync for Collective {}

impl Collective {
    /// Meets the other processes.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when they are not all there before the timeout, or the store cannot be reached;
    /// [`TorchExtError::Rank`] for a rank that is not below the size.
    pub fn join(meeting: &Meeting<'_>) -> Result<Self, TorchExtError> {
        const CALL: &str = "Collective::join";
        let Meeting { host, port, serves, prefix, interface, rank, size, timeout, limit } = *meeting;
        let wrong = TorchExtError::Rank { call: CALL, got: rank, size };
        let (Ok(rank_32), Ok(size_32)) = (i32::try_from(rank), i32::try_from(size)) else {
            return Err(wrong);
        };
        if rank >= size {
            return Err(wrong);
        }
        // Processes of one machine do not need its name.
        let is_local = ["127.0.0.1", "localhost", "::1"].contains(&host);
        let address = text(CALL, "host", if is_local { host } else { "" })?;
        let (host, prefix) = (text(CALL, "host", host)?, text(CALL, "prefix", prefix)?);
        let interface = text(CALL, "interface", interface.unwrap_or_default())?;
        let mut raw = ptr::null_mut();
        // SAFETY: the texts live for the call; one pointer is written through the last argument, only if there is no error.
        let told = unsafe {
            ffi::torch_ext_group_join(
                host.as_ptr(),
                port,
                serves,
                prefix.as_ptr(),
                interface.as_ptr(),
                address.as_ptr(),
                rank_32,
                size_32,
                milliseconds(timeout),
                &raw mut raw,
            )
        };
        checked(CALL, told)?;
        Ok(Self { raw, rank, size, limit })
    }

    /// The number of this process.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Sums a tensor over all processes in place. All of them get the same bits. f32, bf16, f64 or i64, contiguous and in host
    /// memory.
    ///
    /// # Errors
    /// [`TorchExtError::Torch`] when another process fails or is late; others for a tensor that does not qualify.
    pub fn all_reduce(&self, x: &mut Tensor) -> Result<(), TorchExtError> {
        const CALL: &str = "all_reduce";
        summable(CALL, x)?;
        // SAFETY: the group lives; the tensor is borrowed for the call, which ends when nothing writes to it any more, and it
        // qualifies.
        checked(CALL, unsafe { ffi::torch_ext_group_all_reduce(self.raw, x.as_ptr(), self.limit(1)) })
    }

    /// Calls C++ for [`Collective::begin_all_reduce`].
    ///
    /// # Safety
    /// The tensor qualifies and shares its memory with no other.
    pub(super) unsafe fn begin(&self, x: &Tensor, out: *mut *mut ffi::Sum) -> *mut c_char {
        // SAFETY: the group lives; the rest is the caller's promise.
        unsafe { ffi::torch_ext_group_begin_all_reduce(self.raw, x.as_ptr(), self.limit(1), out) }
    }

    /// Overwrites a tensor with that of process `from`. Any type, contiguous and in host memory.
    ///
    /// # Errors
    /// As [`Collective::all_reduce`], and [`TorchExtError::Rank`].
    pub fn broadcast(&self, x: &mut Tensor, from: usize) -> Result<(), TorchExtError> {
        const CALL: &str = "broadcast";
        qualifies_on(CALL, x, Device::Cpu)?;
        let wrong = TorchExtError::Rank { call: CALL, got: from, size: self.size };
        let rank = i32::try_from(from).ok().filter(|_| from < self.size).ok_or(wrong)?;
        // SAFETY: as in `all_reduce`.
        checked(CALL, unsafe { ffi::torch_ext_group_broadcast(self.raw, x.as_ptr(), rank, self.limit(1)) })
    }

    /// The bytes of every process, by rank. They may differ in length.
    ///
    /// # Errors
    /// As [`Collective::all_reduce`].
    pub fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TorchExtError> {
        let lengths = self.gathered(&failing(Tensor::f_from_slice(&[bytes.len() as i64]))?)?;
        let lengths: Vec<i64> = failing(lengths.f_view(-1).and_then(Vec::try_from))?;
        let longest = lengths.iter().copied().max().unwrap_or(0).max(0) as usize;
        if longest == 0 {
            return Ok(vec![Vec::new(); self.size]);
        }
        let mut padded = bytes.to_vec();
        padded.resize(longest, 0);
        let all = self.gathered(&failing(Tensor::f_from_slice(&padded))?)?;
        let all: Vec<u8> = failing(all.f_view(-1).and_then(Vec::try_from))?;
        let cut = |(row, length): (&[u8], &i64)| row[..(*length).clamp(0, longest as i64) as usize].to_vec();
        Ok(all.chunks_exact(longest).zip(&lengths).map(cut).collect())
    }

    /// The tensor `[n]` of every process, `[size, n]`.
    fn gathered(&self, x: &Tensor) -> Result<Tensor, TorchExtError> {
        const CALL: &str = "all_gather";
        let all = failing(Tensor::f_zeros([self.size as i64, x.size()[0]], (x.kind(), Device::Cpu)))?;
        // SAFETY: as in `all_reduce`; the second tensor is new and has a row for every process.
        let told =
            unsafe { ffi::torch_ext_group_all_gather(self.raw, x.as_ptr(), all.as_ptr(), self.limit(1)) };
        checked(CALL, told)?;
        Ok(all)
    }

    /// Waits until all processes are here, up to `times` the limit.
    ///
    /// # Errors
    /// As [`Collective::all_reduce`].
    pub fn barrier(&self, times: u32) -> Result<(), TorchExtError> {
        // SAFETY: the group lives.
        checked("barrier", unsafe { ffi::torch_ext_group_barrier(self.raw, self.limit(times)) })
    }

    fn limit(&self, times: u32) -> i64 {
        milliseconds(self.limit.saturating_mul(times))
    }
}

impl Drop for Collective {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_group_join`, freed exactly once.
        unsafe { ffi::torch_ext_group_free(self.raw) };
    }
}

/// Refuses tensors that cannot be summed in place in host memory.
pub(super) fn summable(call: &'static str, x: &Tensor) -> Result<(), TorchExtError> {
    summable_on(call, x, Device::Cpu)
}

/// Refuses tensors that cannot be summed in place on a device.
pub(super) fn summable_on(call: &'static str, x: &Tensor, device: Device) -> Result<(), TorchExtError> {
    qualifies_on(call, x, device)?;
    let got = x.kind();
    if SUMMED.contains(&got) {
        return Ok(());
    }
    Err(TorchExtError::Kind { what: "the tensor", got, expected: "f32, bf16, f64 or i64" })
}

/// Refuses tensors that cannot be worked on in place on a device.
pub(super) fn qualifies_on(call: &'static str, x: &Tensor, device: Device) -> Result<(), TorchExtError> {
    plain::in_memory("the tensor", x)?;
    if x.device() != device {
        let (what, got, expected) = ("the tensor", x.device(), device);
        return Err(TorchExtError::Device { call, what, got, expected });
    }
    if !x.is_contiguous() {
        let expected = "contiguous".to_owned();
        return Err(TorchExtError::Shape { what: "the tensor", got: x.size(), expected });
    }
    Ok(())
}

/// An error of tch as one of this crate.
fn failing<T>(result: Result<T, tch::TchError>) -> Result<T, TorchExtError> {
    result.map_err(|error| TorchExtError::Torch { call: "all_gather", text: error.to_string() })
}
