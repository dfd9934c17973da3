//! Work on gradients that begins while the backward pass still computes others, such as their sums over processes (Li et
//! al. 2020, "PyTorch Distributed", Sec. 3.2).

mod progress;

use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::checkpoint::said;
use crate::error::{TorchExtError, checked};
use crate::ffi;
use progress::Progress;

const CALL: &str = "backward_in_buckets";

/// Runs `backward`, a backward pass, and calls `begin` with the number of a bucket of parameters as soon as the gradients of
/// all of them are there. Buckets begin in their order only, in whatever order gradients come. Returns how many gradients
/// came too late: their bucket had begun, so `begin` has not seen all of them. That happens with parameters that several
/// pieces of [`crate::checkpoint()`] share, since each of them goes backward on its own.
///
/// - A bucket with a parameter that the pass does not reach never begins, nor do those after it. The caller does what is left.
/// - A gradient from an earlier pass does not count. The new one is added to it first, so `begin` sees their sum.
/// - `begin` is called on the thread of the backward pass, which on a GPU is one of libtorch's. No two calls run at the same
///   time. It must not go backward itself.
/// - After an error of `begin` the pass goes on to its end, without further calls.
///
/// # Errors
/// An error of `backward`, or else the one of `begin`; a panic of `begin` is [`TorchExtError::Torch`] with its text.
/// [`TorchExtError::Undefined`] for an undefined parameter; [`TorchExtError::Torch`] for one that is not a leaf that requires
/// a gradient, or that is in two buckets or in a pass like this one already. Then nothing is run.
pub fn backward_in_buckets<E>(
    buckets: &[Vec<Tensor>],
    begin: &mut (dyn FnMut(usize) -> Result<(), E> + Send),
    backward: impl FnOnce() -> Result<(), E>,
) -> Result<usize, E>
where
    E: From<TorchExtError> + Send,
{
    let mut failure = None;
    let mut begins = |bucket| {
        // Nothing may unwind into C++. After a panic `begin` is not called again.
        let result = catch_unwind(AssertUnwindSafe(|| begin(bucket)));
        let panicked = |text| Err(TorchExtError::Torch { call: CALL, text }.into());
        match result.unwrap_or_else(|panic| panicked(said(panic))) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    };
    let mut hooks = Hooks::set(buckets, &mut begins)?;
    let result = backward();
    hooks.is_over = result.is_ok();
    let late = hooks.shared.lock().progress.late();
    drop(hooks);
    result?;
    match failure {
        Some(error) => Err(error),
        None => Ok(late),
    }
}

/// Begins a bucket, and returns whether the next may begin.
type Begin<'a> = &'a mut (dyn FnMut(usize) -> bool + Send);

/// What all hooks of a pass share.
struct Shared(Mutex<Held>);

struct Held {
    progress: Progress,
    /// None after a failure and after the pass. What it borrows is valid for as long as it is here.
    begin: Option<Begin<'static>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, param: usize) {
        let mut held = self.lock();
        let Held { progress, begin } = &mut *held;
        progress.arrived(param);
        while let Some(call) = begin.as_mut()
            && let Some(bucket) = progress.next()
        {
            if !call(bucket) {
                *begin = None;
            }
        }
    }
}

/// The hooks of a pass, until this is dropped. It must not be leaked, so it stays in this file.
struct Hooks<'a> {
    params: Vec<Tensor>,
    shared: Arc<Shared>,
    /// Whether the pass has ended without an error: then no thread is in a hook any more.
    is_over: bool,
    begin: PhantomData<Begin<'a>>,
}

impl<'a> Hooks<'a> {
    fn set(buckets: &[Vec<Tensor>], begin: Begin<'a>) -> Result<Self, TorchExtError> {
        let params: Vec<Tensor> = buckets.iter().flatten().map(Tensor::shallow_clone).collect();
        if params.iter().any(|param| !param.defined()) {
            return Err(TorchExtError::Undefined { what: "a parameter" });
        }
        // SAFETY: only the lifetime changes. Hooks alone use the reference, under the lock of `Shared`, and under that lock
        // `drop` takes it away before 'a ends. If no hook is set, nothing uses it.
        let begin = unsafe { mem::transmute::<Begin<'a>, Begin<'static>>(begin) };
        let progress = Progress::new(buckets.iter().map(Vec::len));
        let shared = Arc::new(Shared(Mutex::new(Held { progress, begin: Some(begin) })));
        // Passing the pointer below to C++ requires this bound.
        fn shared_by_threads<T: Send + Sync + 'static>(value: Arc<T>) -> *mut c_void {
            Arc::into_raw(value).cast_mut().cast()
        }
        let (pointers, data) = (pointers(&params), shared_by_threads(Arc::clone(&shared)));
        // SAFETY: the pointers belong to tensors that live for the call, and their number is passed. `data` is an
        // `Arc<Shared>`, which both functions expect; C++ calls `drop_shared` once, after its last `tell`, on any thread.
        let text =
            unsafe { ffi::torch_ext_hooks_set(pointers.as_ptr(), pointers.len(), data, tell, drop_shared) };
        checked(CALL, text)?;
        Ok(Self { params, shared, is_over: false, begin: PhantomData })
    }
}

impl Drop for Hooks<'_> {
    fn drop(&mut self) {
        // Waits for a hook that still runs on another thread. Later ones find nothing to call.
        self.shared.lock().begin = None;
        let pointers = pointers(&self.params);
        // SAFETY: these tensors have the hooks that `set` gave them. When the pass has failed, a thread of libtorch may be about
        // to call one, so they are abandoned: they, and what they share, stay in memory.
        let text = unsafe { ffi::torch_ext_hooks_remove(pointers.as_ptr(), pointers.len(), !self.is_over) };
        // It fails only for tensors that cannot have a hook.
        let _ = checked(CALL, text);
    }
}

fn pointers(params: &[Tensor]) -> Vec<*const C_tensor> {
    params.iter().map(|param| param.as_ptr()).collect()
}

/// Called from a hook.
///
/// # Safety
/// `data` is a `Shared` that lives until `drop_shared`.
unsafe extern "C" fn tell(data: *mut c_void, param: usize) {
    // Nothing may unwind into C++; nothing in here does, since panics of the caller's function are caught earlier.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise.
        unsafe { &*data.cast::<Shared>() }.arrived(param);
    }));
}

/// # Safety
/// `data` came from `Arc::into_raw` of a `Shared`, and is passed exactly once.
unsafe extern "C" fn drop_shared(data: *mut c_void) {
    // SAFETY: the caller's promise. What it drops cannot panic.
    drop(unsafe { Arc::from_raw(data.cast::<Shared>().cast_const()) });
}
