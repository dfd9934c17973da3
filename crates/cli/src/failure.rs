//! How errors reach the user: one line with what failed, where, what was expected and found, and what to do, without
//! panics or backtraces.

mod code;

use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};

use trainer::is_out_of_memory;

use crate::diagnostics::Diagnostics;
use crate::exit::ExitCode;
use crate::{rank_log, ranks};
use code::{FAILED, code_of, is_out_of_handles, unboxed};
pub(crate) use code::{OTHER_RANK, RESOURCES, USAGE, is_final, is_out_of_room};

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
    use super::code::DATA;
    use super::*;
    use dataset::DatasetError;
    use features::FeaturesError;
    use run_images::DataError;
    use trainer::TrainerError;

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
