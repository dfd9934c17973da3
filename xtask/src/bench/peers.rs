//! `cargo xtask bench --peers`: runs ours and the Python libraries in turns and prints a table of ratios.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use serde_json::{Value, json};

use super::programs::{Block, Choice, NAMES, Program, blocks};
use super::rounds::{Said, object, take_turns};
use super::rows::{Measured, rows};
use super::{table, venv, whole};
use crate::process::Exit;
use crate::workspace::Workspace;
use crate::{ddpm, machine, outputs};

/// Times training and sampling steps of diffusers and lucidrains beside ours, in turns.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench --peers")]
pub(super) struct Args {
    #[arg(long, hide = true)]
    peers: bool,
    /// Few rounds of few steps: minutes. The ratios are then rough.
    #[arg(long)]
    quick: bool,
    /// Number of rounds [default: 5, or 2 with --quick].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Only these: train-small32, train-cifar10, sample-small32, sample-cifar10, whole-run, images.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Include torch.compile, which takes minutes per round.
    #[arg(long)]
    compile: bool,
    /// A Python with the peers [default: one in out/peers-venv, created where needed].
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The trained run for `images` [default: the one made by `whole-run`].
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Write rows and all program outputs as JSON.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

/// The exit code is 0 whatever the results are.
pub(super) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = args.wanted()?;
    let rounds = args.rounds.unwrap_or(if args.quick { 2 } else { 5 });
    if !(1..=100).contains(&rounds) {
        return Err(Exit::usage(format!("--rounds {rounds}: expected 1 to 100")).into());
    }
    outputs::try_all(&[("--out", args.out.as_deref()), ("--json", args.json.as_deref())])?;
    let begun = Instant::now();
    let ddpm = ddpm::build(workspace)?;
    // A short run tells which precision is chosen here.
    let words = "bench sample --preset tiny-16 --batch 1 --steps 1 --warmup 0 --json";
    let probe = object(&whole::output(Command::new(&ddpm).args(words.split(' ')))?)?;
    let choice =
        Choice { quick: args.quick, compile: args.compile, auto_is_bf16: probe["precision"] == "bf16" };
    let blocks: Vec<Block> =
        blocks(choice).into_iter().filter(|block| wanted.contains(&block.name)).collect();

    let mut measured = Measured::default();
    if !blocks.is_empty() {
        let python = venv::python(workspace, args.python.as_deref())?;
        let programs =
            Programs { ddpm: &ddpm, python, script: workspace.root().join("scripts/bench_peers.py") };
        for block in &blocks {
            measured.blocks.insert(block.name, programs.take_turns(block, rounds)?);
        }
    }
    let scratch = whole::scratch(workspace.root());
    if wanted.contains(&"whole-run") {
        eprintln!("whole-run: `ddpm train`, and its steps alone before and after");
        let done = whole::train(&ddpm, &scratch, args.quick);
        measured.whole = Some(done.map_err(|error| format!("{error:#}")));
    }
    if wanted.contains(&"images") {
        let run = args.run.clone().or_else(|| matches!(measured.whole, Some(Ok(_))).then_some(scratch));
        measured.images = Some(images(&ddpm, run.as_deref(), rounds));
    }

    let rows = rows(&measured);
    let head = head(workspace, &probe, rounds, args.quick, begun.elapsed().as_secs());
    if let Some(path) = &args.out {
        outputs::write(path, &table::markdown(&rows, &markdown_head(&head)))?;
    }
    if let Some(path) = &args.json {
        outputs::write(path, &format!("{:#}\n", table::json(&rows, &measured, &head)))?;
    }
    println!("{}", table::text(&rows));
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The names of `--only`, or all.
    fn wanted(&self) -> anyhow::Result<Vec<&'static str>> {
        if let Some(name) = self.only.iter().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(Exit::usage(format!("--only {name}: expected some of {}", NAMES.join(", "))).into());
        }
        let is_wanted = |name: &&str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        Ok(NAMES.into_iter().filter(is_wanted).collect())
    }
}

/// Paths of the programs.
struct Programs<'a> {
    ddpm: &'a Path,
    python: PathBuf,
    script: PathBuf,
}

