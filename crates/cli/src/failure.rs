//! How an error reaches the user: one line with what, where, expected, found and what to do. No panic and
//! no backtrace does.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use config::ConfigError;

/// A mistake in flags or configuration, as opposed to something that failed: exit code 2 instead of 1.
#[derive(Debug)]
pub(crate) struct Usage(anyhow::Error);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole chain: `Usage` is the end of it for whoever prints.
        f.write_str(&chain_text(&self.0))
    }
}

impl std::error::Error for Usage {}

/// Marks an error as a mistake of usage.
pub(crate) fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(Usage(error.into()))
}

/// `bail!` for mistakes of usage.
macro_rules! bail_usage {
    ($($arg:tt)*) => { return Err($crate::failure::usage(anyhow::anyhow!($($arg)*))) };
}
pub(crate) use bail_usage;

/// Runs the program and turns every end into an exit code; `verbose` shows errors in full.
pub(crate) fn guard(verbose: bool, run: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    // The default hook prints a location and a backtrace; the text comes back through `catch_unwind`.
    if !verbose {
        panic::set_hook(Box::new(|_| {}));
    }
    let (message, code) = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) if is_closed_pipe(&error) => return ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let wrong_usage = error.chain().any(is_usage);
            (chain_text(&error), if wrong_usage { 2 } else { 1 })
        }
        Err(payload) => (format!("unexpected: {}", panic_text(&*payload)), 1),
    };
    report(&message, verbose);
    ExitCode::from(code)
}

fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<Usage>() || cause.downcast_ref::<ConfigError>().is_some_and(ConfigError::is_usage)
}

/// The error and its causes, outermost first; a cause that the text before it tells already is left out.
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

#[expect(clippy::print_stderr, reason = "the last line of a failed program")]
fn report(message: &str, verbose: bool) {
    if verbose {
        eprintln!("error: {message}");
    } else {
        eprintln!("error: {}", one_line(message));
    }
}

/// libtorch's messages go on with frames of C++, and out-of-memory deserves advice.
fn one_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown error").trim();
    if message.contains("out of memory") || message.contains("not enough memory") {
        return format!("{line}; try a smaller --set train.batch, fewer images at once, or a smaller model");
    }
    line.to_owned()
}

/// `ddpm inspect ... | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
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
        assert_eq!(format!("{:?}", guard(false, || panic!("boom"))), format!("{:?}", ExitCode::from(1)));
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("disk full");
        let told = anyhow::Error::new(cause).context("cannot write a: disk full").context("--out a");
        assert_eq!(chain_text(&told), "--out a: cannot write a: disk full");
    }

    #[test]
    fn frames_are_cut_and_memory_gets_advice() {
        assert_eq!(one_line("\n shape mismatch \nframe #0: c10::Error"), "shape mismatch");
        assert!(one_line("CUDA out of memory. Tried to allocate").contains("train.batch"));
    }
}
