//! Every function against libtorch's own operations on contiguous copies, for all layouts of inputs and gradients.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod arrange;
mod in_place;
mod maps;
