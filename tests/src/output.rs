//! What a finished program has said, and the assertions on it.

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

    /// The exit code as a shell has it: 128 + N when signal N ended the program.
    #[must_use]
    pub fn shell_code(&self) -> Option<i32> {
        self.code.or(self.signal.map(|signal| 128 + signal))
    }

    /// Asserts that it succeeded.
    ///
    /// # Panics
    /// When it did not, with all it said.
    #[must_use]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Asserts the exit code, and that no panic and no backtrace came out.
    ///
    /// # Panics
    /// When it is another one, with all the program said.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { line, stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "ddpm {line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace", "frame #"] {
            assert!(!stderr.contains(trace) && !stdout.contains(trace), "ddpm {line}\n{stdout}{stderr}");
        }
        self
    }

    /// The one JSON value on standard output, of a program that succeeded with `--json`.
    ///
    /// # Panics
    /// When it did not succeed or printed anything else.
    #[must_use]
    pub fn json(self) -> Value {
        let output = self.ok();
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("ddpm {}: {error} in {:?}", output.line, output.stdout))
    }

    /// Expects a mistake of usage, told in one line that has these words.
    ///
    /// # Panics
    /// When it is none.
    pub fn expect_refusal(&self, words: &[&str]) {
        let errors = self.errors();
        let told = errors.len() == 1 && words.iter().all(|word| errors[0].contains(word));
        assert!(self.shell_code() == Some(2) && told, "ddpm {}: {words:?}: {errors:?}", self.line);
    }

    /// The lines of standard error that are errors; log lines are left out.
    #[must_use]
    pub fn errors(&self) -> Vec<&str> {
        let is_log =
            |line: &&str| ["INFO ", "WARN ", "DEBUG "].iter().any(|l| line.trim_start().starts_with(l));
        self.stderr.lines().filter(|line| !is_log(line)).collect()
    }
}
