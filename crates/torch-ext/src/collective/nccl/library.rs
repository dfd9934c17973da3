//! The functions of NCCL, looked up by name in the loaded library.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use libloading::Library;
use tch::{Device, Kind};

use crate::error::TorchExtError;

/// The name by which libtorch's CUDA part loads it.
const NAME: &str = "libnccl.so.2";
/// 2.14, the first with communicators that do not block, so that waiting can have a limit.
const LEAST: c_int = 21_400;

/// The bytes by which the processes of a group find each other. One of them makes them, and all need them.
pub type NcclId = [u8; 128];

/// What NCCL's functions return.
pub(super) type Status = c_int;
pub(super) const SUCCESS: Status = 0;
/// The call goes on in the background. The communicator may not be used until its state is another one.
pub(super) const IN_PROGRESS: Status = 7;
/// The reduction that adds.
pub(super) const SUM: c_int = 0;
/// The type of a byte.
pub(super) const BYTE: c_int = 1;

/// NCCL's number for a type that is summed.
pub(super) fn number_of(kind: Kind) -> Option<c_int> {
    match kind {
        Kind::Int64 => Some(4),
        Kind::Float => Some(7),
        Kind::Double => Some(8),
        Kind::BFloat16 => Some(9),
        _ => None,
    }
}

/// A group of processes as one of them holds it.
#[repr(C)]
pub(super) struct Comm {
    _opaque: [u8; 0],
}

/// [`NcclId`] as C passes it, by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Id(pub(super) NcclId);

/// The configuration of a communicator as version 2.14 had it. Later versions take the fields behind it as not set.
#[repr(C)]
pub(super) struct Config {
    size: usize,
    magic: u32,
    version: u32,
    blocking: c_int,
    /// Not a field, but part of the size.
    padding: c_int,
}

impl Config {
    pub(super) fn without_blocking() -> Self {
        let (size, version) = (size_of::<Self>(), LEAST as u32);
        Self { size, magic: 0xcafe_beef, version, blocking: 0, padding: c_int::MIN }
    }
}

/// Reads, writes, count, type, root or reduction, communicator, stream.
type Operation =
    unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut Comm, *mut c_void) -> Status;

/// The functions that are used.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    get_unique_id: unsafe extern "C" fn(*mut Id) -> Status,
    get_error_string: unsafe extern "C" fn(Status) -> *const c_char,
    pub(super) init: unsafe extern "C" fn(*mut *mut Comm, c_int, Id, c_int, *mut Config) -> Status,
    pub(super) state: unsafe extern "C" fn(*mut Comm, *mut Status) -> Status,
    pub(super) abort: unsafe extern "C" fn(*mut Comm) -> Status,
    pub(super) all_reduce: Operation,
    pub(super) broadcast: Operation,
}

