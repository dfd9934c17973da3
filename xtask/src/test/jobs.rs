//! Steps that do not depend on each other and run beside each other. Cargo alone runs one test program after the other, and
//! those with a single long test, or one that waits, leave processors idle.

use std::process::Command;
use std::time::{Duration, Instant};

use super::beside::{processors, side_by_side};
use crate::check::{Outcome, Report};
use crate::{examples, process};

/// At most so many steps at a time: each may have libtorch's threads for all processors.
const MOST: usize = 4;

/// These start first, so that none of them is left to run alone at the end.
pub(super) const LONG: [&str; 10] = [
    "tests of figures",
    "trainer up to avx2",
    "tests of trainer",
    "tests of sampler",
    "sampler up to avx2",
    "tests of xtask",
    "unet up to avx2",
    "tests of distributed",
    "tests of unet",
    "tests of fuzz-bodies",
];

/// A step, or why there is none.
#[derive(Debug)]
pub(super) enum Step {
    Run(Box<Job>),
    /// A step that it depends on failed.
    NotRun(String),
    /// This machine cannot run it, and why.
    Skipped(String, String),
}

/// A program that must succeed.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) step: String,
    /// What builds the program, if it does not do that itself.
    pub(super) build: Option<Command>,
    pub(super) command: Command,
    /// What it must print, if that is known.
    pub(super) expected: Option<&'static str>,
}

impl From<Job> for Step {
    fn from(job: Job) -> Self {
        Self::Run(Box::new(job))
    }
}

impl Job {
    /// A step, which does not run unless what it depends on is `ready`.
    pub(super) fn or_not_run(self, ready: bool) -> Step {
        if ready { self.into() } else { Step::NotRun(self.step) }
    }

    /// Runs it and passes on what it prints.
    fn run(mut self) -> anyhow::Result<()> {
        if let Some(build) = &mut self.build {
            process::run_to_success(build)?;
        }
        if let Some(expected) = self.expected {
            return examples::check(&mut self.command, expected);
        }
        println!("    {}", process::line_of(&self.command));
        process::run_to_success_or_quote(&mut self.command)
    }

    /// Runs it and adds what it prints to `said`.
    fn run_into(mut self, said: &mut String) -> anyhow::Result<()> {
        if let Some(build) = self.build {
            process::run_and_collect(build, said)?;
        }
        *said += &format!("    {}\n", process::line_of(&self.command));
        if let Some(expected) = self.expected {
            *said += &examples::output(&mut self.command, expected)?;
            return Ok(());
        }
        process::run_and_collect(self.command, said)
    }
}

/// Runs a few steps at a time, so that all processors are busy, each of whose programs runs its share of tests at a time.
/// What a step prints appears in one piece at its end.
pub(super) fn run_beside(mut steps: Vec<Step>, report: &mut Report) {
    let (workers, threads) = shares(processors());
    for step in &mut steps {
        if let Step::Run(job) = step {
            job.command.env("RUST_TEST_THREADS", threads.to_string());
            // More threads of libtorch than processors wait for each other in loops: tests of 30 s took 230 s.
            job.command.env("OMP_NUM_THREADS", threads.to_string()).env("OMP_WAIT_POLICY", "passive");
        }
    }
    // The table has them in the given order.
    let mut items: Vec<(usize, Step)> = steps.into_iter().enumerate().collect();
    items.sort_by_key(|(_, step)| rank(step));
    let mut rows = side_by_side(items, workers, |(place, step)| (place, captured(step)));
    rows.sort_by_key(|(place, _)| *place);
    for (_, (step, outcome, time, why)) in rows {
        report.note(&step, outcome, time, why);
    }
}

/// Runs one step after the other. What they print appears at once.
pub(super) fn run_in_turn(steps: Vec<Step>, report: &mut Report) {
    for step in steps {
        match step {
            Step::Run(job) => {
                let name = job.step.clone();
                report.step(&name, || job.run());
            }
            Step::NotRun(name) => report.not_run(&name),
            Step::Skipped(name, why) => report.skip(&name, &why),
        }
    }
}

