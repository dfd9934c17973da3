//! A check and its outcome.

use crate::context::Context;

/// One row of the table.
pub(crate) struct Check {
    /// Its name for `--only`.
    pub(crate) name: &'static str,
    /// The promise, in a few words.
    pub(crate) goal: &'static str,
    /// What its numbers mean, in a sentence or two.
    pub(crate) meaning: &'static str,
    /// Runs the check.
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

/// A check with its outcome.
pub(crate) struct Row {
    pub(crate) check: &'static Check,
    pub(crate) outcome: Outcome,
}

impl Row {
    /// `ok` or `FAILED`.
    pub(crate) fn result(&self) -> &'static str {
        if self.outcome.passed() { "ok" } else { "FAILED" }
    }

    /// The row as one line.
    pub(crate) fn line(&self) -> String {
        let Outcome { tried, survived, figure, .. } = &self.outcome;
        format!("{}: {survived} of {tried}; {figure}", self.result())
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn a_check_without_trials_fails() {
        let outcome = |tried, survived| Outcome { tried, survived, ..Outcome::default() };
        assert!(!outcome(0, 0).passed() && !outcome(3, 2).passed() && outcome(3, 3).passed());
        assert!(!Outcome::broken("no program").passed());
        assert!(!Outcome { complaints: vec![String::new()], ..outcome(3, 3) }.passed());
    }
}
