//! How errors reach the user: one line with what failed, where, what was expected and found, and what to do, without
//! panics or backtraces.

use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};

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

use crate::diagnostics::Diagnostics;
use crate::exit::ExitCode;
use crate::{rank_log, ranks};

/// Any failure without a code of its own.
const FAILED: u8 = 1;
/// Flags or configuration are wrong.
pub(crate) const USAGE: u8 = 2;
/// Training diverged.
const DIVERGED: u8 = 3;
/// The data is wrong.
const DATA: u8 = 4;
/// A checkpoint or a file of weights is invalid.
const CHECKPOINT: u8 = 5;
/// Disk or memory is full, the run is in use by another process, or its files cannot be read.
pub(crate) const RESOURCES: u8 = 6;
/// Another rank failed or has gone; that one has the reason.
pub(crate) const OTHER_RANK: u8 = 7;

/// A mistake in flags or configuration, as opposed to something that failed.
#[derive(Debug)]
pub(crate) struct Usage(anyhow::Error);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Print the whole chain, since `Usage` hides its sources from the printer.
        f.write_str(&chain_text(&self.0))
    }
}

impl std::error::Error for Usage {}

/// Marks an error as a usage error.
pub(crate) fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(Usage(error.into()))
}

/// `bail!` for usage errors.
macro_rules! bail_usage {
    ($($arg:tt)*) => { return Err($crate::failure::usage(anyhow::anyhow!($($arg)*))) };
}
pub(crate) use bail_usage;

/// The images are not the expected ones.
#[derive(Debug)]
pub(crate) struct WrongData(String);

impl fmt::Display for WrongData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongData {}

/// An error for images that are not the expected ones.
pub(crate) fn wrong_data(text: String) -> anyhow::Error {
    anyhow::Error::new(WrongData(text))
}

/// A rank that [`crate::commands::launch`] started has failed.
#[derive(Debug)]
pub(crate) struct RankFailed {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl fmt::Display for RankFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for RankFailed {}

/// Runs the program and maps every outcome to an exit code; `verbose` shows errors in full.
pub(crate) fn guard(verbose: bool, run: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    // Silence the default hook, which prints a location and a backtrace; `catch_unwind` returns the message.
    if !verbose {
        panic::set_hook(Box::new(|_| {}));
    }
    let (message, code) = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) => (told(&error), code_of(&error)),
        Err(payload) => (format!("unexpected: {}", panic_text(&*payload)), FAILED),
    };
    // Among the ranks of a launcher, the one with the reason reports it.
    if code == OTHER_RANK && ranks::is_launched() && ranks::is_first() {
        return ExitCode::from(code);
    }
    report(&message, verbose);
    ExitCode::from(code)
}

/// Whether the same command fails in the same way again: wrong flags or data, and a run that diverged.
pub(crate) fn is_final(code: u8) -> bool {
    [USAGE, DIVERGED, DATA].contains(&code)
}

/// The exit code of an error, by its kind.
fn code_of(error: &anyhow::Error) -> u8 {
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
fn unboxed<'a>(
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

fn is_out_of_handles(cause: &(dyn std::error::Error + 'static)) -> bool {
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

/// The text of an error, with advice if the system's message gives none.
fn told(error: &anyhow::Error) -> String {
    let too_large = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::FileTooLarge)
    };
    let text = chain_text(error);
    if error.chain().flat_map(unboxed).any(too_large) {
        return format!(
            "{text}; raise the limit on file size (`ulimit -f`), or write to another file system"
        );
    }
    if error.chain().flat_map(unboxed).any(is_out_of_handles) {
        return format!("{text}; raise the limit on open files (`ulimit -n`)");
    }
    text
}

/// The error and its causes, outermost first. Skips a cause that the text already contains.
fn chain_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints the last line of a failed program.
fn report(message: &str, verbose: bool) {
    // A file name in the message may contain anything.
    let message = if verbose { files::printable(message).into_owned() } else { one_line(message) };
    let line = format!("error: {message}\n");
    rank_log::write(line.as_bytes());
    let _ = Diagnostics.write_all(line.as_bytes());
}

/// Cuts the C++ frames off libtorch's messages, and adds advice to out-of-memory errors.
fn one_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown error").trim();
    if is_out_of_memory(message) {
        return format!("{line}; use train --batch auto, a smaller batch, or a smaller model");
    }
    files::printable_line(line).into_owned()
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the program panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let refused = DistributedError::NoNccl { rank: 1, reason: "x".into() };
        assert_eq!(code(Err(refused.into())), format!("{:?}", ExitCode::from(2)));
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

    #[test]
    fn a_limit_on_files_gets_advice() {
        let cause = io::Error::from(io::ErrorKind::FileTooLarge);
        let error = TrainerError::Caller(Box::new(cause));
        let text = told(&anyhow::Error::new(error).context("cannot write a"));
        assert!(text.starts_with("cannot write a: ") && text.contains("`ulimit -f`"), "{text}");
        assert!(!told(&anyhow::anyhow!("cannot write a")).contains("ulimit"));
    }

    /// However deep it is, it is not the fault of the data.
    #[cfg(unix)]
    #[test]
    fn too_many_open_files_are_named_as_such() {
        let read = || DatasetError::Io {
            file: "a.tar".into(),
            action: "read",
            source: io::Error::from_raw_os_error(24),
        };
        let opened = || DataError::from(read());
        for error in [
            anyhow::Error::new(read()),
            TrainerError::Caller(Box::new(read())).into(),
            opened().into(),
            TrainerError::Caller(Box::new(opened())).into(),
            DataError::Of { flag: "--real", error: Box::new(opened()) }.into(),
            FeaturesError::Data(read()).into(),
        ] {
            let text = told(&error);
            assert!(text.contains("cannot read a.tar: ") && text.ends_with("(`ulimit -n`)"), "{text}");
            assert_eq!(text.matches("os error 24").count(), 1, "{text}");
            assert_eq!(code_of(&error), RESOURCES, "{text}");
        }
        let absent =
            DatasetError::Io { file: "a.tar".into(), action: "read", source: io::ErrorKind::NotFound.into() };
        assert_eq!(code_of(&DataError::from(absent).into()), DATA);
    }

    #[test]
    fn a_cause_is_shown_once() {
        let cause = std::io::Error::other("disk full");
        let told = anyhow::Error::new(cause).context("cannot write a: disk full").context("--out a");
        assert_eq!(chain_text(&told), "--out a: cannot write a: disk full");
    }

    #[test]
    fn frames_are_cut_and_memory_gets_advice() {
        assert_eq!(one_line("a\u{1b}]52;c;eA==\u{7}.png"), "a\\u001b]52;c;eA==\\u0007.png");
        assert_eq!(one_line("\n shape mismatch \nframe #0: c10::Error"), "shape mismatch");
        assert!(one_line("CUDA out of memory. Tried to allocate").contains("--batch auto"));
    }
}
