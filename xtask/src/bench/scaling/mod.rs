//! `cargo xtask bench --scaling`: time and memory of a training step against batch size, image side and width, with
//! fitted laws, their predictions, and what trainings of published sizes would take.

mod laws;
mod measure;
mod page;
pub(super) mod paper;
mod plan;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::peers::head;
use super::rounds::object;
use super::whole;
use crate::process::Exit;
use crate::workspace::Workspace;
use crate::{ddpm, outputs, process};
use laws::Law;
use measure::Measured;
use page::Page;

/// Times training steps of one family of networks over three sweeps, fits laws and writes a page with a picture.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench --scaling")]
pub(super) struct Args {
    #[arg(long, hide = true)]
    scaling: bool,
    /// Few points and short rounds: a minute or two. The laws are then rough.
    #[arg(long)]
    quick: bool,
    /// Number of rounds [default: 5, or 2 with --quick].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Folder for scaling.md and scaling.png [default: docs].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Write points, laws and all program outputs as JSON.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Make the page again from such a file, without measuring.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "rounds", "json"])]
    from: Option<PathBuf>,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let rounds = args.rounds.unwrap_or(if args.quick { 2 } else { 5 });
    if !(1..=100).contains(&rounds) {
        return Err(Exit::usage(format!("--rounds {rounds}: expected 1 to 100")).into());
    }
    let out = args.out.clone().unwrap_or_else(|| workspace.root().join("docs"));
    let pages = ["scaling.md", "scaling.png"].map(|name| out.join(name));
    let outputs =
        [("--json", args.json.as_deref()), ("--out", Some(&*pages[0])), ("--out", Some(&*pages[1]))];
    outputs::try_all(&outputs)?;
    let begun = Instant::now();
    let ddpm = ddpm::build(workspace)?;
    let (head, measured) = match &args.from {
        Some(path) => read(path)?,
        None => {
            let measured = measure(&ddpm, args.quick, rounds)?;
            let probe = measured.first().and_then(|first| first.said.first()).cloned().unwrap_or_default();
            (head(workspace, &probe, rounds, args.quick, begun.elapsed().as_secs()), measured)
        }
    };
    let counted = paper::counted(&mut |words| ours(&ddpm, words))?;
    // Keep the measurements even if no law fits.
    let laws = laws::laws(&measured);
    if let Some(path) = &args.json {
        let rate = page::best_rate(&measured).0;
        let laws = laws.iter().flatten().map(Law::json).collect::<Vec<_>>();
        let paper = counted.iter().map(|counted| counted.json(rate)).collect::<Vec<_>>();
        let all = json!({ "run": head, "points": measure::to_json(&measured), "laws": laws, "paper": paper });
        outputs::write(path, &format!("{all:#}\n"))?;
    }
    let laws = laws?;
    let page = Page { head: &head, measured: &measured, laws: &laws, counted: &counted };
    draw(&ddpm, &laws, &out)?;
    outputs::write(&pages[0], &page.markdown())?;
    println!("{}\n{}", page.text(), pages[0].display());
    Ok(ExitCode::SUCCESS)
}

fn measure(ddpm: &Path, quick: bool, rounds: usize) -> anyhow::Result<Vec<Measured>> {
    let points = plan::points(quick);
    let (mut turn, turns) = (0, rounds * points.len());
    let measured = measure::take_turns(&points, rounds, &mut |point| {
        turn += 1;
        eprintln!("{turn}/{turns}: batch {}, {} px, {} channels", point.batch, point.side, point.width);
        ours(ddpm, &point.args(quick))
    })?;
    for left_out in points.iter().filter(|&&point| measured.iter().all(|m| m.point != point)) {
        eprintln!("skipped, since they may take more than 8 GiB: {left_out:?}");
    }
    Ok(measured)
}

/// The plan and the answers of an earlier `--json`.
fn read(path: &Path) -> anyhow::Result<(Value, Vec<Measured>)> {
    let what = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(what)?;
    let all: Value = serde_json::from_str(&text).with_context(what)?;
    Ok((all["run"].clone(), measure::from_json(&all["points"]).with_context(what)?))
}

/// Runs our program and parses its answer.
fn ours(ddpm: &Path, words: &[String]) -> anyhow::Result<Value> {
    object(&whole::output(Command::new(ddpm).args(words))?)
}

/// Draws the picture with our program; panels go to its standard input.
fn draw(ddpm: &Path, laws: &[Law], out: &Path) -> anyhow::Result<()> {
    let panels: Value = laws.iter().filter(|law| law.is_drawn()).map(Law::panel).collect();
    process::feed(Command::new(ddpm).args(["draw-scaling", "--quiet", "--out"]).arg(out), &panels.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn flags_go_together_or_not() {
        let parse = |line: &str| Args::try_parse_from(format!("bench --scaling {line}").split_whitespace());
        let args = parse("--quick --rounds 3 --out here --json f.json").unwrap();
        assert!(args.quick && args.rounds == Some(3) && args.from.is_none());
        assert!(parse("--from f.json --out here").is_ok());
        assert!(parse("--from f.json --quick").is_err() && parse("train").is_err());
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let point = plan::CENTRE;
        let measured = vec![Measured { point, said: vec![json!({ "median_s": 0.5 })] }];
        let all = json!({ "run": { "rounds": 1 }, "points": measure::to_json(&measured) });
        fs::write(&path, all.to_string()).unwrap();
        assert_eq!(read(&path).unwrap(), (json!({ "rounds": 1 }), measured));
        fs::write(&path, "{}").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.ends_with("f.json: no points"), "{error}");
    }
}
