//! The functions of `cpp/`. Each returns null, or a text that [`crate::error::checked`] takes.

use std::ffi::c_char;

unsafe extern "C" {
    pub(crate) fn torch_ext_free_text(text: *mut c_char);
    #[cfg(test)]
    pub(crate) fn torch_ext_throw(kind: i32) -> *mut c_char;

    pub(crate) fn torch_ext_set_deterministic(on: bool) -> *mut c_char;
    pub(crate) fn torch_ext_deterministic(on: *mut bool) -> *mut c_char;
}
