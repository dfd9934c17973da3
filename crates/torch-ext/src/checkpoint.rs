//! Activation checkpointing: trades time for memory (Chen et al. 2016, "Training Deep Nets with Sublinear Memory
//! Cost").

use std::any::Any;
use std::ffi::{CString, c_char, c_void};
use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

use crate::error::{TorchExtError, checked};
use crate::ffi;
use crate::generator::Generators;

const CALL: &str = "checkpoint";

/// Runs `piece(inputs)` and keeps only the inputs for the backward pass. There the piece runs a second time, with
/// gradients, which gives the gradients of the inputs and of the parameters inside the piece. Both are bitwise the same
/// as without checkpointing if the piece depends only on its inputs, its parameters and libtorch's random numbers. The
/// second run starts from the generator state of the first, and the generators are restored afterwards.
///
/// - Inputs may be of any type and shape, on CPU and CUDA; outputs must have a floating type.
/// - A tensor inside the piece that gets a gradient must be a leaf of the graph, as parameters are. Pass computed
///   tensors as inputs.
/// - The outputs require gradients whether or not an input does. If gradients are off, the piece runs once and nothing
///   is kept.
/// - The backward pass must be for all parameters: `backward`, not gradients of chosen tensors, and no gradient of a
///   gradient. Both are refused.
/// - Pieces may contain pieces.
/// - The gradients of an input that a piece uses several times are summed before those of its other uses. Floating-point
///   sums depend on the order, so without checkpointing such an input must go through a separate node (`Tensor::alias`)
///   to get the same bits.
///
/// The second run is on the thread of the backward pass: the caller's on the CPU, one of libtorch's on a GPU.
///
/// The second run is on the thread of the backward pass: the caller's on the CPU, one of libtorch's on a GPU.
///
/// # Errors
/// Any error of the piece in its first run. [`TorchExtError::Undefined`], [`TorchExtError::UnknownDevice`] and
/// [`TorchExtError::Kind`] for inputs and outputs; [`TorchExtError::Torch`] when libtorch refuses, for example for lack
/// of memory. An error or a panic in the second run is an error of `backward`, with its text.
pub fn checkpoint<E, F>(inputs: &[&Tensor], piece: F) -> Result<Vec<Tensor>, E>
where
    E: Display + From<TorchExtError>,
    F: Fn(&[&Tensor]) -> Result<Vec<Tensor>, E> + Send + 'static,
{
    if inputs.iter().any(|input| !input.defined()) {
        return Err(TorchExtError::Undefined { what: "an input" }.into());
    }
    let generators = Generators::of(inputs)?;
    let outputs = {
        let _no_grad = tch::no_grad_guard();
        piece(inputs)?
    };
    check(&outputs)?;
    let made = outputs.iter().map(|output| (output.size(), output.kind())).collect();
    Ok(with_node(inputs, &outputs, Piece { held: Mutex::new((piece, generators)), made })?)
}

fn check(outputs: &[Tensor]) -> Result<(), TorchExtError> {
    for output in outputs {
        if !output.defined() {
            return Err(TorchExtError::Undefined { what: "an output" });
        }
        if !output.is_floating_point() {
            let (what, expected) = ("an output", "a floating type");
            return Err(TorchExtError::Kind { what, got: output.kind(), expected });
        }
    }
    Ok(())
}

/// What the graph keeps of a piece. The closure and the states contain tensors, which may move to another thread but
/// not be used by two threads at once; the lock ensures that.
struct Piece<F> {
    held: Mutex<(F, Generators)>,
    /// Shape and type of each output of the first run.
    made: Vec<(Vec<i64>, Kind)>,
}

