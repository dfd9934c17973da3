//! Memory that is not there, as libtorch reports it: as one of many texts.

use crate::error::TrainerError;

/// In the texts of a CUDA device, of the allocator of the CPU, of the C++ library, of the system, and of the library of
/// convolutions, which keeps its reason to itself and has hardly another.
const TEXTS: [&str; 7] = [
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "could not create a primitive",
    "could not execute a primitive",
];
/// In front of what an error has to say.
const PREFIXES: [&str; 2] = ["Internal torch error: ", "DefaultCPUAllocator: "];

/// Whether an error's text, or a part of it, says that memory is missing.
#[must_use]
pub fn is_out_of_memory(text: &str) -> bool {
    TEXTS.iter().any(|known| text.contains(known))
}

/// The same error as [`TrainerError::OutOfMemory`], if that is what it is. `images` of `size` `[b, c, h, w]` were at work.
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
    fn what_libtorch_says_of_too_large_a_tensor_is_known() {
        let size = [1_i64 << 30, 1 << 20];
        let error = Tensor::f_empty(size, (Kind::Float, Device::Cpu)).unwrap_err();
        assert!(is_out_of_memory(&error.to_string()), "{error}");
        let error = out_of_memory(error.into(), 4, &[8, 3, 32, 16]).to_string();
        let expected =
            "not enough memory for 4 images of 32x16x3 at the same time (can't allocate memory: you tried";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn other_errors_stay_what_they_are() {
        let error = TrainerError::Output { expected: vec![1], got: vec![2] };
        assert!(matches!(out_of_memory(error, 4, &[8, 3, 32, 16]), TrainerError::Output { .. }));
    }
}