/// How many steps run at a time, and how many tests of each.
fn shares(processors: usize) -> (usize, usize) {
    let steps = processors.clamp(1, MOST);
    (steps, (processors / steps).max(1))
}

fn rank(step: &Step) -> usize {
    let Step::Run(job) = step else { return LONG.len() };
    LONG.iter().position(|long| *long == job.step).unwrap_or(LONG.len())
}

/// Runs a step, prints what it printed, and returns its row of the report.
fn captured(step: Step) -> (String, Outcome, Duration, Option<String>) {
    let job = match step {
        Step::Run(job) => job,
        Step::NotRun(name) => return (name, Outcome::NotRun, Duration::ZERO, None),
        Step::Skipped(name, why) => {
            println!("\n==> {name}: not run, {why}");
            return (name, Outcome::Skipped, Duration::ZERO, Some(why));
        }
    };
    let name = job.step.clone();
    let mut said = format!("\n==> {name}\n");
    let begun = Instant::now();
    let failure = job.run_into(&mut said).err().map(|error| format!("{error:#}"));
    if let Some(line) = failure.as_ref().and_then(|text| text.lines().next()) {
        said += &format!("error: {line}\n");
    }
    print!("{said}");
    let outcome = if failure.is_none() { Outcome::Passed } else { Outcome::Failed };
    (name, outcome, begun.elapsed(), failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(step: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { step: step.to_owned(), build: None, command, expected: None }
    }

    fn steps() -> Vec<Step> {
        let expects = Job { expected: Some("3 images"), ..job("example", "echo 3 images") };
        let misses = Job { expected: Some("3 images"), ..job("another", "echo 4 images") };
        let mut build = Command::new("sh");
        build.args(["-c", "echo no such crate >&2; exit 101"]);
        vec![
            job("first", "echo fine").into(),
            job("second", "echo well >&2; echo no such panel; exit 3").into(),
            Step::NotRun("third".to_owned()),
            Step::Skipped("fourth".to_owned(), "no GPU".to_owned()),
            expects.into(),
            misses.into(),
            Job { build: Some(build), ..job("unbuilt", "true") }.into(),
            job("tests of figures", "true").into(),
        ]
    }

    #[test]
    fn each_step_has_its_row_in_the_given_order() {
        for run in [run_beside, run_in_turn] {
            let mut report = Report::default();
            run(steps(), &mut report);
            let summary = report.summary();
            let parts = |line: &str| -> Vec<String> {
                let parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            };
            let rows: Vec<Vec<String>> = summary.lines().skip(1).take(8).map(parts).collect();
            let column = |number: usize| rows.iter().map(|row| row[number].as_str()).collect::<Vec<_>>();
            let names =
                ["first", "second", "third", "fourth", "example", "another", "unbuilt", "tests of figures"];
            assert_eq!(column(0), names, "{summary}");
            let results = ["ok", "FAILED", "not run", "skipped", "ok", "FAILED", "FAILED", "ok"];
            assert_eq!(column(1), results, "{summary}");
            assert!(
                summary.contains("found exit status: 3\n") && summary.contains("\nno such panel"),
                "{summary}"
            );
            assert!(summary.contains("expected \"3 images\" in its output"), "{summary}");
            assert!(summary.ends_with("3 passed, 4 failed, 1 skipped\n"), "{summary}");
        }
    }

    #[test]
    fn a_test_program_gets_its_share_of_the_processors() {
        assert_eq!(shares(1), (1, 1));
        assert_eq!(shares(2), (2, 1));
        assert_eq!(shares(4), (4, 1));
        assert_eq!(shares(16), (4, 4));
        let (_, threads) = shares(processors());
        let mut report = Report::default();
        let script = format!("test \"$RUST_TEST_THREADS $OMP_NUM_THREADS\" = \"{threads} {threads}\"");
        run_beside(vec![job("share", &script).into()], &mut report);
        assert!(report.all_passed(), "{}", report.summary());
    }

    #[test]
    fn long_steps_start_first() {
        let mut ranks: Vec<usize> = steps().iter().map(rank).collect();
        assert_eq!(ranks.pop(), Some(0));
        assert!(ranks.iter().all(|rank| *rank == LONG.len()), "{ranks:?}");
    }
}
