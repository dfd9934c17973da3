//! The exit code of an error, by its kind.

use std::io;

use config::ConfigError;
use dataset::DatasetError;
use distributed::DistributedError;
use features::FeaturesError;
use interchange::InterchangeError;
use metrics::MetricsError;
use run_images::DataError;
use tensor_io::TensorIoError;
use trainer::{CheckpointError, TrainerError, is_out_of_memory};
use unet::BackboneError;

use super::{RankFailed, Usage, WrongData, chain_text};

/// Any failure without a code of its own.
pub(super) const FAILED: u8 = 1;
/// Flags or configuration are wrong.
pub(crate) const USAGE: u8 = 2;
/// Training diverged.
const DIVERGED: u8 = 3;
/// The data is wrong.
pub(super) const DATA: u8 = 4;
/// A checkpoint or a file of weights is invalid.
const CHECKPOINT: u8 = 5;
/// Disk or memory is full, the run is in use by another process, or its files cannot be read.
pub(crate) const RESOURCES: u8 = 6;
/// Another rank failed or has gone; that one has the reason.
pub(crate) const OTHER_RANK: u8 = 7;

/// Whether the same command fails in the same way again: wrong flags or data, and a run that diverged.
pub(crate) fn is_final(code: u8) -> bool {
    [USAGE, DIVERGED, DATA].contains(&code)
}

/// The exit code of an error, by its kind.
pub(super) fn code_of(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_usage) {
        return USAGE;
    }
    if let Some(failed) = error.chain().find_map(|cause| cause.downcast_ref::<RankFailed>()) {
        return failed.code;
    }
    // Check for a full disk first, whatever was being written.
    if is_out_of_memory(&chain_text(error)) || error.chain().flat_map(unboxed).any(is_out_of_room) {
        return RESOURCES;
    }
    error.chain().flat_map(unboxed).find_map(code_of_cause).unwrap_or(FAILED)
}

/// A link of the chain, and an error wrapped in it that is not a link itself.
pub(super) fn unboxed<'a>(
    link: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(link), |&link| match (link.downcast_ref(), link.downcast_ref()) {
        (Some(TrainerError::Caller(inner)), _) => Some(&**inner as &'a (dyn std::error::Error + 'static)),
        (Some(TrainerError::Tensors(inner)), _) | (_, Some(FeaturesError::Tensors(inner))) => Some(inner),
        (_, Some(FeaturesError::Data(inner))) => Some(inner),
        _ => unboxed_data(link),
    })
}

/// The error within one of images.
fn unboxed_data<'a>(
    link: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match (link.downcast_ref(), link.downcast_ref()) {
        (Some(DataError::Data { error }), _) => Some(error),
        (Some(DataError::Of { error, .. }), _) => Some(&**error),
        (_, Some(DatasetError::Io { source, .. })) => Some(source),
        _ => None,
    }
}

/// An unreadable checkpoint may be valid: the obstacle is elsewhere.
fn code_of_checkpoint(error: &CheckpointError) -> u8 {
    match error {
        CheckpointError::Unreadable { .. } | CheckpointError::File { .. } | CheckpointError::Write { .. } => {
            RESOURCES
        }
        _ => CHECKPOINT,
    }
}

fn code_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    // The same crate writes results, which are not data.
    let writing = matches!(cause.downcast_ref(), Some(DatasetError::Io { action: "write", .. }));
    let config = cause.downcast_ref::<ConfigError>();
    if matches!(config, Some(ConfigError::OtherRun { .. })) {
        return Some(CHECKPOINT);
    }
    let data = cause.downcast_ref::<DataError>();
    if let Some(DistributedError::Lost { .. } | DistributedError::Meeting { .. }) = cause.downcast_ref() {
        return Some(OTHER_RANK);
    }
    if cause.is::<InterchangeError>() {
        return Some(CHECKPOINT);
    }
    if data.is_some_and(DataError::is_data)
        || cause.is::<MetricsError>()
        || (cause.is::<DatasetError>() && !writing)
        || cause.is::<WrongData>()
    {
        return Some(DATA);
    }
    if let Some(BackboneError::NotFinite { .. }) = cause.downcast_ref() {
        return Some(CHECKPOINT);
    }
    match cause.downcast_ref() {
        Some(FeaturesError::Diverged { .. }) => return Some(DIVERGED),
        Some(FeaturesError::Training { .. } | FeaturesError::Images { .. }) => return Some(DATA),
        Some(FeaturesError::Metadata { .. }) => return Some(CHECKPOINT),
        _ => {}
    }
    match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(TrainerError::NonFinite { .. } | TrainerError::NonFiniteWeights { .. }), _) => Some(DIVERGED),
        (Some(TrainerError::OtherRank { .. }), _) => Some(OTHER_RANK),
        (Some(TrainerError::InUse { .. } | TrainerError::File { .. }), _) => Some(RESOURCES),
        (Some(TrainerError::Checkpoint(error)), _) => Some(code_of_checkpoint(error)),
        (Some(TrainerError::Replaced { .. }), _) => Some(RESOURCES),
        (_, Some(TensorIoError::Read(_) | TensorIoError::Mismatch { .. })) => Some(CHECKPOINT),
        _ => None,
    }
}

