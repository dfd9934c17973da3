//! Recognises out-of-memory errors, which libtorch reports in many different texts.

use crate::error::TrainerError;

/// Texts of a CUDA device, the CPU allocator, the C++ library, the system, and oneDNN, which gives no reason but has
/// hardly any other.
const TEXTS: [&str; 7] = [
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "could not create a primitive",
    "could not execute a primitive",
];
/// Prefixes to cut from an error's text.
const PREFIXES: [&str; 2] = ["Internal torch error: ", "DefaultCPUAllocator: "];

/// Whether an error's text, or a part of it, reports a lack of memory.
#[must_use]
pub fn is_out_of_memory(text: &str) -> bool {
    TEXTS.iter().any(|known| text.contains(known))
}

/// Turns an error into [`TrainerError::OutOfMemory`] if it is one. `images` of `size` `[b, c, h, w]` were in the network.
pub(crate) fn out_of_memory(error: TrainerError, images: usize, size: &[i64]) -> TrainerError {
    let text = error.to_string();
    let line = text.lines().find(|line| is_out_of_memory(line)).map(str::trim);
    match (line, size) {
        (Some(line), &[_, channels, height, width]) => {
            let rest = |line, prefix| str::split_once(line, prefix).map_or(line, |(_, rest)| rest);
            let found = PREFIXES.into_iter().fold(line, rest).to_owned();
            TrainerError::OutOfMemory { images, image: [channels, height, width], found }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn libtorchs_message_for_too_large_a_tensor_is_recognised() {
        let size = [1_i64 << 30, 1 << 20];
        let error = Tensor::f_empty(size, (Kind::Float, Device::Cpu)).unwrap_err();
        assert!(is_out_of_memory(&error.to_string()), "{error}");
        let error = out_of_memory(error.into(), 4, &[8, 3, 32, 16]).to_string();
        let expected =
            "not enough memory for 4 images of 16x32x3 at the same time (can't allocate memory: you tried";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn other_errors_stay_unchanged() {
        let error = TrainerError::Output { expected: vec![1], got: vec![2] };
        assert!(matches!(out_of_memory(error, 4, &[8, 3, 32, 16]), TrainerError::Output { .. }));
    }
}
