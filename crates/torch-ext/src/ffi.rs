//! The functions of `cpp/`. Each returns null, or a text that [`crate::error::checked`] takes.

use std::ffi::c_char;

use torch_sys::C_tensor;

unsafe extern "C" {
    pub(crate) fn torch_ext_free_text(text: *mut c_char);
    #[cfg(test)]
    pub(crate) fn torch_ext_throw(kind: i32) -> *mut c_char;

    /// Whether it was done; no text, unlike the others.
    pub(crate) fn torch_ext_keep_freed_memory() -> bool;

    pub(crate) fn torch_ext_set_deterministic(on: bool) -> *mut c_char;
    pub(crate) fn torch_ext_deterministic(on: *mut bool) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_channels_last(
        x: *const C_tensor,
        kind: i32,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_is_channels_last(x: *const C_tensor, yes: *mut bool) -> *mut c_char;

    /// `shift` and `scale_shift` may be null; the caller owns `*out`.
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
