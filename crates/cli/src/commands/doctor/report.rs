//! The lines of `ddpm doctor`: what was checked, the result, and what to do about it.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use serde_json::{Value, json};

use crate::commands::inspect::table::Table;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// It works, but could be better.
    Note,
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fail => "FAIL",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Check {
    name: &'static str,
    status: Status,
    found: String,
    advice: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), advice: None }
    }

    pub(super) fn note(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Note, found: found.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), advice: Some(advice.into()) }
    }

    /// Runs a check that computes. Errors and libtorch's panics are reported as failures.
    pub(super) fn attempt(name: &'static str, check: impl FnOnce() -> anyhow::Result<Self>) -> Self {
        let advice = "libtorch could not compute this; get a fresh copy with `cargo xtask setup`";
        let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        match panic::catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(check)) => check,
            Ok(Err(error)) => Self::fail(name, first_line(&format!("{error:#}")), advice),
            Err(payload) => Self::fail(name, first_line(panic_text(&*payload)), advice),
        }
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "status": self.status.name(), "found": self.found, "advice": self.advice })
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the computation panicked")
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// The names of the checks that failed.
    pub(super) fn failed(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.name).collect()
    }

    pub(super) fn json(&self) -> Value {
        self.checks.iter().map(Check::json).collect()
    }

    /// The report as text. Advice has its own line below the finding.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&["state", "check", "found"]);
        for check in &self.checks {
            table.row([check.status.name(), check.name, &check.found]);
            if let Some(advice) = &check.advice {
                table.row(["", "", &format!("-> {advice}")]);
            }
        }
        let end = match self.failed().len() {
            0 => "everything works".to_owned(),
            1 => "1 check failed".to_owned(),
            n => format!("{n} checks failed"),
        };
        format!("{table}\n\n{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_shown_with_advice() {
        let mut report = Report::default();
        report.push(Check::ok("one", "1"));
        report.push(Check::note("two", "2", "see to it"));
        assert!(report.failed().is_empty() && report.text().ends_with("everything works"));
        report.push(Check::fail("three", "3", "fix it"));
        assert_eq!(report.failed(), ["three"]);
        let text = report.text();
        assert!(text.contains("FAIL   three  3\n              -> fix it\n\n1 check failed"), "{text}");
        assert_eq!(report.json()[1]["status"], "note");
    }

    #[test]
    fn errors_and_panics_are_findings() {
        let panicked = Check::attempt("a", || panic!("first\nsecond"));
        assert_eq!((panicked.status, panicked.found.as_str()), (Status::Fail, "first"));
        let failed = Check::attempt("a", || Err(anyhow::anyhow!("broken")));
        assert_eq!((failed.status, failed.found.as_str()), (Status::Fail, "broken"));
    }
}
