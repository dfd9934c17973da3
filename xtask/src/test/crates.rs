//! The steps that test the crates of this workspace.

use super::END_TO_END;
use super::commands::{Run, is_libtorch_free};
use super::jobs::{Job, Step};
use crate::{examples, isa, process};

/// Builds what the steps run.
pub(super) fn build(run: &Run<'_>, packages: &[String]) -> anyhow::Result<()> {
    for mut command in run.builds(packages) {
        println!("    {}", process::line_of(&command));
        process::run_to_success_or_quote(&mut command)?;
    }
    Ok(())
}

/// The tests and the example of each crate, the tests in the documentation, and the tests with fewer instructions.
pub(super) fn steps(run: &Run<'_>, packages: &[String], libtorch: bool) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for name in packages.iter().filter(|name| *name != END_TO_END) {
        let ready = libtorch || is_libtorch_free(name);
        let tests =
            Job { step: format!("tests of {name}"), build: None, command: run.tests(name), expected: None };
        steps.push(tests.or_not_run(ready));
        for &(_, example, expected) in examples::EXAMPLES.iter().filter(|row| row.0 == name) {
            let example = Job {
                step: format!("example of {name}"),
                build: run.build_of_example(name, example),
                command: run.example(name, example)?,
                expected: Some(expected),
            };
            steps.push(example.or_not_run(ready));
        }
    }
    for (name, with_libtorch) in
        [("documentation without libtorch", false), ("documentation with libtorch", true)]
    {
        if let Some(command) = run.doc_tests(packages, with_libtorch) {
            let tests = Job { step: format!("tests in {name}"), build: None, command, expected: None };
            steps.push(tests.or_not_run(libtorch || !with_libtorch));
        }
    }
    if !run.args.fast {
        steps.extend(limited(run, packages, libtorch));
    }
    Ok(steps)
}

/// The suites of the numeric crates again with fewer instructions. This builds nothing.
fn limited(run: &Run<'_>, packages: &[String], libtorch: bool) -> Vec<Step> {
    let crates: Vec<&String> = packages.iter().filter(|name| isa::CRATES.contains(&name.as_str())).collect();
    let mut steps = Vec::new();
    for set in run.args.isa.sets() {
        for name in &crates {
            let step = format!("{name} up to {}", set.name());
            if let Some(why) = set.obstacle() {
                steps.push(Step::Skipped(step, why));
                continue;
            }
            let mut command = run.test_programs(name);
            set.limit(&mut command);
            steps.push(Job { step, build: None, command, expected: None }.or_not_run(libtorch));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::{Args, jobs, packages};
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn the_long_steps_are_steps() {
        let workspace = Workspace::find().unwrap();
        // These sets are skipped where the processor has no more.
        let args = Args { isa: isa::Choice::None, ..Args::default() };
        let run = Run { workspace: &workspace, args: &args };
        let all = packages(&workspace, &args).unwrap();
        let names = |libtorch| -> Vec<String> {
            let steps = super::steps(&run, &all, libtorch).unwrap();
            steps
                .into_iter()
                .map(|step| if let Step::Run(job) = step { job.step } else { String::new() })
                .collect()
        };
        let steps = names(true);
        for long in jobs::LONG {
            let limited = isa::CRATES.iter().any(|name| long == format!("{name} up to avx2"));
            assert!(limited || steps.iter().any(|step| step == long), "{long}: {steps:?}");
        }
        assert!(!steps.contains(&String::new()), "{steps:?}");
        // Without libtorch the tests that need it do not run.
        let without = names(false);
        assert_eq!(without.len(), steps.len());
        for (name, runs) in [("unet", false), ("cli", false), ("schedule", true), ("xtask", true)] {
            assert_eq!(without.contains(&format!("tests of {name}")), runs, "{name}: {without:?}");
        }
    }
}
