//! Errors of libtorch, and how they get here: the C++ functions return a text or null.

use std::ffi::{CStr, c_char};

use tch::{Device, Kind};
use thiserror::Error;

use crate::ffi;

/// An error of this crate's calls into libtorch.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TorchExtError {
    /// libtorch, or the C++ around it, refused.
    #[error("{call}: {text}")]
    Torch {
        /// The function of this crate.
        call: &'static str,
        /// The exception's message, without its stack trace.
        text: String,
    },
    /// A library that is looked up at run time is missing, too old, or lacks a function.
    #[error("cannot use {name}: {reason}")]
    Library {
        /// The library.
        name: String,
        /// What is wrong with it, in one line.
        reason: String,
    },
    /// NCCL failed, or another process of the group did.
    #[error("{call}: NCCL: {text}")]
    Nccl {
        /// The function of this crate.
        call: &'static str,
        /// The message.
        text: String,
    },
    /// A tensor has the wrong shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// The wanted shape.
        expected: String,
    },
    /// A tensor has the wrong element type.
    #[error("{what} is {got:?}, expected {expected}")]
    Kind {
        /// Which tensor.
        what: &'static str,
        /// Its element type.
        got: Kind,
        /// The wanted types.
        expected: &'static str,
    },
    /// A tensor is not on the device that the call works on.
    #[error("{call}: {what} is on {got:?}, expected {expected:?}")]
    Device {
        /// The function of this crate.
        call: &'static str,
        /// Which tensor.
        what: &'static str,
        /// Where it is.
        got: Device,
        /// Where the call works.
        expected: Device,
    },
    /// A tensor's numbers are not plain numbers in memory: it is sparse, packed, or flagged as negated or zero.
    #[error("{what} is not stored as plain numbers in memory, expected a dense tensor (for example a copy)")]
    Layout {
        /// Which tensor.
        what: &'static str,
    },
    /// Two tensors share memory in a call that writes to one of them.
    #[error("{what} and {with} share memory, expected separate tensors")]
    Overlap {
        /// One tensor.
        what: &'static str,
        /// The other.
        with: &'static str,
    },
    /// The environment variable that limits the instruction sets does not name one.
    #[error("DDPM_MAX_CPU_ISA={got:?}: expected base, avx2, avx512, avx512-bf16 or amx")]
    IsaLimit {
        /// The value of the variable.
        got: String,
    },
    /// A tensor, or the requested device, is of a kind that this crate does not support.
    #[error("{call}: {got:?} is neither Cpu nor Cuda")]
    UnknownDevice {
        /// The function of this crate.
        call: &'static str,
        /// The device.
        got: Device,
    },
    /// A tensor is libtorch's undefined tensor.
    #[error("{what} is undefined")]
    Undefined {
        /// Which tensor.
        what: &'static str,
    },
    /// A dropout rate is not in [0, 1].
    #[error("a rate of {got}, expected 0 to 1")]
    Rate {
        /// The rate.
        got: f64,
    },
    /// The channels cannot be divided into this number of groups.
    #[error("{channels} channels cannot be divided into {groups} groups")]
    Groups {
        /// Number of groups.
        groups: i64,
        /// Number of channels.
        channels: i64,
    },
    /// There is no process with this rank in a group.
    #[error("{call}: rank {got} of {size} processes, expected 0 to {}", size.saturating_sub(1))]
    Rank {
        /// The function of this crate.
        call: &'static str,
        /// The rank.
        got: usize,
        /// Number of processes.
        size: usize,
    },
    /// A text that C++ cannot take.
    #[error("{call}: {what} {got:?} contains a zero byte")]
    Text {
        /// The function of this crate.
        call: &'static str,
        /// Which text.
        what: &'static str,
        /// The text.
        got: String,
    },
}

/// Converts the result of a function of `cpp/`.
pub(crate) fn checked(call: &'static str, text: *mut c_char) -> Result<(), TorchExtError> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: a text that is not null is a C string that the caller owns.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: the text came from C++, has been copied, and is freed exactly once.
    unsafe { ffi::torch_ext_free_text(text) };
    Err(TorchExtError::Torch { call, text: copy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_becomes_its_text() {
        for (kind, expected) in [(0, "a c10::Error"), (1, "bad_alloc"), (2, "not a std::exception")] {
            // SAFETY: the function takes any number.
            let error = checked("probe", unsafe { ffi::torch_ext_throw(kind) }).unwrap_err().to_string();
            assert!(error.starts_with("probe: ") && error.contains(expected), "{error}");
            assert!(!error.contains("frame #"), "{error}");
        }
    }
}
