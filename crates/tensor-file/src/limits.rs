//! What is refused for its size alone. All of it is far above any model this toolkit runs.

/// Bytes of a file: 64 GiB.
pub const MAX_FILE_BYTES: u64 = 64 << 30;

/// Bytes of a header: 16 MiB, some hundred for each of the most tensors.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Tensors of a file.
pub const MAX_TENSORS: usize = 100_000;

/// Strings under `__metadata__`.
pub const MAX_METADATA: usize = 10_000;

/// Bytes of a tensor's name.
pub const MAX_NAME_BYTES: usize = 512;

/// Dimensions of a tensor.
pub const MAX_RANK: usize = 16;
