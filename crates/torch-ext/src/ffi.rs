//! The functions of `cpp/`. Each returns null, or a text that [`crate::error::checked`] takes.

use std::ffi::{c_char, c_void};

use torch_sys::C_tensor;

use crate::adam::AdamStep;
/// Runs a piece on `n` borrowed inputs and writes `m` outputs, which the caller owns; or returns a text made by
/// [`torch_ext_copy_text`] and writes none. C++ calls it from any thread, and from several.
pub(crate) type RunPiece = unsafe extern "C" fn(
    data: *mut c_void,
    inputs: *const *const C_tensor,
    n: usize,
    outputs: *mut *mut C_tensor,
    m: usize,
) -> *mut c_char;

/// Ends a piece: the last that C++ does with it, from any thread.
pub(crate) type DropPiece = unsafe extern "C" fn(data: *mut c_void);

unsafe extern "C" {
    pub(crate) fn torch_ext_free_text(text: *mut c_char);
    /// A copy that C++ owns, the other way round.
    pub(crate) fn torch_ext_copy_text(text: *const c_char) -> *mut c_char;
    #[cfg(test)]
    pub(crate) fn torch_ext_throw(kind: i32) -> *mut c_char;

    /// Whether it was done; no text, unlike the others.
    pub(crate) fn torch_ext_keep_freed_memory() -> bool;

    pub(crate) fn torch_ext_adam_step(
        param: *const C_tensor,
        gradient: *const C_tensor,
        first: *const C_tensor,
        second: *const C_tensor,
        step: *const AdamStep,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_joint_norm(
        tensors: *const *const C_tensor,
        count: usize,
        norm: *mut f64,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_forget_gradient(param: *const C_tensor) -> *mut c_char;

    pub(crate) fn torch_ext_set_deterministic(on: bool) -> *mut c_char;
    pub(crate) fn torch_ext_deterministic(on: *mut bool) -> *mut c_char;

    /// `cuda` is -1 for the CPU; the caller owns `*out`.
    pub(crate) fn torch_ext_generator_state(cuda: i32, out: *mut *mut C_tensor) -> *mut c_char;
    pub(crate) fn torch_ext_set_generator_state(cuda: i32, state: *const C_tensor) -> *mut c_char;

    /// Reads `n` inputs and `m` outputs, writes `m` tensors to `out`, which the caller owns; takes `data` in any case.
    pub(crate) fn torch_ext_checkpoint(
        inputs: *const *const C_tensor,
        n: usize,
        outputs: *const *const C_tensor,
        m: usize,
        data: *mut c_void,
        run: RunPiece,
        drop: DropPiece,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_channels_last(
        x: *const C_tensor,
        kind: i32,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_is_channels_last(x: *const C_tensor, yes: *mut bool) -> *mut c_char;

    /// `shift`, `scale_shift` and `branch` may be null; the caller owns `*out` and `*branch`.
    pub(crate) fn torch_ext_group_norm(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        shift: *const C_tensor,
        scale_shift: *const C_tensor,
        groups: i64,
        eps: f64,
        silu: bool,
        lanes: i64,
        out: *mut *mut C_tensor,
        branch: *mut *mut C_tensor,
    ) -> *mut c_char;

    /// Whether `own` of the next one has an effect; no text, unlike the others.
    pub(crate) fn torch_ext_conv2d_is_own() -> bool;
    /// The caller owns `*out`.
    pub(crate) fn torch_ext_conv2d(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        own: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
}
