//! The one crate with unsafe code: what libtorch offers and tch does not bind.
