//! Between libtorch tensors and the world: slices, ndarray, checked safetensors files.
