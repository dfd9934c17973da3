//! `cargo xtask test`: formatting, lints, docs, each crate's tests and example, then end-to-end tests and the
//! reliability run.

mod beside;
mod commands;
mod crates;
mod end_to_end;
mod jobs;

use std::process::ExitCode;

use crate::check::Report;
use crate::process::{self, Exit};
use crate::setup::platform::Driver;
use crate::workspace::{LIBTORCH_FREE, Workspace};
use crate::{browser, ddpm, isa, isolation, outside, reliability, sanitize, setup};
use commands::{Run, is_libtorch_free};

/// The member with the end-to-end tests.
const END_TO_END: &str = "tests";
/// The member with a program of a user.
const PROGRAM: &str = "examples";
/// The member outside `crates/` that replays the corpora of the fuzz targets.
const FUZZ_BODIES: &str = "fuzz-bodies";
/// The member of this program.
const XTASK: &str = "xtask";

/// Crates with tests that need a GPU, all in a target of this name. They are marked `#[ignore]`, since most machines
/// have no GPU.
pub(crate) const ON_GPU: [&str; 4] = ["torch-ext", "unet", "trainer", "sampler"];
pub(crate) const GPU_TESTS: &str = "gpu";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only this crate: its formatting, lints, docs and tests. May be given more than once.
    #[arg(short, long = "package", value_name = "CRATE")]
    package: Vec<String>,
    /// Skip the end-to-end tests and those with fewer instructions.
    #[arg(long)]
    fast: bool,
    /// Also test torch-ext, unet, trainer and sampler limited to these instruction sets.
    #[arg(long, value_enum, default_value_t)]
    isa: isa::Choice,
    /// Only test the C++ of torch-ext under AddressSanitizer.
    #[arg(long, conflicts_with_all = ["package", "fast", "isa"])]
    sanitize: bool,
    /// Refuse to change Cargo.lock.
    #[arg(long)]
    locked: bool,
}

