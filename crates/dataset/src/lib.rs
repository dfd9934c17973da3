//! Loads images (embedded set, IDX, CIFAR-10, folders, zip archives, tar shards, Parquet, npy/npz) and makes seeded
//! batches of them. Sets that do not fit in memory are streamed: see [`Dataset::is_streamed`]. Parquet needs the feature
//! `parquet`.
//!
//! Pixels are u8 `[h, w, c]` in a [`Dataset`] and f32 `[b, c, h, w]` in [-1, 1] in a [`Batch`]. Every byte from outside
//! is checked before anything of the size it claims is allocated. The images of a batch are a function of (seed, step,
//! rank): see [`BatchPlan`]. `cargo run -p dataset --example batches -- photos/` prints batches of a folder.
//!
//! ```
//! use dataset::{BatchPlan, Dataset, OpenOptions, Source};
//! let options = OpenOptions { pad_to_multiple: Some(8), ..OpenOptions::default() };
//! let set = Dataset::open(&Source::detect("fashion-mnist:test")?, &options)?;
//! let plan = BatchPlan::new(set.len(), 64, 7)?.with_flip(true);
//! let batch = plan.batch(&set, 1000)?;
//! assert_eq!(batch.images.dim(), (64, 1, 32, 32));
//! # Ok::<(), dataset::DatasetError>(())
//! ```

mod array;
mod array_names;
mod arrays;
mod batches;
mod block_buffer;
mod cache;
mod cifar;
mod cifar_files;
mod containers;
mod convert;
mod decode;
mod decoding;
mod embedded;
mod encoded;
mod error;
mod fingerprint;
mod folder;
mod gif_frame;
mod growing;
mod handles;
mod idx;
mod image_archive;
mod image_file;
mod image_format;
mod items;
mod jpeg;
mod kind_of_file;
mod known_files;
mod labels;
mod limits;
mod mask;
mod npy;
mod npy_header;
mod npz;
mod npz_write;
mod options;
mod order;
mod padding;
mod parts;
mod pixels;
mod prefetch;
mod ranges;
mod region;
mod scan;
mod set;
mod shard_names;
mod shard_scan;
mod shards;
mod size;
mod source;
mod split;
mod spool;
mod store;
mod stream;
mod tables;
mod tar;
mod tar_members;
mod tiff_directory;
mod unread;
mod vary;
mod zip_entry;

/// Re-exported because public functions use it: programs get the same version without a dependency of their own.
pub use ndarray;

pub use array::AnyArray;
pub use arrays::to_images;
pub use batches::{Batch, BatchPlan};
pub use cifar::{CIFAR10_CLASSES, CifarBatch, CifarKind, parse_cifar, recognise_cifar};
pub use convert::{from_model, to_model};
pub use embedded::FASHION_MNIST_CLASSES;
pub use error::DatasetError;
pub use growing::GrowingNpy;
pub use idx::parse_idx;
pub use image_file::{encode_png, image_size, parse_image, read_image, resize, save_png};
pub use kind_of_file::FileKind;
pub use labels::to_labels;
pub use mask::to_mask;
pub use npy::{Element, encode_npy, parse_npy, read_npy, write_npy};
pub use npz::Npz;
pub use npz_write::{encode_npz, write_npz};
pub use options::{OnBad, OpenOptions};
pub use order::Order;
pub use padding::Padding;
pub use pixels::Fit;
pub use prefetch::Prefetch;
pub use region::{Region, RegionError};
pub use scan::class_labels;
pub use set::Dataset;
pub use shard_names::is_shard_pattern;
pub use size::Size;
pub use source::Source;
pub use split::Split;
pub use tables::{ParquetHeaders, ParquetPage, parquet_headers};
