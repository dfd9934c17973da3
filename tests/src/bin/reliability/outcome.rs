//! A check and its outcome.

use std::fmt;

use crate::context::Context;

/// One row of the table.
pub(crate) struct Check {
    /// Its name for `--only`.
    pub(crate) name: &'static str,
    /// The promise, in a few words.
    pub(crate) goal: &'static str,
    /// What its numbers mean, in a sentence or two.
    pub(crate) meaning: &'static str,
    /// Runs the check. [`NotTried`] is not a failure.
    pub(crate) run: fn(&Context) -> anyhow::Result<Outcome>,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Number of trials.
    pub(crate) tried: u64,
    /// Trials in which the promise was kept.
    pub(crate) survived: u64,
    /// The noteworthy numbers.
    pub(crate) figure: String,
    /// What went wrong.
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    /// The outcome of a check that could not run.
    pub(crate) fn broken(reason: &str) -> Self {
        Self { figure: reason.to_owned(), complaints: vec![reason.to_owned()], ..Self::default() }
    }

    /// Whether there were trials and all of them passed.
    pub(crate) fn passed(&self) -> bool {
        self.tried > 0 && self.survived == self.tried && self.complaints.is_empty()
    }
}

/// Why this machine cannot try a check: it lacks or forbids what the check needs.
#[derive(Debug)]
pub(crate) struct NotTried(pub(crate) String);

impl fmt::Display for NotTried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotTried {}

/// A check with its outcome.
pub(crate) struct Row {
    pub(crate) check: &'static Check,
    pub(crate) outcome: Outcome,
    /// Whether this machine cannot try it; the figure of the outcome says why.
    pub(crate) not_tried: bool,
}

impl Row {
    /// The row of a check that has run.
    pub(crate) fn new(check: &'static Check, outcome: anyhow::Result<Outcome>) -> Self {
        let reason = |error: &anyhow::Error| format!("{error:#}");
        match outcome {
            Ok(outcome) => Self { check, outcome, not_tried: false },
            Err(error) if error.is::<NotTried>() => {
                let outcome = Outcome { figure: reason(&error), ..Outcome::default() };
                Self { check, outcome, not_tried: true }
            }
            Err(error) => Self { check, outcome: Outcome::broken(&reason(&error)), not_tried: false },
        }
    }

    /// Whether the check failed.
    pub(crate) fn failed(&self) -> bool {
        !self.not_tried && !self.outcome.passed()
    }

    /// `ok`, `FAILED` or `not tried`.
    pub(crate) fn result(&self) -> &'static str {
        match (self.not_tried, self.failed()) {
            (true, _) => "not tried",
            (false, true) => "FAILED",
            (false, false) => "ok",
        }
    }

    /// The row as one line.
    pub(crate) fn line(&self) -> String {
        let Outcome { tried, survived, figure, .. } = &self.outcome;
        if self.not_tried {
            return format!("{}: {figure}", self.result());
        }
        format!("{}: {survived} of {tried}; {figure}", self.result())
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, NotTried, Outcome, Row};

    #[test]
    fn a_check_without_trials_fails() {
        let outcome = |tried, survived| Outcome { tried, survived, ..Outcome::default() };
        assert!(!outcome(0, 0).passed() && !outcome(3, 2).passed() && outcome(3, 3).passed());
        assert!(!Outcome::broken("no program").passed());
        assert!(!Outcome { complaints: vec![String::new()], ..outcome(3, 3) }.passed());
    }

    #[test]
    fn a_check_that_this_machine_cannot_try_is_not_a_failure() {
        static CHECK: Check = Check { name: "x", goal: "", meaning: "", run: |_| Ok(Outcome::default()) };
        let row = Row::new(&CHECK, Err(NotTried("there is no `ip`".to_owned()).into()));
        assert!(!row.failed() && !row.outcome.passed());
        assert_eq!(row.line(), "not tried: there is no `ip`");
        let row = Row::new(&CHECK, Err(anyhow::anyhow!("there is no `ip`")));
        assert!(row.failed());
        assert_eq!(row.line(), "FAILED: 0 of 0; there is no `ip`");
        assert!(Row::new(&CHECK, Ok(Outcome::default())).failed());
    }
}
