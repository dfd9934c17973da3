//! What can go wrong in libtorch, and how it gets here: the C++ functions return a text or null.

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
        /// What the exception said, without its stack trace.
        text: String,
    },
    /// A tensor of a shape that does not fit.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// The wanted shape.
        expected: String,
    },
    /// A tensor of another element type.
    #[error("{what} is {got:?}, expected {expected}")]
    Kind {
        /// Which tensor.
        what: &'static str,
        /// Its element type.
        got: Kind,
        /// The wanted types.
        expected: &'static str,
    },
    /// A tensor on another device than the call works on.
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
    /// A tensor whose numbers are not in memory one by one: sparse, packed, or only marked as negated or zero.
    #[error("{what} is not plain numbers in memory, expected a dense tensor (for example a copy)")]
    Layout {
        /// Which tensor.
        what: &'static str,
    },
    /// Two tensors share memory in a call that writes to one of them.
    #[error("{what} and {with} share memory, expected tensors of their own")]
    Overlap {
        /// One tensor.
        what: &'static str,
        /// The other.
        with: &'static str,
    },
    /// The environment variable that limits the instruction sets does not name one.
    #[error("DDPM_MAX_CPU_ISA={got:?}: expected base, avx2, avx512, avx512-bf16 or amx")]
    IsaLimit {
        /// What it is set to.
        got: String,
    },
    /// A tensor, or what was asked for, is on a device that this crate does not know.
    #[error("{call}: {got:?} is neither Cpu nor Cuda")]
    UnknownDevice {
        /// The function of this crate.
        call: &'static str,
        /// The device.
        got: Device,
    },
    /// A tensor that is none: libtorch's undefined one.
    #[error("{what} is undefined")]
    Undefined {
        /// Which tensor.
        what: &'static str,
    },
    /// No share.
    #[error("a rate of {got}, expected 0 to 1")]
    Rate {
        /// What it was.
        got: f64,
    },
    /// Channels that do not make that many groups.
    #[error("{channels} channels do not make {groups} groups")]
    Groups {
        /// Number of groups.
        groups: i64,
        /// Number of channels.
        channels: i64,
    },
}

/// Takes what a function of `cpp/` returned.
pub(crate) fn checked(call: &'static str, text: *mut c_char) -> Result<(), TorchExtError> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: a text that is not null is a C string that C++ made for the caller to own.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: the text came from C++, is copied, and is given back this once.
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
