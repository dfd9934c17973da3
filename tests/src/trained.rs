//! A small trained run, for tests of what can be done with one.

use std::path::Path;

use serde_json::Value;

use crate::place::Place;

/// A few steps on a few images. Its samples are noise, which is enough here.
const TRAIN: &str = "train --preset tiny-16 --run run --set train.steps=6 --set train.batch=8 --set data.limit=40 \
                     --set sample.count=4 --set sample.steps=4 --set train.log_every=2 \
                     --set train.checkpoint_every=3 --set precision=f32 --json";

/// A folder, emptied, with a run of 6 steps in `run`, checkpoints at 3 and 6.
///
/// # Panics
/// When the program is not built or cannot train, since no test of the file could continue.
#[must_use]
pub fn trained(folder: &Path) -> Place {
    let place = Place::shared(folder).expect("a folder for the tests");
    let said = place.ddpm(TRAIN).expect("the built program").json();
    assert_eq!((&said["steps"], &said["finished"]), (&Value::from(6), &Value::from(true)));
    place
}
