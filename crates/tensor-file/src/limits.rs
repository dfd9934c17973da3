//! Size limits for files. All are far above any model this toolkit runs.

/// Maximum size of a file: 64 GiB.
pub const MAX_FILE_BYTES: u64 = 64 << 30;

/// Maximum size of a header: 16 MiB, over a hundred bytes for each of the maximum number of tensors.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Maximum number of tensors in a file.
pub const MAX_TENSORS: usize = 100_000;

/// Maximum number of strings under `__metadata__`.
pub const MAX_METADATA: usize = 10_000;

/// Maximum length of a tensor's name in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// Maximum number of dimensions of a tensor.
pub const MAX_RANK: usize = 16;