impl Args {
    /// Runs everything, with the committed Cargo.lock.
    pub(crate) fn all_locked() -> Self {
        Self { locked: true, ..Self::default() }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    steps(workspace, args, &mut report)?;
    Ok(finish(&report))
}

/// Prints the table. The exit code is 1 when a step failed.
pub(crate) fn finish(report: &Report) -> ExitCode {
    print!("\n{}", report.summary());
    if report.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all steps. The tests of the crates run beside each other if these are all crates.
pub(crate) fn steps(workspace: &Workspace, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let packages = packages(workspace, args)?;
    let run = Run { workspace, args };
    if args.sanitize {
        let ready = report.step("setup", || setup::ensure(workspace));
        report.step_if(ready, "torch-ext under AddressSanitizer", || sanitize::run(workspace, run.locked()));
        return Ok(());
    }

    // A machine without libtorch can test the crates that do not need it.
    let libtorch = packages.iter().all(|name| is_libtorch_free(name))
        || report.step("setup", || setup::ensure(workspace));

    report.command("format", &mut run.format());
    report.command_if(libtorch, "lints", &mut run.lints());
    report.command_if(libtorch, "docs", &mut run.docs());
    for name in packages.iter().filter(|name| LIBTORCH_FREE.contains(&name.as_str())) {
        report.step(&format!("{name} without libtorch"), || {
            isolation::check(workspace, name, run.locked())?;
            // A crate that was chosen by name is tested alone below.
            if run.is_whole() { process::run_to_success_or_quote(&mut run.alone(name)) } else { Ok(()) }
        });
    }
    if run.is_whole() {
        report.step_if(libtorch, "build of the tests", || crates::build(&run, &packages));
    }
    if !args.fast && packages.iter().any(|name| name == "dataset") {
        for (step, mut command) in run.of_parquet() {
            report.command(step, &mut command);
        }
    }
    let steps = crates::steps(&run, &packages, libtorch)?;
    if run.is_whole() {
        jobs::run_beside(steps, report);
    } else {
        jobs::run_in_turn(steps, report);
    }
    let on_gpu: Vec<&str> = ON_GPU.into_iter().filter(|name| packages.iter().any(|p| p == name)).collect();
    if !on_gpu.is_empty() {
        if Driver::detect() == Driver::Present {
            report.command_if(libtorch, "tests on the GPU", &mut run.on_gpu(&on_gpu));
        } else {
            println!("\nno NVIDIA driver for CUDA 13: skipping the GPU tests ({})", on_gpu.join(", "));
        }
    }
    if !args.fast {
        from_outside(&run, &packages, libtorch, report);
    }
    if packages.iter().any(|name| name == END_TO_END) && !(run.is_whole() && args.fast) {
        // They run the built program, which is beside their own folder: target/debug/ddpm.
        report.command_if(libtorch, "program", &mut ddpm::of_tests(workspace, run.locked()));
        let reports = workspace.root().join("target/tmp/bad_input_reports");
        report.step_if(libtorch, "end to end", || end_to_end::run(&run, &reports));
        match browser::obstacle() {
            None => report.command_if(libtorch, "in a browser", &mut browser::tests(workspace, run.locked())),
            Some(why) => report.skip("in a browser", &why),
        }
        // The quick run of `cargo xtask reliability`.
        report.step_if(libtorch, "reliability", || reliability::quick(workspace, args.locked, &reports));
    }
    Ok(())
}

/// Tests the promised crates among those chosen, each in a separate project, and a program that uses four of them.
fn from_outside(run: &Run<'_>, packages: &[String], libtorch: bool, report: &mut Report) {
    let mut promised =
        outside::PROMISED.iter().filter(|(name, _)| packages.iter().any(|p| p == name)).peekable();
    let has_program = packages.iter().any(|name| name == PROGRAM);
    if promised.peek().is_none() && !has_program {
        return;
    }
    let mut packed = None;
    report.step("packages", || {
        packed = Some(outside::pack(run.workspace, run.locked())?);
        Ok(())
    });
    for &(name, example) in promised {
        let step = format!("{name} from outside");
        let Some(folder) = packed.as_ref().filter(|_| libtorch || is_libtorch_free(name)) else {
            report.not_run(&step);
            continue;
        };
        report.step(&step, || outside::run_example(run.workspace, folder, (name, example)));
    }
    if has_program {
        let step = "a program of a user";
        match packed.as_ref().filter(|_| libtorch) {
            Some(folder) => {
                report.step(step, || outside::run_program(run.workspace, folder));
            }
            None => report.not_run(step),
        }
    }
}

/// The members to test, bottom-up: those chosen, or all.
fn packages(workspace: &Workspace, args: &Args) -> anyhow::Result<Vec<String>> {
    let mut all = workspace.crates_bottom_up()?;
    all.extend([FUZZ_BODIES, "xtask", PROGRAM, END_TO_END].map(String::from));
    if let Some(unknown) = args.package.iter().find(|name| !all.contains(name)) {
        let message = format!(
            "-p {unknown}: expected a crate of this workspace ({}), found no such one",
            all.join(", ")
        );
        return Err(Exit::usage(message).into());
    }
    if !args.package.is_empty() {
        all.retain(|name| args.package.contains(name));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_all_are_tested_and_the_end_to_end_tests_come_last() {
        let all = packages(&Workspace::find().unwrap(), &Args::default()).unwrap();
        assert_eq!(all.last().map(String::as_str), Some(END_TO_END));
        assert!(all.len() > LIBTORCH_FREE.len() + 2);
    }

    #[test]
    fn an_unknown_crate_is_a_usage_error() {
        let workspace = Workspace::find().unwrap();
        let args = Args { package: vec![String::from("shedule")], ..Args::default() };
        let error = packages(&workspace, &args).unwrap_err();
        assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
        assert!(error.to_string().contains("shedule") && error.to_string().contains("schedule,"), "{error}");
    }

    #[test]
    fn the_public_ci_tests_every_crate_alone() {
        let workspace = Workspace::find().unwrap();
        let path = workspace.root().join(".github/workflows/ci.yml");
        let workflow = std::fs::read_to_string(path).unwrap();
        let lists = workflow.lines().filter_map(|line| line.trim().strip_prefix("crate: ["));
        let listed: Vec<_> = lists.flat_map(|list| list.trim_end_matches(']').split(", ")).collect();
        for name in packages(&workspace, &Args::default()).unwrap() {
            assert!(name == END_TO_END || listed.contains(&name.as_str()), "{name} is not in {listed:?}");
        }
    }
}