/// Attaches the outputs to a node that owns the piece.
fn with_node<E, F>(
    inputs: &[&Tensor],
    outputs: &[Tensor],
    piece: Piece<F>,
) -> Result<Vec<Tensor>, TorchExtError>
where
    E: Display + From<TorchExtError>,
    F: Fn(&[&Tensor]) -> Result<Vec<Tensor>, E> + Send + 'static,
{
    let inputs: Vec<_> = inputs.iter().map(|input| input.as_ptr()).collect();
    let outputs: Vec<_> = outputs.iter().map(Tensor::as_ptr).collect();
    let mut out = vec![ptr::null_mut(); outputs.len()];
    // Passing the pointer below to C++ requires this bound.
    fn shared_by_threads<T: Send + Sync + 'static>(value: T) -> *mut c_void {
        Box::into_raw(Box::new(value)).cast()
    }
    // SAFETY: the pointers belong to tensors borrowed for the call, and the lengths are theirs; `out` has room for all
    // outputs and is written if there is no error. `data` is a `Piece<F>`, which both functions expect. C++ calls
    // `drop_piece` once, after its last `run_piece`, on any thread: the piece is `Send` and `Sync` and borrows nothing.
    let text = unsafe {
        ffi::torch_ext_checkpoint(
            inputs.as_ptr().cast(),
            inputs.len(),
            outputs.as_ptr().cast(),
            outputs.len(),
            shared_by_threads(piece),
            run_piece::<E, F>,
            drop_piece::<F>,
            out.as_mut_ptr(),
        )
    };
    checked(CALL, text)?;
    // SAFETY: without an error these are new tensors with no other owner.
    Ok(out.into_iter().map(|pointer| unsafe { Tensor::from_ptr(pointer) }).collect())
}

/// The second run, called from C++.
///
/// # Safety
/// Those of [`ffi::RunPiece`]; `data` is a `Piece<F>`.
unsafe extern "C" fn run_piece<E, F>(
    data: *mut c_void,
    inputs: *const *const C_tensor,
    n: usize,
    outputs: *mut *mut C_tensor,
    _m: usize,
) -> *mut c_char
where
    E: Display + From<TorchExtError>,
    F: Fn(&[&Tensor]) -> Result<Vec<Tensor>, E>,
{
    // Nothing may unwind into C++. Nobody can observe the piece half changed: it is `Fn`, and any interior state is its
    // own responsibility.
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `data` is a `Piece<F>` that lives until `drop_piece`.
        let piece = unsafe { &*data.cast::<Piece<F>>() };
        let own = |index| {
            // SAFETY: C++ lends `n` pointers to tensors for the duration of the call, and no array if `n` is 0. This
            // takes a shallow copy; the cast only adds `mut`, which the copy does not use.
            unsafe { Tensor::clone_from_ptr((*inputs.add(index)).cast_mut()) }
        };
        let inputs: Vec<Tensor> = (0..n).map(own).collect();
        piece.run(&inputs).map_err(|error| error.to_string())
    }));
    match result.unwrap_or_else(|panic| Err(said(panic))) {
        Ok(tensors) => {
            for (index, tensor) in tensors.into_iter().enumerate() {
                // SAFETY: there are as many as in the first run, for which C++ has room. The tensor is not dropped here,
                // so C++ owns it.
                unsafe { *outputs.add(index) = ManuallyDrop::new(tensor).as_mut_ptr() };
            }
            ptr::null_mut()
        }
        Err(text) => {
            let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
            // SAFETY: a C string, which is copied.
            unsafe { ffi::torch_ext_copy_text(text.as_ptr()) }
        }
    }
}

impl<F> Piece<F> {
    /// Runs the piece and checks that its outputs are like those of the first run.
    fn run<E>(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, E>
    where
        E: Display + From<TorchExtError>,
        F: Fn(&[&Tensor]) -> Result<Vec<Tensor>, E>,
    {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (piece, generators) = &*held;
        let outputs = generators.replay(|| piece(&inputs))??;
        check(&outputs)?;
        let made: Vec<_> = outputs.iter().map(|output| (output.size(), output.kind())).collect();
        if made != self.made {
            // libtorch would sum up a gradient whose shape differs but broadcasts.
            let text = format!("outputs of {made:?}, of {:?} in the first run", self.made);
            return Err(TorchExtError::Torch { call: CALL, text }.into());
        }
        Ok(outputs)
    }
}

/// The text of a panic.
pub(crate) fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("no text"))
}

/// # Safety
/// Those of [`ffi::DropPiece`]; `data` is a `Piece<F>` that is no longer used.
unsafe extern "C" fn drop_piece<F>(data: *mut c_void) {
    // A closure that panics while dropping leaks what is left.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the pointer came from `Box::into_raw` of this type, and is returned exactly once.
        drop(unsafe { Box::from_raw(data.cast::<Piece<F>>()) });
    }));
}
