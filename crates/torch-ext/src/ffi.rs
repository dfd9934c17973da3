//! The functions of `cpp/`. Each returns null, or a text for [`crate::error::checked`].

use std::ffi::{c_char, c_void};

use torch_sys::C_tensor;

use crate::adam::AdamStep;
use crate::device::ListedAdam;

/// A GPU stream, with the stream that a thread was on before.
#[repr(C)]
pub(crate) struct Side {
    _opaque: [u8; 0],
}

/// Inference mode on a thread: nothing is recorded for gradients.
#[repr(C)]
pub(crate) struct InferenceMode {
    _opaque: [u8; 0],
}

/// A point in a stream.
#[repr(C)]
pub(crate) struct Event {
    _opaque: [u8; 0],
}

/// A recorded graph, or one being recorded.
#[repr(C)]
pub(crate) struct Graph {
    _opaque: [u8; 0],
}

/// A store on this machine, where processes meet.
#[repr(C)]
pub(crate) struct Store {
    _opaque: [u8; 0],
}

/// The processes that met.
#[repr(C)]
pub(crate) struct Group {
    _opaque: [u8; 0],
}

/// A sum that is running.
#[repr(C)]
pub(crate) struct Sum {
    _opaque: [u8; 0],
}

/// Runs a piece on `n` borrowed inputs and writes `m` outputs, owned by the caller; or returns a text made by
/// [`torch_ext_copy_text`] and writes none. C++ may call it from any thread, and from several.
pub(crate) type RunPiece = unsafe extern "C" fn(
    data: *mut c_void,
    inputs: *const *const C_tensor,
    n: usize,
    outputs: *mut *mut C_tensor,
    m: usize,
) -> *mut c_char;

/// Drops a piece. This is C++'s last use of it, on any thread.
pub(crate) type DropPiece = unsafe extern "C" fn(data: *mut c_void);

/// Tells that the gradient of a parameter is there, by its place in the list. C++ may call it from any thread, and from several.
pub(crate) type Tell = unsafe extern "C" fn(data: *mut c_void, param: usize);

/// Drops what [`Tell`] gets. This is C++'s last use of it, on any thread.
pub(crate) type DropTold = unsafe extern "C" fn(data: *mut c_void);

