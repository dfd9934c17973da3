//! Collective operations of several processes, on libtorch's own engine c10d: a TCP store where the processes meet, and Gloo.
//!
//! Gloo works in host memory. For tensors in the memory of GPUs there is NCCL.

mod group;
mod nccl;
mod pending;
mod store;

pub use group::{Collective, Meeting};
pub use nccl::{Nccl, NcclId, NcclLibrary, NcclSum, gpu_uuid};
pub use pending::Pending;
pub use store::StoreServer;

use std::ffi::CString;
use std::time::Duration;

use crate::error::TorchExtError;

/// A text for C++.
fn text(call: &'static str, what: &'static str, text: &str) -> Result<CString, TorchExtError> {
    CString::new(text).map_err(|_| TorchExtError::Text { call, what, got: text.to_owned() })
}

/// A timeout in milliseconds: at least one, since c10d reads 0 as "no limit".
fn milliseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::from(i32::MAX))
}