impl Functions {
    /// What a status means, in NCCL's words.
    pub(super) fn text(&self, status: Status) -> String {
        // SAFETY: the function takes any number.
        let text = unsafe { (self.get_error_string)(status) };
        if text.is_null() {
            return format!("status {status}");
        }
        // SAFETY: a text that is not null is a C string that is never freed.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// NCCL, loaded into this process.
#[derive(Clone)]
pub struct NcclLibrary {
    pub(super) functions: Functions,
    version: c_int,
    is_stand_in: bool,
}

impl NcclLibrary {
    /// The NCCL that libtorch's CUDA part has loaded; comes after [`crate::load_cuda_part`].
    ///
    /// # Errors
    /// [`TorchExtError::Library`] when there is none, when it is too old, or when a function is missing.
    pub fn open() -> Result<Self, TorchExtError> {
        Self::load(OsStr::new(NAME), false)
    }

    /// A library with the functions of NCCL that works in host memory: for tests on machines without GPUs.
    ///
    /// # Errors
    /// As [`NcclLibrary::open`].
    pub fn stand_in(path: &Path) -> Result<Self, TorchExtError> {
        Self::load(path.as_os_str(), true)
    }

    fn load(name: &OsStr, is_stand_in: bool) -> Result<Self, TorchExtError> {
        let wrong = |reason: String| TorchExtError::Library { name: name.to_string_lossy().into(), reason };
        // SAFETY: NCCL's initialisers only set up its own state; libtorch's CUDA part loads the same library.
        let library = unsafe { Library::new(name) }.map_err(|e| wrong(e.to_string()))?;
        let version = version(&library).map_err(wrong)?;
        if version < LEAST {
            return Err(wrong(format!("version {}, expected {} or later", dotted(version), dotted(LEAST))));
        }
        let functions = functions(&library).map_err(|e| wrong(e.to_string()))?;
        // Threads of NCCL and pointers to its functions outlive any owner of it.
        std::mem::forget(library);
        Ok(Self { functions, version, is_stand_in })
    }

    /// Its version, such as 2.28.9.
    #[must_use]
    pub fn version(&self) -> String {
        dotted(self.version)
    }

    /// The bytes by which the processes of a new group find each other. The process that makes them must live until all have
    /// joined.
    ///
    /// # Errors
    /// [`TorchExtError::Nccl`] when there is no network interface to listen on.
    pub fn new_id(&self) -> Result<NcclId, TorchExtError> {
        let mut id = Id([0; 128]);
        // SAFETY: all bytes are written through the argument, or none.
        match unsafe { (self.functions.get_unique_id)(&raw mut id) } {
            SUCCESS => Ok(id.0),
            other => Err(TorchExtError::Nccl { call: "new_id", text: self.functions.text(other) }),
        }
    }

    /// Whether tensors of this device can be given to it: everything else would be an access to wrong memory.
    pub(super) fn takes(&self, device: Device) -> bool {
        if self.is_stand_in { device == Device::Cpu } else { device.is_cuda() }
    }
}

fn version(library: &Library) -> Result<c_int, String> {
    type Version = unsafe extern "C" fn(*mut c_int) -> Status;
    // SAFETY: NCCL has declared it like this since version 2.
    let function = unsafe { library.get::<Version>(b"ncclGetVersion\0") }.map_err(|e| e.to_string())?;
    let mut version = 0;
    // SAFETY: one number is written through the argument.
    match unsafe { function(ptr::from_mut(&mut version)) } {
        SUCCESS => Ok(version),
        other => Err(format!("ncclGetVersion returns {other}")),
    }
}

fn functions(library: &Library) -> Result<Functions, libloading::Error> {
    /// # Safety
    /// The function must have this type.
    unsafe fn find<F: Copy>(library: &Library, name: &[u8]) -> Result<F, libloading::Error> {
        // SAFETY: the caller's promise.
        unsafe { library.get::<F>(name) }.map(|function| *function)
    }
    // SAFETY: the types are those of NCCL's header since version 2.14, which the caller has checked.
    unsafe {
        Ok(Functions {
            get_unique_id: find(library, b"ncclGetUniqueId\0")?,
            get_error_string: find(library, b"ncclGetErrorString\0")?,
            init: find(library, b"ncclCommInitRankConfig\0")?,
            state: find(library, b"ncclCommGetAsyncError\0")?,
            abort: find(library, b"ncclCommAbort\0")?,
            all_reduce: find(library, b"ncclAllReduce\0")?,
            broadcast: find(library, b"ncclBroadcast\0")?,
        })
    }
}

/// A version number as people write it. Until 2.8 the parts had one digit less.
fn dotted(version: c_int) -> String {
    let (major, minor) = if version < 10_000 { (1000, 100) } else { (10_000, 100) };
    format!("{}.{}.{}", version / major, version % major / minor, version % minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_both_forms() {
        let all = [22_809, 21_400, 21_805, 2_708, 2_804, 0].map(dotted);
        assert_eq!(all, ["2.28.9", "2.14.0", "2.18.5", "2.7.8", "2.8.4", "0.0.0"]);
    }

    /// As the header of NCCL 2.14 has it: later versions copy as many bytes as `size` says.
    #[test]
    fn the_configuration_has_the_layout_of_c() {
        assert_eq!((size_of::<Config>(), size_of::<Id>()), (24, 128));
        let offsets = [
            std::mem::offset_of!(Config, magic),
            std::mem::offset_of!(Config, version),
            std::mem::offset_of!(Config, blocking),
        ];
        assert_eq!(offsets, [8, 12, 16]);
    }

    #[test]
    fn only_summable_types_have_a_number() {
        let numbers = [Kind::Int64, Kind::Float, Kind::Double, Kind::BFloat16].map(number_of);
        assert_eq!(numbers, [4, 7, 8, 9].map(Some));
        assert_eq!([Kind::Bool, Kind::Half, Kind::Int].map(number_of), [None; 3]);
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error_with_its_name() {
        let error = NcclLibrary::stand_in(Path::new("/no/such/libnccl.so.2")).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, TorchExtError::Library { .. }), "{text}");
        assert!(text.starts_with("cannot use /no/such/libnccl.so.2: "), "{text}");
    }
}
