//! A group of processes with a GPU each.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tch::{Device, Tensor};

use super::library::{
    BYTE, Comm, Config, Functions, IN_PROGRESS, Id, NcclId, NcclLibrary, SUCCESS, SUM, Status, number_of,
};
use super::waiting::{wait_until, within};
use crate::collective::group::{qualifies_on, summable_on};
use crate::device::{Event, OnDevice, native_stream};
use crate::error::TorchExtError;
use crate::generator::index;
use crate::plain;

/// Limit of waiting for an abort. NCCL may wait for the other processes of the machine in it, which may be stuck.
const ABORT: Duration = Duration::from_secs(3);

/// A group of processes that sum tensors of their GPUs. The rules are those of [`crate::Collective`]: all call the same
/// operations in the same order, with tensors of the same shape and type, and after a failure the group is of no use.
///
/// Operations run on the thread's current stream of the device: after the work that the thread has submitted before, and before
/// what it submits later. So their results can be used at once, but a thread that then waits for the device waits for the other
/// processes too, for ever if one has gone. [`Nccl::wait`] must come first: it waits with a limit.
pub struct Nccl {
    functions: Functions,
    device: Device,
    rank: usize,
    size: usize,
    limit: Duration,
    state: Mutex<State>,
}

/// What operations change.
struct State {
    /// None after a failure.
    comm: Option<Handle>,
    /// Set if there are operations that nobody has waited for.
    begun: Option<Mark>,
    /// The first failure.
    failure: String,
}

/// The end of the operations that were begun; in host memory they have ended once they are accepted.
struct Mark(Option<Event>);

struct Handle(*mut Comm);

// SAFETY: NCCL ties a communicator to a device and not to a thread. Only one thread at a time uses it: it is behind a lock.
unsafe impl Send for Handle {}

impl Handle {
    /// Frees the communicator and ends its operations.
    fn abort(self, functions: &Functions) {
        // SAFETY: made by `init`, freed exactly once, and not used by another thread. What it returns does not matter any more.
        unsafe { (functions.abort)(self.0) };
    }
}

impl Nccl {
    /// Joins the other processes, which have the same `id`, as process `rank` of `size`. Every process needs a GPU of its own.
    /// `limit` is that of waiting for the others, here and in every operation.
    ///
    /// # Errors
    /// [`TorchExtError::Nccl`] when they are not all there within the limit, or NCCL finds no way between the GPUs;
    /// [`TorchExtError::Rank`] for a rank that is not below the size; [`TorchExtError::Device`] for a device that is not CUDA's.
    pub fn join(
        library: &NcclLibrary,
        id: &NcclId,
        (rank, size): (usize, usize),
        device: Device,
        limit: Duration,
    ) -> Result<Self, TorchExtError> {
        const CALL: &str = "Nccl::join";
        if !library.takes(device) {
            let (what, expected) = ("the communicator", Device::Cuda(0));
            return Err(TorchExtError::Device { call: CALL, what, got: device, expected });
        }
        let wrong = TorchExtError::Rank { call: CALL, got: rank, size };
        let (Ok(rank_32), Ok(size_32)) = (i32::try_from(rank), i32::try_from(size)) else {
            return Err(wrong);
        };
        if rank >= size {
            return Err(wrong);
        }
        let functions = library.functions;
        let (mut comm, mut config) = (ptr::null_mut(), Config::without_blocking());
        let _current = current(CALL, device)?;
        // SAFETY: a pointer is written through the first argument, and stays null if there is nothing to free. The configuration
        // is copied during the call.
        let status = unsafe { (functions.init)(&raw mut comm, size_32, Id(*id), rank_32, &raw mut config) };
        let comm = (!comm.is_null()).then_some(Handle(comm));
        let state = Mutex::new(State { comm, begun: None, failure: String::new() });
        let group = Self { functions, device, rank, size, limit, state };
        group.accepted(&mut group.lock(), CALL, status)?;
        Ok(group)
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

    /// Where the tensors are that it works on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Changes the limit of waiting for the others.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sums a tensor over all processes in place. All of them get the same bits. f32, bf16, f64 or i64, contiguous and on the
    /// device of the group.
    ///
    /// # Errors
    /// [`TorchExtError::Nccl`] when another process fails or is late; others for a tensor that does not qualify.
    pub fn all_reduce(&self, x: &mut Tensor) -> Result<(), TorchExtError> {
        self.sum(x)?;
        self.wait()
    }

    /// Begins [`Nccl::all_reduce`] of a tensor that shares its memory with no other. It may be called on another thread than the
    /// one that waits.
    ///
    /// # Errors
    /// As [`Nccl::all_reduce`], and [`TorchExtError::Overlap`] for shared memory.
    pub fn begin_all_reduce(&self, x: Tensor) -> Result<NcclSum<'_>, TorchExtError> {
        plain::in_memory("the tensor", &x)?;
        plain::unshared("the tensor", &x)?;
        self.sum(&x)?;
        Ok(NcclSum { group: self, x })
    }

    /// Overwrites a tensor with that of process `from`. Any type, contiguous and on the device of the group.
    ///
    /// # Errors
    /// As [`Nccl::all_reduce`], and [`TorchExtError::Rank`].
    pub fn broadcast(&self, x: &mut Tensor, from: usize) -> Result<(), TorchExtError> {
        const CALL: &str = "broadcast";
        qualifies_on(CALL, x, self.device)?;
        let wrong = TorchExtError::Rank { call: CALL, got: from, size: self.size };
        let rank = i32::try_from(from).ok().filter(|_| from < self.size).ok_or(wrong)?;
        let (data, bytes) = (x.data_ptr(), x.numel() * x.kind().elt_size_in_bytes());
        self.begin(CALL, bytes, |comm, stream| {
            // SAFETY: as in `sum`; any type is a sequence of bytes.
            unsafe { (self.functions.broadcast)(data, data, bytes, BYTE, rank, comm, stream) }
        })?;
        self.wait()
    }