impl Programs<'_> {
    fn take_turns(&self, block: &Block, rounds: usize) -> anyhow::Result<Said> {
        let (mut turn, turns) = (0, rounds * block.programs.len());
        take_turns(block, rounds, &mut |block, program| {
            turn += 1;
            eprintln!("{} {turn}/{turns}: {}", block.name, program.who.name());
            whole::output(&mut self.command(block, program))
        })
    }

    fn command(&self, block: &Block, program: &Program) -> Command {
        let mut command = if program.who.is_ours() {
            let mut ours = Command::new(self.ddpm);
            // The peers run on the CPU.
            ours.args(["bench", "--json", "--device", "cpu"]);
            ours
        } else {
            let mut theirs = Command::new(&self.python);
            theirs.arg(&self.script);
            theirs
        };
        command.args(&block.common).args(program.args);
        command
    }
}

fn images(ddpm: &Path, run: Option<&Path>, tries: usize) -> Result<Vec<f64>, String> {
    let run = run.ok_or("there is no trained run: name one with --run, or let whole-run make one")?;
    eprintln!("images: 64 of {}", run.display());
    whole::images(ddpm, run, tries).map_err(|error| format!("{error:#}"))
}

/// What was run, where and how often.
pub(super) fn head(workspace: &Workspace, probe: &Value, rounds: usize, quick: bool, seconds: u64) -> Value {
    json!({
        "commit": machine::commit(workspace), "processor": machine::processor(), "threads": probe["threads"],
        "default_precision": probe["precision"], "rounds": rounds, "quick": quick, "seconds": seconds,
    })
}

fn markdown_head(head: &Value) -> String {
    let said = |key: &str| head[key].as_str().unwrap_or("unknown").to_owned();
    let quick = if head["quick"] == true { "; quick, so the ratios are rough" } else { "" };
    format!(
        "# Beside the peers\n\n`cargo xtask bench --peers`, commit {}, on {}, {}, default precision {}: the medians of {} \
         rounds, where each program runs as a separate process, and the smallest and largest ratio of a \
         round{quick}. No goal is set where none is shown.",
        said("commit"),
        said("processor"),
        files::counted(head["threads"].as_u64().unwrap_or(0), "thread"),
        said("default_precision"),
        head["rounds"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn args(line: &str) -> Args {
        Args::try_parse_from(format!("bench --peers {line}").split_whitespace()).unwrap()
    }

    #[test]
    fn all_blocks_are_wanted_unless_some_are_named() {
        assert_eq!(args("--quick").wanted().unwrap(), NAMES);
        assert_eq!(args("--only images,train-cifar10").wanted().unwrap(), ["train-cifar10", "images"]);
        let error = args("--only train").wanted().unwrap_err();
        assert!(error.to_string().contains("train-small32") && error.is::<Exit>(), "{error}");
        assert!(Args::try_parse_from(["bench", "--peers", "train"]).is_err());
    }

    #[test]
    fn each_side_gets_the_same_work() {
        let programs = Programs { ddpm: "d".as_ref(), python: "p".into(), script: "s.py".into() };
        let block = &blocks(Choice { quick: true, compile: false, auto_is_bf16: true })[0];
        let line = |index: usize| crate::process::line_of(&programs.command(block, &block.programs[index]));
        let work = "train --config small32 --batch 64 --steps 3 --warmup 1 --precision";
        assert_eq!(line(0), format!("d bench --json --device cpu {work} auto"));
        assert_eq!(line(1), format!("p s.py {work} f32"));
    }

    #[test]
    fn without_a_run_there_are_no_images() {
        let why = images("d".as_ref(), None, 1).unwrap_err();
        assert!(why.starts_with("there is no trained run") && why.lines().count() == 1, "{why}");
    }

    #[test]
    fn the_script_is_there_and_takes_the_flags() {
        let script = include_str!("../../../scripts/bench_peers.py");
        let choice = Choice { quick: false, compile: true, auto_is_bf16: false };
        for block in blocks(choice) {
            let theirs = block.programs.iter().filter(|program| !program.who.is_ours());
            let words = theirs.flat_map(|program| program.args.iter().copied());
            for flag in words.chain(block.common.iter().map(String::as_str)).filter(|w| w.starts_with("--")) {
                assert!(script.contains(&format!("\"{flag}\"")), "{flag}");
            }
        }
    }
}
