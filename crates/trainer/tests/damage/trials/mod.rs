//! Damages the newest of two checkpoints, one damage at a time.

mod kinds;
mod place;
mod resigned;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};

use random::{Purpose, Stream};
use trainer::{BoxError, Checkpoint, TrainerError, latest_checkpoint};

pub(crate) use kinds::KINDS;
use place::{NEWEST_STEP, OLDER_STEP, Place, Template, numbers, trainer};

/// What a refusal must name.
pub(crate) struct Expected {
    /// The file or folder; any of them.
    pub(crate) files: Vec<&'static str>,
    /// The tensor, if a tensor is damaged.
    pub(crate) tensor: Option<&'static str>,
    /// Whether the folder itself is valid: its manifest matches, but it belongs to another run.
    pub(crate) foreign: bool,
    /// Whether the checkpoint may be valid but cannot be read here; then the previous one is not used instead.
    pub(crate) unreadable: bool,
}

/// The outcome.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) tried: u64,
    pub(crate) refused: u64,
    pub(crate) panics: u64,
    pub(crate) by_kind: BTreeMap<&'static str, u64>,
    pub(crate) complaints: Vec<String>,
}

/// Damages a checkpoint `count` times, cycling through the kinds. Draws depend on the seed and the trial.
///
/// # Errors
/// A checkpoint cannot be made or damaged; nothing was tested then.
pub(crate) fn run(count: u64, seed: u64) -> Result<Report, BoxError> {
    let template = Template::new()?;
    let mut report = Report::default();
    for trial in 0..count {
        let (kind, damage) = KINDS[trial as usize % KINDS.len()];
        let mut draws = Stream::new(seed, Purpose::Evaluate, trial, 0);
        let place = template.copy()?;
        let expected = damage(&place, &mut draws)?;
        report.tried += 1;
        *report.by_kind.entry(kind).or_insert(0) += 1;
        match panic::catch_unwind(AssertUnwindSafe(|| refusal(&place, &expected))) {
            Ok(Ok(())) => report.refused += 1,
            Ok(Err(complaint)) => report.complaints.push(format!("trial {trial}, {kind}: {complaint}")),
            Err(_) => {
                report.panics += 1;
                report.complaints.push(format!("trial {trial}, {kind}: a panic"));
            }
        }
    }
    Ok(report)
}

/// Tries to use the damaged checkpoint, and checks the error and the state it leaves.
fn refusal(place: &Place, expected: &Expected) -> Result<(), BoxError> {
    let (params, mut trainer) = trainer()?;
    let before = numbers(&params)?;
    let newest = place.newest();
    let answer = Checkpoint::open(&newest).and_then(|checkpoint| checkpoint.restore(&mut trainer));
    let Err(error) = answer else { return Err("it was accepted".into()) };
    let message = error.to_string();
    // Folder names must not count as file names.
    let told = message.replace(&place.path().display().to_string(), "");
    let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {message}")) };
    ensure(expected.files.iter().any(|file| told.contains(file)), &format!("none of {:?}", expected.files))?;
    ensure(expected.tensor.is_none_or(|tensor| told.contains(tensor)), "the tensor is not named")?;
    let said = told.contains("expected") || matches!(error, TrainerError::Tensors(_));
    let said = said || (expected.unreadable && told.contains("cannot be read"));
    ensure(said, "not what was expected")?;
    ensure(!message.contains('\n'), "more than one line")?;
    ensure(trainer.steps_done() == 0 && numbers(&params)? == before, "the trainer has changed")?;

    let latest = latest_checkpoint(place.path());
    if expected.unreadable {
        return Ok(ensure(latest.is_err(), "the one before was taken")?);
    }
    let (found, refused) = latest?;
    let step = found.map(|checkpoint| checkpoint.state.step);
    let (sound, passed_over) = if expected.foreign { (NEWEST_STEP, 0) } else { (OLDER_STEP, 1) };
    ensure(step == Some(sound) && refused.len() == passed_over, &format!("latest is {step:?}"))?;
    Ok(())
}
