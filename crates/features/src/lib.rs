//! Networks that turn images into features, so that generated images can be compared with real ones: by the Frechet
//! distance and its relatives in crate `metrics`. `cargo run -p features --example distance` compares some.
//!
//! | network | features | distance |
//! |---|---|---|
//! | the shipped classifier ([`Extractor::fashion`]) | its 128 penultimate activations | "FD (fashion features)" |
//! | a classifier of your own images ([`Extractor::open`]) | the same | "FD (NAME features)" |
//! | InceptionV3, with weights that you supply ([`Extractor::open`]) | its last 2048 means | "FID" |
//!
//! A distance means nothing without the name of its features: numbers of different networks cannot be compared. FID is
//! only the distance with InceptionV3, so no other is called that.

mod classifier;
mod error;
mod extractor;
mod inception;
mod weights;

/// Re-exported because public functions use them: programs get the same versions without dependencies of their own.
pub use {ndarray, tch};

pub use classifier::{About, ClassifierTraining, Selection, TrainOptions, TrainedClassifier};
pub use error::FeaturesError;
pub use extractor::{Extracted, Extractor};
pub use weights::sha256;
