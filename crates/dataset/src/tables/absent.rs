//! Stands in for [`super::decode`] in a build without the feature `parquet`, which refuses Parquet files earlier.

use super::Stored;
use super::columns::Physical;

/// There are none.
#[derive(Debug)]
pub(super) enum Rows {}

impl Rows {
    pub(super) fn get(&self, _row: usize) -> Option<&[u8]> {
        match *self {}
    }
}

const MISSING: &str = "this build cannot decompress Parquet files";

pub(super) fn images(_bytes: Vec<u8>, _stored: Stored) -> Result<Rows, String> {
    Err(MISSING.to_owned())
}

pub(super) fn labels(
    _bytes: Vec<u8>,
    _stored: Stored,
    _physical: Physical,
) -> Result<Vec<Option<i64>>, String> {
    Err(MISSING.to_owned())
}