    /// Waits until the device has done all operations that were begun and what the stream had before them.
    ///
    /// # Errors
    /// [`TorchExtError::Nccl`] when another process fails or is late, also in an earlier operation.
    pub fn wait(&self) -> Result<(), TorchExtError> {
        let mut state = self.lock();
        match state.begun.take() {
            Some(mark) => self.poll(&mut state, "wait", mark.0.as_ref()),
            None if state.comm.is_none() => Err(over("wait", &state)),
            None => Ok(()),
        }
    }

    fn sum(&self, x: &Tensor) -> Result<(), TorchExtError> {
        const CALL: &str = "all_reduce";
        summable_on(CALL, x, self.device)?;
        let got = x.kind();
        let wrong = TorchExtError::Kind { what: "the tensor", got, expected: "f32, bf16, f64 or i64" };
        let (data, count, number) = (x.data_ptr(), x.numel(), number_of(got).ok_or(wrong)?);
        self.begin(CALL, count, |comm, stream| {
            // SAFETY: the communicator lives, the stream is the device's, and the tensor has `count` numbers on that device. Its
            // memory stays until the operation ends: the caller waits for it, or an abort ends it, or libtorch gives the memory to
            // later work of the same stream only.
            unsafe { (self.functions.all_reduce)(data, data, count, number, SUM, comm, stream) }
        })
    }

    /// Submits an operation on `count` numbers to the current stream.
    fn begin(
        &self,
        call: &'static str,
        count: usize,
        operation: impl FnOnce(*mut Comm, *mut c_void) -> Status,
    ) -> Result<(), TorchExtError> {
        let mut state = self.lock();
        let Some(Handle(comm)) = state.comm else { return Err(over(call, &state)) };
        // An empty tensor has no memory.
        if count == 0 {
            return Ok(());
        }
        let _current = current(call, self.device)?;
        let cuda = index(call, self.device)?;
        let stream = if cuda < 0 { ptr::null_mut() } else { native_stream(cuda)? };
        let status = operation(comm, stream);
        // Work that is submitted later must come after it.
        self.accepted(&mut state, call, status)?;
        state.begun = Some(Mark(if cuda < 0 { None } else { Some(Event::record(cuda)?) }));
        Ok(())
    }

    /// Waits until NCCL has submitted an operation. Before the first of a kind it connects to other processes.
    fn accepted(&self, state: &mut State, call: &'static str, status: Status) -> Result<(), TorchExtError> {
        match status {
            SUCCESS => Ok(()),
            IN_PROGRESS if state.comm.is_some() => self.poll(state, call, None),
            other => Err(self.failed(state, call, self.functions.text(other))),
        }
    }

    /// Waits until NCCL is idle and the device has reached the event. On a failure the group ends.
    fn poll(
        &self,
        state: &mut State,
        call: &'static str,
        event: Option<&Event>,
    ) -> Result<(), TorchExtError> {
        let Some(Handle(comm)) = state.comm else { return Err(over(call, state)) };
        let progress = || {
            let mut status = SUCCESS;
            // SAFETY: the communicator lives; one number is written through the second argument.
            let asked = unsafe { (self.functions.state)(comm, &raw mut status) };
            match if asked == SUCCESS { status } else { asked } {
                SUCCESS => event.map_or(Ok(true), |event| event.is_over().map_err(|e| e.to_string())),
                IN_PROGRESS => Ok(false),
                other => Err(self.functions.text(other)),
            }
        };
        wait_until(self.limit, progress).map_err(|text| self.failed(state, call, text))
    }

    /// Ends the group after a failure, so that the device is free again.
    fn failed(&self, state: &mut State, call: &'static str, text: String) -> TorchExtError {
        end(state, self.functions);
        state.failure.clone_from(&text);
        TorchExtError::Nccl { call, text }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Operations that nobody has waited for would keep the device busy. An idle communicator is left to the end of the
        // process: freeing it can take as long as the other processes of the machine take to free theirs.
        if state.begun.is_some() {
            end(state, self.functions);
        }
    }
}

/// Aborts what runs.
fn end(state: &mut State, functions: Functions) {
    state.begun = None;
    if let Some(comm) = state.comm.take() {
        within(ABORT, move || comm.abort(&functions));
    }
}

/// The error of every operation after a failure.
fn over(call: &'static str, state: &State) -> TorchExtError {
    TorchExtError::Nccl { call, text: state.failure.clone() }
}

/// Makes the device the thread's current one: NCCL uses that.
fn current(call: &'static str, device: Device) -> Result<Option<OnDevice>, TorchExtError> {
    let cuda = index(call, device)?;
    if cuda < 0 { Ok(None) } else { OnDevice::enter(cuda).map(Some) }
}

/// A sum that was begun. Dropping it does not stop it, since the other processes take part in it.
pub struct NcclSum<'a> {
    group: &'a Nccl,
    x: Tensor,
}

impl NcclSum<'_> {
    /// Waits for the sum, and all others that were begun before the call, and returns it.
    ///
    /// # Errors
    /// [`TorchExtError::Nccl`] when another process fails or is late.
    pub fn finish(self) -> Result<Tensor, TorchExtError> {
        self.group.wait()?;
        Ok(self.x)
    }
}
