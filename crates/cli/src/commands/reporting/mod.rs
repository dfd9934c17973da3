//! What the pages of `ddpm figures` and `ddpm compare` show of a run besides its figures.

pub(super) mod cost;
pub(super) mod evaluations;
pub(super) mod machine;
pub(super) mod numbers;
pub(super) mod scores;
pub(super) mod settings;
