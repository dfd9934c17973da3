//! The output of a finished program, and assertions on it.

use std::process::ExitStatus;

use serde_json::Value;

/// Exit code and output of one run of the program.
#[derive(Debug)]
pub struct Output {
    line: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    pub(crate) fn new(line: &str, status: ExitStatus, stdout: Vec<u8>, stderr: Vec<u8>) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal = None;
        let (stdout, stderr) = (text(stdout), text(stderr));
        Self { line: line.to_owned(), code: status.code(), signal, stdout, stderr }
    }

    /// The exit code as a shell reports it: 128 + N when signal N ended the program.
    #[must_use]
    pub fn shell_code(&self) -> Option<i32> {
        self.code.or(self.signal.map(|signal| 128 + signal))
    }

    /// Asserts that it succeeded.
    ///
    /// # Panics
    /// When it failed, with all its output.
    #[must_use]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Asserts the exit code, and that the output has no panic and no backtrace.
    ///
    /// # Panics
    /// When the exit code differs, with all the program's output.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { line, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "ddpm {line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace", "frame #"] {
            assert!(!stderr.contains(trace) && !stdout.contains(trace), "ddpm {line}\n{stdout}{stderr}");
        }
        self
    }

    /// The single JSON value on standard output of a successful program run with `--json`.
    ///
    /// # Panics
    /// When it failed or printed anything else.
    #[must_use]
    pub fn json(self) -> Value {
        let output = self.ok();
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("ddpm {}: {error} in {:?}", output.line, output.stdout))
    }

    /// Expects a usage error, reported in one line that contains these words.
    ///
    /// # Panics
    /// When there is no such error.
    pub fn expect_refusal(&self, words: &[&str]) {
        let errors = self.errors();
        let told = errors.len() == 1 && words.iter().all(|word| errors[0].contains(word));
        assert!(self.shell_code() == Some(2) && told, "ddpm {}: {words:?}: {errors:?}", self.line);
    }

    /// The error lines of standard error, without log lines.
    #[must_use]
    pub fn errors(&self) -> Vec<&str> {
        let is_log =
            |line: &&str| ["INFO ", "WARN ", "DEBUG "].iter().any(|l| line.trim_start().starts_with(l));
        self.stderr.lines().filter(|line| !is_log(line)).collect()
    }
}