unsafe extern "C" {
    pub(crate) fn torch_ext_free_text(text: *mut c_char);
    /// A copy that C++ owns: the other direction.
    pub(crate) fn torch_ext_copy_text(text: *const c_char) -> *mut c_char;
    #[cfg(test)]
    pub(crate) fn torch_ext_throw(kind: i32) -> *mut c_char;

    /// Whether it succeeded; returns no text, unlike the others.
    pub(crate) fn torch_ext_keep_freed_memory() -> bool;

    /// One of `Numbers` in `cpp/plain.h`; returns no text.
    pub(crate) fn torch_ext_numbers_of(x: *const C_tensor) -> i32;
    /// The tensor has memory.
    pub(crate) fn torch_ext_is_unshared(x: *const C_tensor) -> bool;

    /// The limit as an index in `Isa` of `cpp/isa.h`, -1 without a limit, -2 if the variable is invalid; returns no
    /// text.
    pub(crate) fn torch_ext_isa_limit() -> i32;

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

    /// The caller owns `*out`, on this thread.
    pub(crate) fn torch_ext_inference_begin(out: *mut *mut InferenceMode) -> *mut c_char;
    pub(crate) fn torch_ext_inference_end(mode: *mut InferenceMode);

    /// `cuda` is the index of a device, here and below; the caller owns `*out`.
    pub(crate) fn torch_ext_side_new(cuda: i32, out: *mut *mut Side) -> *mut c_char;
    pub(crate) fn torch_ext_side_free(side: *mut Side);
    pub(crate) fn torch_ext_side_enter(side: *mut Side) -> *mut c_char;
    /// Must be called on the thread that entered.
    pub(crate) fn torch_ext_side_leave(side: *mut Side) -> *mut c_char;
    pub(crate) fn torch_ext_synchronize(cuda: i32) -> *mut c_char;
    pub(crate) fn torch_ext_device_exchange(cuda: i32, before: *mut i32) -> *mut c_char;
    pub(crate) fn torch_ext_stream_native(cuda: i32, out: *mut *mut c_void) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_event_record(cuda: i32, out: *mut *mut Event) -> *mut c_char;
    pub(crate) fn torch_ext_event_query(event: *const Event, is_over: *mut bool) -> *mut c_char;
    pub(crate) fn torch_ext_event_wait(event: *const Event) -> *mut c_char;
    pub(crate) fn torch_ext_event_free(event: *mut Event);

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_graph_begin(out: *mut *mut Graph) -> *mut c_char;
    pub(crate) fn torch_ext_graph_end(graph: *mut Graph) -> *mut c_char;
    pub(crate) fn torch_ext_graph_replay(graph: *mut Graph) -> *mut c_char;
    pub(crate) fn torch_ext_graph_free(graph: *mut Graph);

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_pinned(x: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;
    pub(crate) fn torch_ext_copy_ahead(to: *const C_tensor, from: *const C_tensor) -> *mut c_char;
    /// The caller owns `*out`.
    pub(crate) fn torch_ext_download(x: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;

    /// Reads `4 * count` tensors.
    pub(crate) fn torch_ext_listed_adam(
        tensors: *const *const C_tensor,
        count: usize,
        taken: *const C_tensor,
        lr: *const C_tensor,
        divisor: *const C_tensor,
        skipped: *const C_tensor,
        numbers: *const ListedAdam,
    ) -> *mut c_char;
    /// Reads `2 * count` tensors.
    pub(crate) fn torch_ext_listed_average(
        tensors: *const *const C_tensor,
        count: usize,
        weight: *const C_tensor,
    ) -> *mut c_char;
    /// The caller owns `*out`.
    pub(crate) fn torch_ext_listed_norm(
        tensors: *const *const C_tensor,
        count: usize,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    pub(crate) fn torch_ext_set_tf32(on: bool) -> *mut c_char;
    pub(crate) fn torch_ext_tf32(on: *mut bool) -> *mut c_char;

    /// Reads `n` inputs and `m` outputs, writes `m` tensors to `out`, owned by the caller; always takes ownership of
    /// `data`.
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

    /// Reads `count` defined tensors; always takes ownership of `data`.
    pub(crate) fn torch_ext_hooks_set(
        params: *const *const C_tensor,
        count: usize,
        data: *mut c_void,
        tell: Tell,
        drop: DropTold,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_hooks_remove(
        params: *const *const C_tensor,
        count: usize,
        abandon: bool,
    ) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_channels_last(
        x: *const C_tensor,
        kind: i32,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_is_channels_last(x: *const C_tensor, yes: *mut bool) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_join_channels(
        a: *const C_tensor,
        b: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

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

    pub(crate) fn torch_ext_draw_key(key: *mut u64) -> *mut c_char;
    /// The caller owns `*out`.
    pub(crate) fn torch_ext_dropout(
        x: *const C_tensor,
        key: u64,
        dropped: i64,
        lanes: i64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    /// Whether `own` of the next function has an effect; returns no text, unlike the others.
    pub(crate) fn torch_ext_conv2d_is_own() -> bool;
    /// The caller owns `*out`.
    pub(crate) fn torch_ext_conv2d(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        own: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;

    /// The caller owns `*out`.
    pub(crate) fn torch_ext_store_serve(
        host: *const c_char,
        port: u16,
        timeout_ms: i64,
        taken: *mut u16,
        out: *mut *mut Store,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_store_free(store: *mut Store);

    /// `interface` and `address` may be empty; the caller owns `*out`.
    pub(crate) fn torch_ext_group_join(
        host: *const c_char,
        port: u16,
        serves: bool,
        prefix: *const c_char,
        interface: *const c_char,
        address: *const c_char,
        rank: i32,
        size: i32,
        timeout_ms: i64,
        out: *mut *mut Group,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_group_free(group: *mut Group);
    /// The tensors of these functions are dense, contiguous and in host memory.
    pub(crate) fn torch_ext_group_all_reduce(
        group: *mut Group,
        x: *const C_tensor,
        timeout_ms: i64,
    ) -> *mut c_char;
    /// The caller owns `*out`. Another thread writes to the memory of `x`, which the sum keeps, until it is finished.
    pub(crate) fn torch_ext_group_begin_all_reduce(
        group: *mut Group,
        x: *const C_tensor,
        timeout_ms: i64,
        out: *mut *mut Sum,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_sum_finish(sum: *mut Sum) -> *mut c_char;
    pub(crate) fn torch_ext_sum_free(sum: *mut Sum);
    pub(crate) fn torch_ext_group_broadcast(
        group: *mut Group,
        x: *const C_tensor,
        from: i32,
        timeout_ms: i64,
    ) -> *mut c_char;
    /// `all` has a row like `x` for every rank.
    pub(crate) fn torch_ext_group_all_gather(
        group: *mut Group,
        x: *const C_tensor,
        all: *const C_tensor,
        timeout_ms: i64,
    ) -> *mut c_char;
    pub(crate) fn torch_ext_group_barrier(group: *mut Group, timeout_ms: i64) -> *mut c_char;
}