/// The disk is full, or too many files are open.
pub(crate) fn is_out_of_room(cause: &(dyn std::error::Error + 'static)) -> bool {
    is_full_disk(cause) || is_out_of_handles(cause)
}

pub(super) fn is_out_of_handles(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(files::is_out_of_handles)
}

fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let full = |e: &io::Error| matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge);
    cause.downcast_ref().is_some_and(full)
}

fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    use DistributedError::{Missing, NoNccl, Value};
    use InterchangeError::{NotExpressible, NotInOnnx, TooLarge};
    cause.is::<Usage>()
        // The model is sound, but does not fit the format.
        || matches!(cause.downcast_ref(), Some(NotExpressible { .. } | NotInOnnx { .. } | TooLarge { .. }))
        || matches!(cause.downcast_ref(), Some(Missing { .. } | Value { .. } | NoNccl { .. }))
        || matches!(
            cause.downcast_ref(),
            Some(TrainerError::OptimalPairing | TrainerError::DividedOnSome { .. })
        )
        || cause.downcast_ref::<ConfigError>().is_some_and(ConfigError::is_usage)
        || cause.downcast_ref::<DataError>().is_some_and(DataError::is_usage)
}

#[cfg(test)]
mod tests {
    use super::super::{guard, usage, wrong_data};
    use super::*;
    use crate::exit::ExitCode;

    #[test]
    fn exit_codes_tell_usage_from_failure() {
        let code = |result: anyhow::Result<ExitCode>| format!("{:?}", guard(false, || result));
        assert_eq!(code(Ok(ExitCode::SUCCESS)), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Err(anyhow::anyhow!("x"))), format!("{:?}", ExitCode::from(1)));
        let wrong = usage(anyhow::anyhow!("x")).context("while reading flags");
        assert_eq!(code(Err(wrong)), format!("{:?}", ExitCode::from(2)));
        let nan = TrainerError::NonFinite { what: "the loss", value: f64::NAN, step: 3, lr: 0.1 };
        assert_eq!(code(Err(nan.into())), format!("{:?}", ExitCode::from(3)));
        let data = TrainerError::Caller(Box::new(DatasetError::PrefetchEnded));
        assert_eq!(code(Err(data.into())), format!("{:?}", ExitCode::from(4)));
        let path = std::path::PathBuf::from("a");
        let hurt = TrainerError::from(CheckpointError::altered(&path, "size", 8, 4));
        assert_eq!(code(Err(hurt.into())), format!("{:?}", ExitCode::from(5)));
        let unreadable = CheckpointError::Unreadable {
            path: path.clone(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let unreadable = TrainerError::from(unreadable);
        assert_eq!(code(Err(unreadable.into())), format!("{:?}", ExitCode::from(6)));
        let full = TrainerError::File { path, source: io::ErrorKind::StorageFull.into() };
        assert_eq!(code(Err(full.into())), format!("{:?}", ExitCode::from(6)));
        let boxed = TrainerError::Caller(Box::new(io::Error::from(io::ErrorKind::StorageFull)));
        assert_eq!(code(Err(boxed.into())), format!("{:?}", ExitCode::from(6)));
        let lost = DistributedError::Lost { rank: 0, size: 2, what: "x", found: "y".into() };
        let lost = TrainerError::Caller(Box::new(lost));
        assert_eq!(code(Err(lost.into())), format!("{:?}", ExitCode::from(7)));
        let other = TrainerError::OtherRank { rank: 1, failure: "failed", step: 3 };
        assert_eq!(code(Err(other.into())), format!("{:?}", ExitCode::from(7)));
        let failed = RankFailed { text: "rank 1".into(), code: 137 };
        assert_eq!(code(Err(anyhow::Error::new(failed))), format!("{:?}", ExitCode::from(137)));
        assert_eq!(
            code(Err(DistributedError::NoNccl { rank: 1, reason: "x".into() }.into())),
            format!("{:?}", ExitCode::from(2))
        );
        let text = |text: &str| text.to_owned();
        let other = InterchangeError::NotExpressible { key: text("k"), got: text("x"), reason: text("y") };
        assert_eq!(
            code(Err(anyhow::Error::new(other).context("export"))),
            format!("{:?}", ExitCode::from(2))
        );
        let hurt = InterchangeError::MissingWeight { name: text("w") };
        assert_eq!(code(Err(hurt.into())), format!("{:?}", ExitCode::from(5)));
        let files = anyhow::Error::new(io::Error::from_raw_os_error(24)).context("a.png");
        assert_eq!(code(Err(files)), format!("{:?}", ExitCode::from(6)));
        assert_eq!(code(Err(wrong_data("x".into()).context("--data"))), format!("{:?}", ExitCode::from(4)));
        let memory = anyhow::anyhow!("CUDA out of memory. Tried to allocate");
        assert_eq!(code(Err(memory)), format!("{:?}", ExitCode::from(6)));
        assert_eq!(format!("{:?}", guard(false, || panic!("boom"))), format!("{:?}", ExitCode::from(1)));
    }
}
