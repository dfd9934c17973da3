//! Steps of a test run. Each runs whatever the results of the others, and a table at the end reports them.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process;

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Not run, because a step it depends on failed; counts as failed.
    NotRun,
    /// Impossible on this machine; counts neither as passed nor as failed.
    Skipped,
}

#[derive(Debug)]
struct Row {
    step: String,
    outcome: Outcome,
    time: Duration,
    /// Why it was skipped, or how it failed.
    why: Option<String>,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Runs one step and returns whether it passed. Prints the first line of its error at once, and all of it
    /// below the table.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> bool {
        println!("\n==> {name}");
        let start = Instant::now();
        let failure = run().err().map(|error| format!("{error:#}"));
        if let Some(line) = failure.as_ref().and_then(|text| text.lines().next()) {
            println!("error: {line}");
        }
        let outcome = if failure.is_none() { Outcome::Passed } else { Outcome::Failed };
        self.note(name, outcome, start.elapsed(), failure);
        outcome == Outcome::Passed
    }

    /// Runs one step that is a program; it passes when the program succeeds.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> bool {
        self.step(name, || {
            println!("    {}", process::line_of(command));
            process::run_to_success_or_quote(command)
        })
    }

    /// [`Report::command`] if `ready`; otherwise notes the step as not run.
    pub(crate) fn command_if(&mut self, ready: bool, name: &str, command: &mut Command) {
        if ready {
            self.command(name, command);
        } else {
            self.not_run(name);
        }
    }

    /// [`Report::step`] if `ready`; otherwise notes the step as not run.
    pub(crate) fn step_if(&mut self, ready: bool, name: &str, run: impl FnOnce() -> anyhow::Result<()>) {
        if ready {
            self.step(name, run);
        } else {
            self.not_run(name);
        }
    }

    /// Notes a step that this machine cannot run.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("\n==> {name}: not run, {why}");
        self.note(name, Outcome::Skipped, Duration::ZERO, Some(why.to_owned()));
    }

    pub(crate) fn not_run(&mut self, name: &str) {
        self.note(name, Outcome::NotRun, Duration::ZERO, None);
    }

    /// Notes a step that has run elsewhere.
    pub(crate) fn note(&mut self, name: &str, outcome: Outcome, time: Duration, why: Option<String>) {
        self.rows.push(Row { step: name.to_owned(), outcome, time, why });
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.rows.iter().all(|row| matches!(row.outcome, Outcome::Passed | Outcome::Skipped))
    }

    /// The table, what the failed steps printed last, and the summary line.
    pub(crate) fn summary(&self) -> String {
        let width = self.rows.iter().map(|row| row.step.len()).max().unwrap_or(0).max("step".len());
        let mut text = format!("{:width$}  {:7}  {:>7}\n", "step", "result", "seconds");
        for Row { step, outcome, time, why } in &self.rows {
            let word = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NotRun => "not run",
                Outcome::Skipped => "skipped",
            };
            let seconds = time.as_secs_f64();
            text += &match why.as_ref().filter(|_| *outcome == Outcome::Skipped) {
                Some(why) => format!("{step:width$}  {word:7}  {why}\n"),
                None => format!("{step:width$}  {word:7}  {seconds:7.1}\n"),
            };
        }
        for Row { step, why, .. } in self.rows.iter().filter(|row| row.outcome == Outcome::Failed) {
            text += &format!("\n==> {step} failed: {}\n\n", why.as_deref().unwrap_or_default());
        }
        let count = |outcome| self.rows.iter().filter(|row| row.outcome == outcome).count();
        let (passed, skipped) = (count(Outcome::Passed), count(Outcome::Skipped));
        text += &format!("{passed} passed, {} failed", self.rows.len() - passed - skipped);
        if skipped > 0 {
            text += &format!(", {skipped} skipped");
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_continues_after_a_failure_and_counts_it() {
        let mut report = Report::default();
        assert!(report.step("first", || Ok(())));
        assert!(!report.step("the second", || anyhow::bail!("broken")));
        assert!(report.step("third", || Ok(())));
        report.command_if(false, "fourth", &mut Command::new("no-such-program"));
        assert!(!report.all_passed());
        let summary = report.summary();
        assert_eq!(summary.lines().last(), Some("2 passed, 2 failed"), "{summary}");
        assert!(
            summary.contains("\nthe second  FAILED ") && summary.contains("\nfourth      not run"),
            "{summary}"
        );
    }

    #[test]
    fn skipped_steps_are_listed_and_count_as_neither() {
        let mut report = Report::default();
        report.step("first", || Ok(()));
        report.skip("second", "this processor has no amx_bf16");
        assert!(report.all_passed());
        let summary = report.summary();
        assert!(summary.contains("\nsecond  skipped  this processor has no amx_bf16\n"), "{summary}");
        assert_eq!(summary.lines().last(), Some("1 passed, 0 failed, 1 skipped"));
    }

    #[test]
    fn a_program_passes_by_its_exit_code() {
        let mut report = Report::default();
        assert!(report.command("true", Command::new("sh").args(["-c", "exit 0"])));
        assert!(report.all_passed());
        assert!(!report.command("false", Command::new("sh").args(["-c", "exit 3"])));
        assert!(!report.command("loud", Command::new("sh").args(["-c", "echo no such panel; exit 3"])));
        assert!(!report.all_passed());
        let summary = report.summary();
        assert!(
            summary.ends_with("found exit status: 3\nno such panel\n\n1 passed, 2 failed\n"),
            "{summary}"
        );
    }
}
